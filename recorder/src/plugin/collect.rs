//! Fetches the files of a pod: ends its recording, then receives what it sends, over as many streams as it takes.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::api::AttachedProcess;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio_util::io::SyncIoBridge;

use super::cluster::{Cluster, clean};
use super::manifest::{PROGRAM, TAPE};
use crate::output;
use crate::transfer::{self, ReceiveError, Received};

/// Streams that may break one after the other without bringing anything.
const FRUITLESS: u32 = 5;

/// Pause before the next stream.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a stream may bring nothing before it counts as broken. The other side hashes its files meanwhile.
const STALL: Duration = Duration::from_mins(2);

/// How long a sender may take to end when it has been told that all is kept.
const GOODBYE: Duration = Duration::from_secs(5);

/// Room between a stream and the receiver, in bytes.
const ROOM: usize = 1 << 20;

/// How often a stream is looked at.
const PACE: Duration = Duration::from_millis(500);

/// What a pod gave.
#[derive(Clone, Debug)]
pub(super) struct Collected {
    /// The last line of its recorder.
    pub(super) last: String,
    pub(super) received: Received,
}

/// Ends the recording of a pod and stores its files below `to`.
pub(super) async fn collect(cluster: &Cluster, pod: &str, to: &Path) -> anyhow::Result<Collected> {
    let stopped = cluster.output(pod, &[PROGRAM, "stop", TAPE]).await;
    let last = stopped.context("its recording could not be ended")?;
    std::fs::create_dir_all(to).with_context(|| format!("cannot create `{}`", to.display()))?;
    let received = receive(cluster, pod, to).await?;
    Ok(Collected {
        last: clean(last.trim()),
        received,
    })
}

async fn receive(cluster: &Cluster, pod: &str, to: &Path) -> anyhow::Result<Received> {
    let (mut fruitless, mut best) = (0, 0);
    loop {
        let there = Arc::new(AtomicU64::new(0));
        let error = match stream(cluster, pod, to.to_owned(), &there).await {
            Ok(Ok(received)) => return Ok(received),
            Ok(Err(error)) if !error.is_worth_another_try() => {
                return Err(error).context("its files cannot be received");
            }
            Ok(Err(error)) => anyhow::Error::new(error),
            Err(error) => error,
        };
        let now = there.load(Ordering::Relaxed);
        fruitless = if now > best { 1 } else { fruitless + 1 };
        best = best.max(now);
        if fruitless > FRUITLESS {
            return Err(error).context("its files did not arrive");
        }
        output::warn(format_args!(
            "the stream from pod {} broke ({error}); it goes on",
            clean(pod)
        ));
        tokio::time::sleep(PAUSE).await;
    }
}

/// One stream; the outer error is one of the cluster, the inner one of the stream.
async fn stream(
    cluster: &Cluster,
    pod: &str,
    to: PathBuf,
    there: &Arc<AtomicU64>,
) -> anyhow::Result<Result<Received, ReceiveError>> {
    let process = cluster.attach(pod, &[PROGRAM, "send", TAPE], true).await?;
    // The client's own pipes tell neither end when a stream breaks, so the receiver gets a pair that does.
    let (near, far) = tokio::io::duplex(ROOM);
    let (from, back) = tokio::io::split(near);
    let (mut from, mut back) = (BufReader::new(SyncIoBridge::new(from)), SyncIoBridge::new(back));
    let counter = Arc::clone(there);
    let receiving = tokio::task::spawn_blocking(move || {
        transfer::receive(&to, &mut from, &mut back, &mut |bytes, _| {
            counter.store(bytes, Ordering::Relaxed);
        })
    });
    carry(process, far, there).await?;
    receiving.await.context("the receiver panicked")
}

/// Carries bytes both ways until the stream ends, breaks, or brings nothing for too long. The receiver sees its end.
async fn carry(mut process: AttachedProcess, far: DuplexStream, there: &AtomicU64) -> anyhow::Result<()> {
    let (Some(mut stdin), Some(mut stdout)) = (process.stdin(), process.stdout()) else {
        bail!("the pod gives no streams");
    };
    let (mut wishes, mut content) = tokio::io::split(far);
    let forth = async {
        let copied = tokio::io::copy(&mut stdout, &mut content).await;
        // What is written stays readable; the receiver may still have to say that it kept all of it.
        let _ = content.shutdown().await;
        if copied.is_err() {
            return;
        }
        std::future::pending::<()>().await;
    };
    let back = async {
        // When the receiver is done it lets go, and so does this side.
        let _ = tokio::io::copy(&mut wishes, &mut stdin).await;
        let _ = stdin.shutdown().await;
    };
    let ended = process.join();
    tokio::pin!(forth, ended);
    let mut stalled = std::pin::pin!(stall(there));
    tokio::select! {
        () = &mut forth => {}
        () = back => {
            // The sender still has to hear of it, and ends then.
            let _ = tokio::time::timeout(GOODBYE, &mut ended).await;
        }
        () = &mut stalled => {}
        _ = &mut ended => {
            // What arrived before the end has still to be passed on.
            let _ = tokio::time::timeout(PACE, &mut forth).await;
        }
    }
    Ok(())
}

/// Ends when a stream has brought nothing for too long.
async fn stall(there: &AtomicU64) {
    let (mut last, mut changed) = (there.load(Ordering::Relaxed), tokio::time::Instant::now());
    while changed.elapsed() < STALL {
        tokio::time::sleep(PACE).await;
        let now = there.load(Ordering::Relaxed);
        if now != last {
            (last, changed) = (now, tokio::time::Instant::now());
        }
    }
}
