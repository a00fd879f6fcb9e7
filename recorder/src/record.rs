//! `flowtape-recorder record`: drives one window from attaching to the manifest.
//!
//! Two threads. This one empties the ring buffer and the kernel's maps and looks at control groups; the other sorts,
//! encodes and writes. Between them is a bounded queue. When the writer falls behind, single events are dropped and
//! counted; counts, listeners and control groups wait for room.

mod collect;
mod look;
mod node;
mod node_tape;
mod open;
mod pace;
mod pressure;
mod queue;
mod redact;
mod report;
mod room;
mod samples;
mod settings;
mod surroundings;

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use flowtape_recorder_ebpf::abi::control::SampleLimits;
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_schemas::manifest::{HookReport, Manifest, NodeRecording, Origin, Stop, Window};
use flowtape_schemas::time::Time;

use crate::cli::RecordArgs;
use crate::clock::{self, BootNanos, Offset};
use crate::exit::Exit;
use crate::kernel::Kernel;
use crate::output;
use crate::privilege;
use crate::readiness;
use crate::shutdown::{self, Deadline, Reason};
use crate::tape::{Target, node_directory, tape_id, tool, write_manifest};
use collect::Collector;
use node_tape::{NodeTape, Written};
use open::Looked;
use pace::Pace;
use pressure::{Full, Sampling, Signs};
use queue::Queue;
use redact::Redaction;
use room::Keep;
use settings::{kernel_config, sample_limits, settings};
use surroundings::Surroundings;

/// Pause after records were read. Long enough that reading costs little, short enough that 8 MiB do not fill.
const PAUSE: Duration = Duration::from_millis(5);

/// Wait while nothing happens; a ring buffer that passes half its size ends it at once.
const IDLE: Duration = Duration::from_millis(50);

/// How often it is asked whether events come too fast.
const LOOK: Duration = Duration::from_millis(250);

/// What a record takes in the ring buffer, most being events: itself and its header (`BPF_RINGBUF_HDR_SZ`, v6.12).
const RECORD_BYTES: u64 = size_of::<Event>() as u64 + 8;

/// Runs the verb.
pub fn run(arguments: &RecordArgs) -> anyhow::Result<Exit> {
    let machine = node::Machine::here()?;
    let node = node::name(arguments.node.as_deref(), &machine.host)?;
    let target = Target::check(&arguments.output, arguments.force)?;
    shutdown::listen().context("cannot listen for signals")?;
    let start = clock::sample().context("cannot read the clocks")?;
    let kernel = Kernel::load(&kernel_config(arguments)).map_err(readiness::explain)?;
    give_back_memory();
    let _hold = target.hold()?;
    let tape = target.prepare(&node_directory(&node))?;

    privilege::give_up(&tape.join(node_directory(&node))).context("cannot give up capabilities")?;

    let mut session = Session::begin(kernel, &tape, &node, start, arguments)?;
    let until = arguments
        .duration
        .map_or_else(|| "until Ctrl-C".to_owned(), |duration| format!("for {duration:?}"));
    output::say(format_args!("recording on {node} {until} into {}", tape.display()));
    let ended = session.record(Deadline::after(arguments.duration));
    let Ended { window, hooks, written } = session.finish(ended)?;

    let recording = NodeRecording {
        name: node,
        window,
        kernel: machine.release,
        architecture: machine.architecture,
        hooks,
        settings: settings(arguments),
        stop: Stop::Clean,
        lost_events: written.lost_events,
        lost_edges: written.lost_edges,
        notes: written.notes.clone(),
    };
    let report = report::Report::of(&recording, &written);
    let mut manifest = Manifest::new(tool(), Origin::Recorded, tape_id(&written.files));
    manifest.window = Some(window);
    manifest.nodes = vec![recording];
    manifest.files = written.files;
    write_manifest(&tape, &manifest)?;
    output::say(&report);
    let gated = arguments.strict && !report.is_complete();
    Ok(if gated { Exit::Found } else { Exit::Done })
}

/// Has the allocator give memory back. Finding the kernel's offsets takes some 20 MB for a moment; buffers of samples come and
/// go, from one thread to the other. By itself glibc keeps what was free once, and keeps ever larger pieces.
#[cfg(target_env = "gnu")]
fn give_back_memory() {
    /// From this size on a piece goes back to the system when it is freed: the initial threshold of glibc, which it would raise
    /// with every larger piece unless it is set (mallopt(3)).
    const LARGE: libc::c_int = 128 << 10;
    // SAFETY: no pointers are involved.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::malloc_trim(0);
    }
}

