//! When the reader is woken: once a buffer is above half, and never for a single event. The wake-up is what costs.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flowtape_recorder::kernel::Kernel;
use flowtape_recorder::kernel::config::KernelConfig;
use flowtape_recorder_ebpf::abi::cgroup::CgroupChange;
use flowtape_recorder_ebpf::abi::event::Event;

use crate::case_count::one_page;
use crate::cgroup::Group;
use crate::stage::{Recording, config};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("a_single_event_wakes_nobody", single),
    ("half_a_buffer_wakes_the_reader", half_of_one_page),
    ("half_a_large_buffer_wakes_the_reader", half_of_many_pages),
    ("half_a_buffer_of_control_groups_wakes_the_reader", half_of_groups),
];

/// How long a reader waits that nobody wakes.
const PATIENCE: Duration = Duration::from_millis(800);

/// How long one waits that is to be woken: long enough for any machine.
const FOR_EVER: Duration = Duration::from_mins(1);

/// What whoever acts leaves the reader to fall asleep.
const HEAD_START: Duration = Duration::from_millis(200);

/// How often others on this machine may be first.
const TRIES: u32 = 50;

/// What a record takes beside itself (`BPF_RINGBUF_HDR_SZ`, v6.12).
const HEADER: usize = 8;

/// A reader that waited.
struct Waited {
    length: Duration,
    holds_something: bool,
    recording: Recording,
}

/// Lets a reader wait while somebody acts, again and again until it is told to stop; gives what it found at the end. What others
/// on this machine do between two calls ends a wait before it begins, so it is begun anew then.
fn wait(kernel: &mut Kernel, length: Duration, act: fn() -> Outcome<Act>) -> Outcome<Waited> {
    for _ in 0..TRIES {
        let mut act = act()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        Recording::default().poll(kernel)?;
        let actor = thread::spawn(move || -> std::io::Result<()> {
            thread::sleep(HEAD_START);
            while !told.load(Ordering::Relaxed) && act()? {}
            Ok(())
        });
        let began = Instant::now();
        let holds_something = kernel.wait(length)?;
        let length = began.elapsed();
        let mut recording = Recording::default();
        recording.poll(kernel)?;
        is_over.store(true, Ordering::Relaxed);
        actor.join().map_err(|_panic| "the actor panicked")??;
        if length > HEAD_START / 2 {
            return Ok(Waited {
                length,
                holds_something,
                recording,
            });
        }
    }
    Err(format!("others were first in {TRIES} tries").into())
}

/// Acts once; says whether to act again.
type Act = Box<dyn FnMut() -> std::io::Result<bool> + Send>;

/// One that waits finds out by itself, when its patience ends, that an event has come.
fn single() -> Outcome {
    let mut kernel = Kernel::load(&config())?;
    let waited = wait(&mut kernel, PATIENCE, || {
        Ok(Box::new(|| TcpListener::bind("127.0.0.1:0").map(|_listener| false)))
    })?;
    let events = &waited.recording.events;
    assert!(waited.length >= PATIENCE, "woken after {:?}: {events:?}", waited.length);
    assert!(waited.holds_something && !events.is_empty(), "the event did not come");
    Ok(())
}

fn half_of_one_page() -> Outcome {
    half(&one_page())
}

/// A buffer for which not every event looks how full it is.
fn half_of_many_pages() -> Outcome {
    half(&KernelConfig {
        ring_bytes: 256 << 10,
        ..config()
    })
}

/// Nobody reads before the reader is woken.
fn half(config: &KernelConfig) -> Outcome {
    let mut kernel = Kernel::load(config)?;
    let waited = wait(&mut kernel, FOR_EVER, || {
        Ok(Box::new(|| TcpListener::bind("127.0.0.1:0").map(|_listener| true)))
    })?;
    assert!(waited.length < FOR_EVER, "nobody was woken");
    let filled = waited.recording.events.len() * (size_of::<Event>() + HEADER);
    let half = usize::try_from(config.ring_bytes / 2)?;
    assert!(filled > half, "woken at {filled} bytes");
    Ok(())
}

/// The same of the other buffer, while that of events is far from half full.
fn half_of_groups() -> Outcome {
    let mut kernel = Kernel::load(&KernelConfig {
        ring_bytes: GROUP_RING,
        ..config()
    })?;
    let half = usize::try_from(GROUP_RING / 2)?;
    for _ in 0..TRIES {
        let waited = wait(&mut kernel, FOR_EVER, || {
            let parent = Group::new()?;
            Ok(Box::new(move || {
                let child = parent.path().join("again");
                std::fs::create_dir(&child)?;
                std::fs::remove_dir(&child)?;
                Ok(true)
            }))
        })?;
        assert!(waited.length < FOR_EVER, "nobody was woken");
        let Recording { events, cgroups, .. } = &waited.recording;
        let events = events.len() * (size_of::<Event>() + HEADER);
        let filled = cgroups.len() * (size_of::<CgroupChange>() + HEADER);
        if filled > half {
            return Ok(());
        }
        assert!(events > half, "woken at {filled} bytes, and {events} of events");
        // Others on this machine were faster with the other buffer.
    }
    Err(format!("others were first in {TRIES} tries").into())
}

/// Large enough for the events of others not to fill half of it meanwhile.
const GROUP_RING: u32 = 64 << 10;
