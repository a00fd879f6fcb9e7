//! Ctrl-C, counted: the first ends what is going on in good order, the second ends it at once.

use std::io;

use tokio::sync::watch;

/// How often the user has asked to stop.
#[derive(Clone, Debug)]
pub(super) struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// From now on SIGINT, and SIGTERM where there is one, are counted.
    pub(super) fn listen() -> io::Result<Self> {
        let (count, counted) = watch::channel(0);
        let mut signals = signals()?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(counted))
    }

    /// How often so far.
    pub(super) fn count(&self) -> u32 {
        *self.0.borrow()
    }

    /// Waits until it was more often than that.
    pub(super) async fn beyond(&mut self, count: u32) {
        // The sender lives as long as the process; were it gone, nobody could ask any more.
        if self.0.wait_for(|asked| *asked > count).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// One channel for every signal that asks to stop.
fn signals() -> io::Result<tokio::sync::mpsc::Receiver<()>> {
    let (asked, asks) = tokio::sync::mpsc::channel(4);
    #[cfg(unix)]
    for kind in [
        tokio::signal::unix::SignalKind::interrupt(),
        tokio::signal::unix::SignalKind::terminate(),
    ] {
        let mut signal = tokio::signal::unix::signal(kind)?;
        let asked = asked.clone();
        tokio::spawn(async move { while signal.recv().await.is_some() && asked.send(()).await.is_ok() {} });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && asked.send(()).await.is_ok() {} });
    Ok(asks)
}
