//! The programs at work.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use flowtape_recorder_ebpf::abi::attempt::{ATTEMPT_ASKED, Attempt};
use flowtape_recorder_ebpf::abi::control::{Control, SampleLimits};
use flowtape_recorder_ebpf::abi::counters::{Counters, RESCUE_SLOT, counts_ends_only};
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::id::HookId;
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_recorder_ebpf::abi::quota::{QuotaKey, QuotaValue};
use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};

use super::config::{ATTEMPT_PATIENCE, Drained, Hook, HookCounters, HookState, KernelConfig, ProgramStats};
use super::error::KernelError;
use super::iterator::Reader;
use super::load::{self, Loaded};
use super::open::{Look, OpenSockets};
use super::program::{Kind, PROGRAMS};
use super::record::{self, Record};
use super::sys::{self, Grace};

/// Records taken by one [`Kernel::poll_events`], so that a flood cannot keep the caller from emptying the maps.
const POLL_LIMIT: usize = 1 << 17;

/// Bytes of an attempt in the map.
const ATTEMPT: usize = size_of::<Attempt>();

/// The programs, loaded and attached. Dropping it detaches them.
pub struct Kernel {
    loaded: Loaded,
    grace: Grace,
    second_half: bool,
    limits: SampleLimits,
    attached_ns: u64,
    /// Sockets that were open when the window began.
    open: OpenSockets,
    /// How often programs had been skipped when the window began, and when it ended.
    skipped: (Skipped, Option<Skipped>),
    is_stopped: bool,
    /// Attempts whose first packet left before the programs that note what is asked were attached.
    sent_before: BTreeMap<HookId, u64>,
}

/// How often the kernel skipped the program of each hook.
type Skipped = BTreeMap<HookId, u64>;

impl Kernel {
    /// Loads the programs and attaches them. Recording begins before this returns.
    pub fn load(config: &KernelConfig) -> Result<Self, KernelError> {
        let loaded = load::load(config)?;
        let grace = Grace::new().map_err(call("make the maps that wait for programs"))?;
        let mut kernel = Self {
            loaded,
            grace,
            second_half: false,
            limits: config.limits,
            attached_ns: 0,
            open: OpenSockets::default(),
            skipped: (Skipped::new(), None),
            is_stopped: false,
            sent_before: BTreeMap::new(),
        };
        kernel.write_control()?;
        kernel.open = kernel.loaded.attach(config)?;
        kernel.skipped.0 = kernel.skipped_now()?;
        kernel.attached_ns = boot_now_ns();
        if let Some(iterator) = &kernel.loaded.iterator {
            iterator.look(Look::After, &mut kernel.open)?;
        }
        for hook in [HookId::Connect4, HookId::Connect6] {
            let counters = kernel.counters_at(u32::from(hook.id()))?;
            kernel.sent_before.insert(hook, counters.unkept_sent);
        }
        Ok(kernel)
    }

    /// When the last program was attached, nanoseconds of `CLOCK_BOOTTIME`: the window is seen from here on.
    #[must_use]
    pub fn attached_ns(&self) -> u64 {
        self.attached_ns
    }

