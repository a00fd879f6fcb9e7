//! The programs, a worker, and what came of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use flowtape_recorder::kernel::Kernel;
use flowtape_recorder::kernel::config::{Drained, HookCounters, KernelConfig};
use flowtape_recorder::kernel::record::{CgroupPath, Record};
use flowtape_recorder_ebpf::abi::attempt::Attempt;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_UNCOUNTED};
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue, Overflow};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome as FlowOutcome, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};

use crate::{Outcome, cgroup, preflight};

/// The sizes of a case, with the object that is tested.
pub(crate) fn config() -> KernelConfig {
    KernelConfig {
        object: std::env::var_os("FLOWTAPE_BPF_OBJECT").map(Into::into),
        ..KernelConfig::default()
    }
}

/// The smallest ring buffer.
pub(crate) fn page_size() -> u32 {
    // SAFETY: no pointers are involved.
    u32::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Says why nothing can be tested here.
pub(crate) fn preflight() -> Outcome {
    preflight::check()?;
    cgroup::mount()?;
    Ok(())
}

/// What a worker says it did.
#[derive(Debug, Default)]
pub(crate) struct Facts(BTreeMap<String, String>);

impl Facts {
    /// A number by its name.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Outcome<T> {
        let text = self
            .0
            .get(name)
            .ok_or_else(|| format!("the worker did not say `{name}`"))?;
        text.parse()
            .map_err(|_not_a_number| format!("the worker said `{name} {text}`").into())
    }

    /// The worker's network namespace.
    pub(crate) fn netns(&self) -> Outcome<u32> {
        self.number("netns")
    }
}

/// Runs a job in a process of its own, in a control group and a fresh network namespace; `meanwhile` is called until it ends.
pub(crate) fn work(group: &Path, job: &[&str], mut meanwhile: impl FnMut() -> Outcome) -> Outcome<Facts> {
    let mut worker = Command::new(std::env::current_exe()?)
        .arg("--worker")
        .arg(group)
        .args(job)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    // What a worker says is shorter than a pipe, so it never waits for us.
    while worker.try_wait()?.is_none() {
        if let Err(error) = meanwhile() {
            worker.kill()?;
            worker.wait()?;
            return Err(error);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let output = worker.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        return Err(format!("the worker `{}` failed: {text}", job.join(" ")).into());
    }
    let facts = text.lines().filter_map(|line| line.split_once(' '));
    Ok(Facts(
        facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    ))
}

/// All that came out of the kernel.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) events: Vec<Event>,
    pub(crate) overflows: Vec<Overflow>,
    pub(crate) cgroups: Vec<CgroupPath>,
    pub(crate) drained: Drained,
    pub(crate) counters: Vec<HookCounters>,
}

impl Recording {
    /// Takes the records that wait.
    pub(crate) fn poll(&mut self, kernel: &mut Kernel) -> Outcome {
        kernel.poll_events(&mut |record| match record {
            Record::Event(event) => self.events.push(event),
            Record::Overflow(overflow) => self.overflows.push(overflow),
            Record::Cgroup(change) => self.cgroups.push(change),
        })?;
        Ok(())
    }

    /// Takes what was counted.
    pub(crate) fn drain(&mut self, kernel: &mut Kernel) -> Outcome {
        let drained = kernel.drain()?;
        self.drained.flows.extend(drained.flows);
        self.drained.listens.extend(drained.listens);
        self.drained.sockets.extend(drained.sockets);
        self.drained.attempts.extend(drained.attempts);
        Ok(())
    }

    /// Detaches the programs and takes the rest.
    pub(crate) fn finish(&mut self, kernel: &mut Kernel) -> Outcome {
        kernel.stop()?;
        self.poll(kernel)?;
        self.drain(kernel)?;
        self.counters = kernel.counters()?;
        Ok(())
    }

    /// Runs a job and records it. What others on this machine do meanwhile is read as well, so that it does not fill the ring
    /// buffer.
    pub(crate) fn of(config: &KernelConfig, group: &Path, job: &[&str]) -> Outcome<(Self, Facts)> {
        let mut kernel = Kernel::load(config)?;
        let mut recording = Self::default();
        let facts = work(group, job, || recording.poll(&mut kernel))?;
        recording.finish(&mut kernel)?;
        Ok((recording, facts))
    }

