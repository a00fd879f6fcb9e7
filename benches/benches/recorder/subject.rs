//! What is attached while traffic is timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flowtape_recorder::kernel::Kernel;
use flowtape_recorder::kernel::config::KernelConfig;

use crate::Outcome;
use crate::rival::Rival;

/// As long as `record` waits: after it read records, and while nothing happens.
const PAUSE: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(50);

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// Nothing: what everything else is compared with.
    Baseline,
    /// The programs, read as `record` reads them.
    Recorder {
        config: Box<KernelConfig>,
        /// Whether there is anything about this traffic that they record.
        hears: bool,
    },
    /// A bpftrace script of `benches/rival`.
    Rival(&'static str),
}

/// A subject that is attached.
pub(crate) enum Attached {
    Nothing,
    Recorder { reader: Reader, hears: bool },
    Rival(Rival),
}

impl Subject {
    /// Attaches it.
    pub(crate) fn attach(&self) -> Outcome<Attached> {
        Ok(match self {
            Self::Baseline => Attached::Nothing,
            Self::Recorder { config, hears } => Attached::Recorder {
                reader: Reader::start(config)?,
                hears: *hears,
            },
            Self::Rival(script) => Attached::Rival(Rival::start(script)?),
        })
    }
}

impl Attached {
    /// Detaches it; fails if it recorded nothing, since then it was not what was measured.
    pub(crate) fn detach(self) -> Outcome {
        match self {
            Self::Nothing => Ok(()),
            Self::Recorder { reader, hears } => {
                let (_kernel, records) = reader.stop()?;
                if hears && records == 0 {
                    return Err("the programs recorded nothing of the traffic".into());
                }
                Ok(())
            }
            Self::Rival(rival) => rival.stop(),
        }
    }
}

/// The programs and the thread that reads their records.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(Kernel, usize), String>>,
}

impl Reader {
    /// Attaches the programs and reads.
    pub(crate) fn start(config: &KernelConfig) -> Outcome<Self> {
        let kernel = Kernel::load(config)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || read(kernel, &stopped).map_err(|error| error.to_string()))?;
        Ok(Self { stop, thread })
    }

    /// Detaches the programs; gives them, still loaded, and the number of records that were read.
    pub(crate) fn stop(self) -> Outcome<(Kernel, usize)> {
        self.stop.store(true, Ordering::SeqCst);
        match self.thread.join() {
            Ok(ended) => Ok(ended?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn read(mut kernel: Kernel, stop: &AtomicBool) -> Outcome<(Kernel, usize)> {
    let mut records = 0;
    while !stop.load(Ordering::SeqCst) {
        let taken = kernel.poll_events(&mut |record| drop(std::hint::black_box(record)))?;
        records += taken;
        if taken > 0 {
            thread::sleep(PAUSE);
        } else {
            kernel.wait(IDLE)?;
        }
    }
    kernel.stop()?;
    records += kernel.poll_events(&mut |_| ())?;
    let drained = kernel.drain()?;
    Ok((kernel, records + drained.flows.len() + drained.listens.len()))
}
