//! How much the recorder keeps up with, what it costs meanwhile, and how large the tape gets.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::Process;
use crate::table::{Table, percent, quotient};
use crate::tape::Recorded;
use crate::traffic::{Kind, Traffic};

/// Operations between two looks at the clock.
const STRIDE: u32 = 20;

/// Datagrams are thinned by default, however `all` the events are; this asks for every one of them.
const EVERY: &str = "first:4000000000";

/// One step: operations per second wanted of all threads together; `None` is as fast as they can.
type Step = (&'static str, Option<u32>);

const TCP: &[Step] = &[
    ("TCP pairs, 1,000/s", Some(1_000)),
    ("TCP pairs, 10,000/s", Some(10_000)),
    ("TCP pairs, 20,000/s", Some(20_000)),
    ("TCP pairs, 30,000/s", Some(30_000)),
    ("TCP pairs, as fast as they go", None),
];
const UDP: &[Step] = &[
    ("UDP datagrams, 50,000/s", Some(50_000)),
    ("UDP datagrams, 100,000/s", Some(100_000)),
    ("UDP datagrams, as fast as they go", None),
];

/// Runs every step with a recorder of its own.
pub(crate) fn run(kind: Kind, length: Duration) -> Outcome<Table> {
    let (steps, events) = if kind == Kind::TcpPair {
        (TCP, "all")
    } else {
        (UDP, EVERY)
    };
    let threads = thread::available_parallelism()?.get();
    let mut table = Table::new(
        format!(
            "`record --events {events}` for {} s, traffic of {threads} threads in namespaces of their own",
            length.as_secs()
        ),
        &[
            "traffic",
            "operations/s",
            "events/s",
            "lost events",
            "lost edges",
            "recorder, of one core",
            "us of it per event",
            "peak MiB",
            "bytes per event",
            "key, time and port only",
        ],
    );
    for &(name, rate) in steps {
        let mut cells = vec![name.to_owned()];
        cells.extend(step(kind, rate, threads, length, events)?);
        table.row(cells);
    }
    Ok(table)
}

fn step(kind: Kind, rate: Option<u32>, threads: usize, length: Duration, events: &str) -> Outcome<Vec<String>> {
    let recorder = Process::start(&["--events", events])?;
    let (before, began) = (recorder.cpu_milliseconds()?, Instant::now());
    let operations = traffic(kind, rate, threads, length)?;
    let milliseconds = u64::try_from(began.elapsed().as_millis())?;
    let ended = recorder.stop()?;
    let cpu = ended.cpu_milliseconds - before;
    let kept = Recorded::of(&ended.tape())?;
    let seen = kept.events + kept.lost_events + kept.lost_edges;
    if seen < operations * 2 {
        return Err(format!("{operations} operations of two sides each, and the tape knows of {seen} events").into());
    }
    Ok(vec![
        (operations * 1_000 / milliseconds).to_string(),
        (kept.events * 1_000 / milliseconds).to_string(),
        kept.lost_events.to_string(),
        kept.lost_edges.to_string(),
        percent(cpu, milliseconds),
        quotient(cpu * 1_000, kept.events),
        quotient(ended.peak_kib, 1_024),
        quotient(kept.bytes, kept.events),
        quotient(kept.key_bytes, kept.events),
    ])
}

/// Makes traffic in several threads, each in a namespace of its own; gives the operations done.
fn traffic(kind: Kind, rate: Option<u32>, threads: usize, length: Duration) -> Outcome<u64> {
    let share = rate.map(|rate| share_of(rate, threads));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            thread::spawn(move || {
                let traffic = Traffic::in_fresh_namespace().map_err(|error| io::Error::other(error.to_string()))?;
                paced(&traffic, kind, share, length)
            })
        })
        .collect();
    let mut operations = 0;
    for worker in workers {
        match worker.join() {
            Ok(done) => operations += done?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(operations)
}

/// The share of one thread, at least one operation per second.
fn share_of(rate: u32, threads: usize) -> u32 {
    (rate / u32::try_from(threads).unwrap_or(1)).max(1)
}

fn paced(traffic: &Traffic, kind: Kind, rate: Option<u32>, length: Duration) -> io::Result<u64> {
    let began = Instant::now();
    let mut done = 0_u32;
    while began.elapsed() < length {
        traffic.run(kind, STRIDE)?;
        done = done.saturating_add(STRIDE);
        if let Some(rate) = rate {
            let due = Duration::from_micros(u64::from(done) * 1_000_000 / u64::from(rate));
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    Ok(u64::from(done))
}