    /// Runs a job and records it, without reading anything before it is done.
    pub(crate) fn unread(config: &KernelConfig, group: &Path, job: &[&str]) -> Outcome<(Self, Facts)> {
        let mut kernel = Kernel::load(config)?;
        let facts = work(group, job, || Ok(()))?;
        let mut recording = Self::default();
        recording.finish(&mut kernel)?;
        Ok((recording, facts))
    }

    /// The counters of the TCP hook.
    pub(crate) fn tcp(&self) -> Outcome<HookCounters> {
        self.hook(HookId::InetSockSetState)
    }

    /// The counters of a hook.
    pub(crate) fn hook(&self, id: HookId) -> Outcome<HookCounters> {
        self.counters
            .iter()
            .find(|hook| hook.id == id)
            .copied()
            .ok_or_else(|| format!("{id:?} has no counters").into())
    }

    /// The events of a network namespace and kind, in the order they came. As everywhere here only of our own workers: the
    /// number of a namespace is given to another one as soon as it is gone.
    pub(crate) fn events_in(&self, netns: u32, kind: RecordKind) -> Vec<&Event> {
        self.events
            .iter()
            .filter(|event| event.netns == netns && event.kind == kind.id() && cgroup::is_ours(event.cgroup_id))
            .collect()
    }

    /// The listeners of our own workers: what the map counted, and what events carry in its place.
    pub(crate) fn listens(&self) -> BTreeMap<ListenKey, ListenValue> {
        let carried = self.events.iter().filter(|event| carries_count(event)).map(listen);
        let mut listens: BTreeMap<ListenKey, ListenValue> = BTreeMap::new();
        for (key, value) in self.drained.listens.iter().copied().chain(carried) {
            if !cgroup::is_ours(key.cgroup_id) {
                continue;
            }
            let sum = listens.entry(key).or_insert(ListenValue {
                opened: 0,
                closed: 0,
                ..value
            });
            sum.first_ns = sum.first_ns.min(value.first_ns);
            sum.last_ns = sum.last_ns.max(value.last_ns);
            sum.opened += value.opened;
            sum.closed += value.closed;
        }
        listens
    }

    /// The listeners of a network namespace.
    pub(crate) fn listens_in(&self, netns: u32) -> Vec<(ListenKey, ListenValue)> {
        let mut listens = self.listens();
        listens.retain(|key, _| key.netns == netns);
        listens.into_iter().collect()
    }

    /// The attempts to connect of a network namespace that were still waiting.
    pub(crate) fn attempts_in(&self, netns: u32) -> Vec<Attempt> {
        let wanted = |attempt: &&Attempt| attempt.netns == netns && cgroup::is_ours(attempt.cgroup_id);
        self.drained.attempts.iter().filter(wanted).copied().collect()
    }

    /// The flows of a network namespace, direction and outcome; several drains may each have a part of one.
    pub(crate) fn flows_in(
        &self,
        netns: u32,
        direction: Direction,
        outcome: FlowOutcome,
    ) -> Vec<&(FlowKey, FlowValue)> {
        let wanted = |key: &FlowKey| is_of(key, netns, direction, outcome);
        self.drained.flows.iter().filter(|(key, _)| wanted(key)).collect()
    }

    /// Occurrences counted in a network namespace, direction and outcome, overflows included.
    pub(crate) fn count_in(&self, netns: u32, direction: Direction, outcome: FlowOutcome) -> u64 {
        let wanted = |key: &FlowKey| is_of(key, netns, direction, outcome);
        let counted: u64 = self
            .flows_in(netns, direction, outcome)
            .iter()
            .map(|(_, value)| value.count)
            .sum();
        let overflown = self.overflows.iter().filter(|overflow| wanted(&overflow.key)).count();
        counted + u64::try_from(overflown).unwrap_or(u64::MAX)
    }