/// Other allocators give memory back by themselves.
#[cfg(not(target_env = "gnu"))]
fn give_back_memory() {}

/// A window that is being recorded.
struct Session {
    kernel: Kernel,
    offset: Offset,
    started: Time,
    interval: Duration,
    rotation: Duration,
    /// Time between two looks at the sockets that are open; zero for none but the first and the last.
    snapshots: Duration,
    collector: Collector,
    surroundings: Surroundings,
    queue: Queue,
    ring_bytes: u32,
    sampling: Sampling,
    limits: SampleLimits,
    /// Records that the kernel had no room for, up to the last look.
    full: Full,
    /// Looks at the open sockets that failed.
    failed_looks: u64,
}

/// A window that was recorded.
struct Ended {
    window: Window,
    hooks: Vec<HookReport>,
    written: Written,
}

impl Session {
    /// The kernel counts already; from here on somebody listens.
    fn begin(
        kernel: Kernel,
        tape: &Path,
        node: &str,
        start: flowtape_schemas::node::ClockRow,
        arguments: &RecordArgs,
    ) -> anyhow::Result<Self> {
        let offset = Offset::of(&start);
        let started = offset.time(BootNanos(kernel.attached_ns()));
        let asked = sample_limits(arguments.events);
        let redaction = arguments.redact.then(Redaction::new).transpose();
        let redaction = redaction.context("cannot make a key for `--redact`")?;
        let node_tape = NodeTape::new(tape, &node_directory(node), offset, start, arguments.max_size)?;
        let mut session = Self {
            kernel,
            offset,
            started,
            interval: arguments.interval,
            rotation: arguments.rotation,
            snapshots: arguments.snapshot_interval,
            collector: Collector::new(offset, started, arguments.quota.get().into(), redaction),
            surroundings: Surroundings::new(),
            queue: Queue::start(node_tape)?,
            ring_bytes: arguments.ring_bytes,
            sampling: Sampling::new(asked, started),
            limits: asked,
            full: Full::default(),
            failed_looks: 0,
        };
        if session.surroundings.mount().is_none() {
            output::warn(
                "no cgroup v2 hierarchy is mounted: sockets are known by network namespace and address only; \
                 mount one with `mount -t cgroup2 none DIR`",
            );
        }
        session.look_around()?;
        let first = Looked {
            at_ns: session.kernel.attached_ns(),
            is_first: true,
            sockets: session.kernel.take_open(),
            samples: session.limits.connections,
        };
        session.collector.looked(first, &mut session.surroundings);
        Ok(session)
    }

    /// Records until it is time to stop.
    fn record(&mut self, deadline: Deadline) -> anyhow::Result<Reason> {
        let (mut drain, mut rotation) = (Pace::new(self.interval), Pace::new(self.rotation));
        let (mut look, mut most) = (Pace::new(LOOK), 0);
        let mut snapshot = Pace::new(
            Some(self.snapshots)
                .filter(|every| !every.is_zero())
                .unwrap_or(Duration::MAX),
        );
        loop {
            let taken = self.poll()?;
            most = most.max(taken);
            if let Some(reason) = deadline.reached() {
                return Ok(reason);
            }
            if look.is_due() {
                self.steer(std::mem::take(&mut most))?;
            }
            if self.queue.kept() == Keep::Nothing {
                return Ok(Reason::NoRoom);
            }
            // While the writer is behind, the kernel goes on counting and the interval becomes longer.
            if self.queue.has_room() {
                if drain.is_due() {
                    if snapshot.is_due() {
                        self.look_at_sockets()?;
                    }
                    self.drain()?;
                    self.look_around()?;
                }
                if rotation.is_due() {
                    self.rotate()?;
                }
            }
            let wait = drain.wait_at_most(deadline.wait_at_most(if taken > 0 { PAUSE } else { IDLE }));
            if taken > 0 {
                thread::sleep(wait);
            } else {
                self.kernel.wait(wait)?;
            }
        }
    }