    /// Every hook and whether it records.
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        &self.loaded.hooks
    }

    /// Takes the sockets that were open when the window began; there are none a second time.
    pub fn take_open(&mut self) -> OpenSockets {
        std::mem::take(&mut self.open)
    }

    /// Begins a look at all sockets that are open; `None` where the hook is not available. Every connection that the look
    /// finds and that was established in the window is in a drain that begins after it: a socket is seen to be established
    /// only after the program was run for it (`inet_sk_state_store`, `net/ipv4/af_inet.c`, v6.12).
    pub fn look_at_sockets(&self) -> Result<Option<Reader>, KernelError> {
        self.loaded
            .iterator
            .as_ref()
            .map(super::iterator::Iterator::begin)
            .transpose()
    }

    /// Hands over the records that wait in the ring buffers, without waiting for more. Gives their number.
    pub fn poll_events(&mut self, each: &mut dyn FnMut(Record)) -> Result<usize, KernelError> {
        let mut taken = 0;
        for ring in [&mut self.loaded.groups, &mut self.loaded.ring] {
            while taken < POLL_LIMIT
                && let Some(item) = ring.next()
            {
                each(Record::decode(&item)?);
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// Waits until a ring buffer holds something, or for `timeout`; says whether one does.
    ///
    /// Records wake nobody until a buffer is half full, so the timeout is how late an event may be read. Interrupted by a
    /// signal it returns early.
    pub fn wait(&self, timeout: Duration) -> Result<bool, KernelError> {
        let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut polled = [&self.loaded.ring, &self.loaded.groups].map(|ring| libc::pollfd {
            fd: ring.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        // SAFETY: two live `pollfd`s.
        match unsafe { libc::poll(polled.as_mut_ptr(), 2, milliseconds) } {
            0 => Ok(false),
            1.. => Ok(true),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
                error => Err(call("wait for the ring buffers")(error)),
            },
        }
    }

    /// Takes what was counted since the last drain. Exact: every occurrence is in one drain and in no other, however busy
    /// the machine is.
    ///
    /// The programs are turned to the other half of the maps first; then it waits until no program runs that saw the old
    /// state (some 10 to 50 ms); then nobody writes to the half that is read and emptied.
    pub fn drain(&mut self) -> Result<Drained, KernelError> {
        let quiet = usize::from(self.second_half);
        self.second_half = !self.second_half;
        self.write_control()?;
        self.grace.wait().map_err(call("wait for running programs"))?;
        let mut drained = Drained::default();
        let Some(half) = self.loaded.halves.get(quiet) else {
            return Ok(drained);
        };
        sys::take_all::<{ size_of::<FlowKey>() }, { size_of::<FlowValue>() }>(half.flows.fd().as_fd(), |key, value| {
            drained.flows.push(record::flow(key, value));
        })
        .map_err(call("read the flow map"))?;
        sys::take_all::<{ size_of::<QuotaKey>() }, { size_of::<QuotaValue>() }>(half.quotas.fd().as_fd(), |_, _| {})
            .map_err(call("empty the quota map"))?;
        sys::take_all::<{ size_of::<ListenKey>() }, { size_of::<ListenValue>() }>(
            half.listens.fd().as_fd(),
            |key, value| drained.listens.push(record::listen(key, value)),
        )
        .map_err(call("read the listen map"))?;
        sys::take_all::<{ size_of::<SocketKey>() }, { size_of::<SocketValue>() }>(
            half.sockets.fd().as_fd(),
            |key, value| drained.sockets.push(record::socket(key, value)),
        )
        .map_err(call("read the map of sockets"))?;
        drained.attempts = self.take_attempts()?;
        Ok(drained)
    }

    /// Takes the attempts to connect that nothing more will be heard of.
    fn take_attempts(&self) -> Result<Vec<Attempt>, KernelError> {
        let map = self.loaded.connects.fd().as_fd();
        let failed = |source| call("read the attempts to connect")(source);
        let mut attempts = Vec::new();
        if self.is_stopped {
            sys::take_all::<8, ATTEMPT>(map, |_socket, value| attempts.push(record::attempt(value))).map_err(failed)?;
            return Ok(attempts);
        }
        let patience = u64::try_from(ATTEMPT_PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        let before = boot_now_ns().saturating_sub(patience);
        let is_over = |attempt: &Attempt| attempt.state == ATTEMPT_ASKED && attempt.ts_ns < before;
        let mut over = Vec::new();
        sys::look_at_all::<8, ATTEMPT>(map, |socket, value| {
            if is_over(&record::attempt(value))
                && let Ok(socket) = socket.try_into()
            {
                over.push(socket);
            }
        })
        .map_err(failed)?;
        for socket in over {
            let Some(value) = sys::take::<8, ATTEMPT>(map, socket).map_err(failed)? else {
                continue;
            };
            let attempt = record::attempt(&value);
            if is_over(&attempt) {
                attempts.push(attempt);
            } else {
                // The socket was used anew a moment ago; what has ended meanwhile stays away.
                sys::put_new(map, socket, value).map_err(failed)?;
            }
        }
        Ok(attempts)
    }

    /// Changes how many events an edge may send between two drains.
    pub fn set_sample_limits(&mut self, limits: SampleLimits) -> Result<(), KernelError> {
        self.limits = limits;
        self.write_control()
    }

    /// What each hook that is attached did since it was, and what it lost.
    pub fn counters(&self) -> Result<Vec<HookCounters>, KernelError> {
        let attached = self
            .loaded
            .hooks
            .iter()
            .filter(|hook| matches!(hook.state, HookState::Available));
        // What was skipped is read before what was rescued of it: the difference is never more than was lost.
        let now = match &self.skipped.1 {
            Some(at_the_end) => at_the_end.clone(),
            None => self.skipped_now()?,
        };
        attached
            .map(|hook| {
                let skipped = now.get(&hook.id).unwrap_or(&0) - self.skipped.0.get(&hook.id).unwrap_or(&0);
                let mut counters = self.counters_at(u32::from(hook.id.id()))?;
                if counts_ends_only(hook.id) {
                    counters = counters.of_ends();
                }
                let mut rescued = 0;
                if PROGRAMS
                    .iter()
                    .any(|program| program.id == hook.id && program.rescue.is_some())
                {
                    let second = self.counters_at(RESCUE_SLOT)?;
                    rescued = second.invocations;
                    counters = counters.plus(second);
                }
                let before = self.sent_before.get(&hook.id).copied().unwrap_or(0);
                let sent = counters.unkept_sent.saturating_sub(before);
                counters.edge_lost += counters.unkept.saturating_sub(sent);
                // Those that are open may still end, and then they are recorded.
                if self.is_stopped {
                    counters.edge_lost += counters.unheld.saturating_sub(counters.unheld_ended);
                }
                Ok(HookCounters {
                    id: hook.id,
                    counters,
                    rescued,
                    recursion_misses: skipped.saturating_sub(rescued),
                })
            })
            .collect()
    }

    /// How often the kernel has skipped each program.
    fn skipped_now(&self) -> Result<Skipped, KernelError> {
        let hooks = self.loaded.hooks.iter();
        hooks
            .map(|hook| Ok((hook.id, self.program_stats(hook)?.recursion_misses)))
            .collect()
    }

    /// The counters of a slot, summed over all processors.
    fn counters_at(&self, slot: u32) -> Result<Counters, KernelError> {
        let per_cpu = self
            .loaded
            .counters
            .get(&slot, 0)
            .map_err(|source| call("read the counters")(io::Error::other(source)))?;
        Ok(per_cpu
            .iter()
            .fold(Counters::default(), |sum, words| sum.plus(Counters::from_words(*words))))
    }

    /// What the kernel keeps about a hook's program; all zero for one that is not loaded.
    pub fn program_stats(&self, hook: &Hook) -> Result<ProgramStats, KernelError> {
        let named = PROGRAMS.iter().find(|program| program.id == hook.id);
        let program = named.and_then(|program| self.loaded.ebpf.program(program.program));
        match program.map(aya::programs::Program::fd) {
            Some(Ok(fd)) => sys::program_stats(fd.as_fd()).map_err(call("read the state of a program")),
            Some(Err(_)) | None => Ok(ProgramStats::default()),
        }
    }

    /// Detaches every program and waits until none runs, so that the next [`Kernel::drain`] and
    /// [`Kernel::poll_events`] take all that is left. Gives the time, nanoseconds of `CLOCK_BOOTTIME`.
    pub fn stop(&mut self) -> Result<u64, KernelError> {
        let stopped_ns = boot_now_ns();
        // What the programs of control groups noted of an attempt ends in a tracepoint, so they go first.
        self.loaded.detach(Kind::Cgroup);
        self.grace.wait().map_err(call("wait for running programs"))?;
        // Those that stand behind others go next. What the others are not shown from then on is after the window.
        self.loaded.detach(Kind::Rescue);
        self.skipped.1 = Some(self.skipped_now()?);
        self.loaded.detach(Kind::First);
        self.is_stopped = true;
        self.grace.wait().map_err(call("wait for running programs"))?;
        Ok(stopped_ns)
    }

    fn write_control(&mut self) -> Result<(), KernelError> {
        let control = Control::new(self.second_half, self.limits);
        self.loaded
            .control
            .set(0, control.0, 0)
            .map_err(|source| call("write the control map")(io::Error::other(source)))
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Kernel")
            .field("hooks", &self.loaded.hooks)
            .field("second_half", &self.second_half)
            .field("limits", &self.limits)
            .field("attached_ns", &self.attached_ns)
            .finish_non_exhaustive()
    }
}

fn call(what: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |source| KernelError::Call { what, source }
}

/// `CLOCK_BOOTTIME` now, in nanoseconds: the clock of every time the programs give.
#[must_use]
pub fn boot_now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live `timespec`. The call cannot fail for this clock, which exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let (seconds, nanoseconds) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + nanoseconds
}