    /// Checks the books of the TCP hook.
    pub(crate) fn check_books(&self) -> Outcome {
        self.check_books_of(HookId::InetSockSetState)
    }

    /// Checks what must hold whatever else the machine did meanwhile: nothing was handled that is not somewhere.
    pub(crate) fn check_books_of(&self, id: HookId) -> Outcome {
        let hook = self.hook(id)?;
        let counters = hook.counters;
        let handled = counters.invocations - counters.filtered;
        let events: Vec<&Event> = self.events.iter().filter(|event| event.hook == hook.id.id()).collect();
        let of_hook: Vec<&(FlowKey, FlowValue)> = self
            .drained
            .flows
            .iter()
            .filter(|(key, _)| key.hook == hook.id.id())
            .collect();
        let overflows: Vec<&Overflow> = self
            .overflows
            .iter()
            .filter(|overflow| overflow.hook == hook.id.id())
            .collect();
        let consumed = u64::try_from(events.len())?;
        if consumed != counters.samples {
            return Err(format!("{consumed} events came and {} were sent", counters.samples).into());
        }
        if counters.samples + counters.ring_full + counters.thinned != handled {
            return Err(format!("{handled} events do not add up: {counters:?}").into());
        }
        let flows: u64 = of_hook.iter().map(|(_, value)| value.count).sum();
        let listens: u64 = self
            .drained
            .listens
            .iter()
            .filter(|(key, _)| id == HookId::InetSockSetState && key.protocol != Protocol::Udp.id())
            .map(|(_, value)| u64::from(value.opened) + u64::from(value.closed))
            .sum();
        let carried = events.iter().filter(|event| carries_count(event)).count();
        let lost = u64::try_from(overflows.len())? + counters.edge_lost;
        if flows + listens + u64::try_from(carried)? + lost != handled {
            return Err(format!(
                "{handled} operations, but {flows} flows, {listens} listens, {carried} carried: {counters:?}"
            )
            .into());
        }
        let samples: u64 = of_hook.iter().map(|(_, value)| value.samples).sum();
        let sampled_overflows = overflows.iter().filter(|overflow| overflow.sampled != 0).count();
        let of_edges = events
            .iter()
            .filter(|event| event.direction != Direction::None.id())
            .count();
        // An edge lost to both map and ring cannot say whether its event fitted.
        if counters.edge_lost == 0 && samples + u64::try_from(sampled_overflows)? != u64::try_from(of_edges)? {
            return Err(format!("{of_edges} events of edges, {samples} + {sampled_overflows} by the edges").into());
        }
        let overflows = u64::try_from(overflows.len())?;
        if hook.counters.map_full != overflows + hook.counters.edge_lost {
            return Err(format!("{overflows} overflows do not add up: {counters:?}").into());
        }
        Ok(())
    }
}

/// Whether an event is the only one to tell that a socket began or ceased to listen.
fn carries_count(event: &Event) -> bool {
    let kinds = [RecordKind::Bind, RecordKind::Listen, RecordKind::Unlisten];
    event.flags & FLAG_UNCOUNTED != 0 && kinds.iter().any(|kind| event.kind == kind.id())
}

/// What such an event counts.
fn listen(event: &Event) -> (ListenKey, ListenValue) {
    let key = ListenKey {
        cgroup_id: event.cgroup_id,
        netns: event.netns,
        port: event.local_port,
        protocol: event.protocol,
        ip_version: event.ip_version,
        local_ip: event.local_ip,
    };
    let opened = u32::from(event.kind != RecordKind::Unlisten.id());
    let value = ListenValue {
        first_ns: event.ts_ns,
        last_ns: event.ts_ns,
        opened,
        closed: 1 - opened,
        backlog: event.backlog,
        hook: event.hook.into(),
    };
    (key, value)
}

/// Whether an edge is one of our own workers, in this namespace, direction and outcome.
fn is_of(key: &FlowKey, netns: u32, direction: Direction, outcome: FlowOutcome) -> bool {
    cgroup::is_ours(key.cgroup_id) && (key.netns, key.direction, key.outcome) == (netns, direction.id(), outcome.id())
}