    /// Looks for what the kernel had no room to tell of, and says how many events of an edge it sends from now on, after polls that took `taken` records at most.
    fn steer(&mut self, taken: usize) -> anyhow::Result<()> {
        let full = Full::of(&self.kernel.counters()?);
        let before = std::mem::replace(&mut self.full, full);
        if full.groups() != before.groups() {
            // What could not be told of is looked for before it is gone.
            self.look_around()?;
        }
        let signs = Signs {
            waiting: taken as u64 * RECORD_BYTES,
            ring: u64::from(self.ring_bytes),
            lost: full.events - before.events + self.collector.take_dropped_lately(),
        };
        self.sampling.look(self.offset.time(clock::now()?), signs);
        let limits = self.sampling.limits(self.queue.kept());
        if limits != self.limits {
            self.kernel.set_sample_limits(limits)?;
            self.limits = limits;
        }
        Ok(())
    }

    /// Detaches first, then takes all that is left: nothing in flight is lost, and nothing is added meanwhile.
    fn finish(mut self, ended: anyhow::Result<Reason>) -> anyhow::Result<Ended> {
        let early = match ended {
            Ok(Reason::NoRoom) => Some("the window ended early: there was no room for more".to_owned()),
            Ok(Reason::WindowOver | Reason::Asked) | Err(_) => None,
        };
        // A writer that gave up makes every hand-over fail; its own error is the cause.
        let outcome = ended.and_then(|_| self.take_the_rest());
        let hooks = self.kernel.hooks().iter().map(report::hook).collect();
        let Self {
            queue,
            sampling,
            failed_looks,
            ..
        } = self;
        let written = queue.finish();
        // What stopped the writer is the cause of what stopped this side.
        let (mut written, end) = written
            .and_then(|written| Ok((written, outcome?)))
            .context("the tape is incomplete")?;
        written.notes.extend(sampling.note());
        written.notes.extend(early);
        if failed_looks > 0 {
            written
                .notes
                .push(format!("{failed_looks} looks at the open sockets failed"));
        }
        let window = Window {
            start: self.started,
            end,
        };
        Ok(Ended { window, hooks, written })
    }

    fn take_the_rest(&mut self) -> anyhow::Result<Time> {
        // While openings are still counted: what was opened later is not of this window.
        self.look_at_sockets()?;
        let end = self.offset.time(BootNanos(self.kernel.stop()?));
        while self.poll()? > 0 {}
        self.look_around()?;
        let made = Full::of(&self.kernel.counters()?).made;
        let found = self.surroundings.cgroups.untold();
        self.collector.unnamed(made.saturating_sub(found));
        self.drain_at(end)?;
        self.look_around()?;
        self.rotate()?;
        Ok(end)
    }

    fn rotate(&mut self) -> anyhow::Result<()> {
        let intervals = self.snapshot();
        self.queue.rotate(intervals, clock::sample()?);
        Ok(())
    }

    /// Empties the ring buffer and hands over the events; gives the number of records.
    fn poll(&mut self) -> anyhow::Result<usize> {
        let Self {
            kernel,
            collector,
            surroundings,
            queue,
            offset,
            ..
        } = self;
        let taken = kernel.poll_events(&mut |record| {
            collector.take(record, surroundings, *offset);
            if let Some(events) = collector.full_chunk() {
                let dropped = queue.offer(events);
                collector.dropped(dropped);
            }
        })?;
        if !queue.is_alive() {
            anyhow::bail!("the writer stopped");
        }
        Ok(taken)
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        let at = self.offset.time(clock::now()?);
        self.drain_at(at)
    }

    fn drain_at(&mut self, at: Time) -> anyhow::Result<()> {
        let drained = self.kernel.drain()?;
        let counters = self.kernel.counters()?;
        // What the drained counts tell of stands in the ring buffer by now.
        self.poll()?;
        self.collector.attempts(&drained.attempts);
        let dropped = self.queue.offer(self.collector.take_chunk());
        self.collector.dropped(dropped);
        let counted = self.collector.end_interval(at, drained, &counters);
        self.queue.counted(counted);
        Ok(())
    }

    /// Looks at control groups and namespaces.
    fn look_around(&mut self) -> anyhow::Result<()> {
        let at = self.offset.time(clock::now()?);
        self.poll()?;
        self.surroundings.look(at);
        Ok(())
    }

    /// Every interval that is known: what ended since the last rotation, and what is still open.
    fn snapshot(&mut self) -> queue::Intervals {
        queue::Intervals {
            listens: (self.collector.listeners.take_ended(), self.collector.listeners.live()),
            cgroups: (self.surroundings.cgroups.take_ended(), self.surroundings.cgroups.live()),
            netns: (
                self.surroundings.namespaces.take_ended(),
                self.surroundings.namespaces.live(),
            ),
        }
    }
}
