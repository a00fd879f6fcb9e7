//! The thread that makes the traffic that is timed: one process, one network namespace, one processor for all of it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::Outcome;
use crate::traffic::{Kind, Traffic, pin};

/// What to do, and how often.
type Order = (Kind, u32);

/// The thread that makes traffic.
pub(crate) struct Worker {
    orders: Sender<Order>,
    times: Receiver<io::Result<u64>>,
}

impl Worker {
    /// Starts it on a processor. It ends with this value.
    pub(crate) fn start(processor: usize) -> Outcome<Self> {
        let (orders, taken) = channel::<Order>();
        let (done, times) = channel();
        let (ready, readiness) = channel();
        thread::Builder::new().name("traffic".to_owned()).spawn(move || {
            let traffic = pin(processor)
                .map_err(Into::into)
                .and_then(|()| Traffic::in_fresh_namespace());
            let traffic = match traffic {
                Ok(traffic) => traffic,
                Err(error) => return ready.send(Err(error.to_string())).unwrap_or_default(),
            };
            let _ = ready.send(Ok(()));
            for (kind, count) in taken {
                if done.send(traffic.run(kind, count)).is_err() {
                    return;
                }
            }
        })?;
        readiness.recv()??;
        Ok(Self { orders, times })
    }

    /// Makes traffic and gives the nanoseconds it took.
    pub(crate) fn run(&self, kind: Kind, count: u32) -> Outcome<u64> {
        self.orders.send((kind, count))?;
        Ok(self.times.recv()??)
    }
}
