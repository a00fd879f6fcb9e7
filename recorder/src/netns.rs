//! Which pod a network namespace belongs to: the second key, for sockets whose control group says nothing.
//!
//! A pod's processes stand in its control groups, and `/proc/PID/ns/net` says where they are. That needs to see the host's
//! processes and may need `CAP_SYS_PTRACE`; where it is not allowed the table stays short, and the control group decides.
//!
//! Where version 1 hierarchies are mounted, pods may be in those only, and every socket is then of the root of version 2.
//! There it goes the other way round: each namespace that no pod is known for is looked up by the processes in it, whose
//! `/proc/PID/cgroup` names the pod in one of its lines. A namespace that an event is of is looked up at once, so that a
//! pod does not have to live until the next look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::NetnsRow;
use flowtape_schemas::time::Time;

use crate::cgroup::path::{self, PodName};
use crate::cgroup::track::Cgroups;
use crate::cgroup::walk::Hierarchy;

/// How many processes are asked about between two looks because of an event.
const QUESTIONS: usize = 1_024;

/// Every network namespace of the node that is known.
#[derive(Debug)]
pub struct Namespaces {
    proc: PathBuf,
    host: Option<u32>,
    /// Whether pods may be in version 1 control groups.
    hybrid: bool,
    live: BTreeMap<Owned, Held>,
    /// Control groups that need no second look, and what they say.
    known: BTreeMap<u64, Option<Owned>>,
    /// Processes and namespaces that an event asked about since the last look.
    asked: BTreeSet<(u32, u32)>,
    last_look: Option<Time>,
    ended: Vec<NetnsRow>,
}

/// A namespace and the UID of a pod in it.
type Owned = (u32, String);

#[derive(Clone, Debug, Default)]
struct Held {
    /// Since when; `None` if before the window.
    from: Option<Time>,
    cookie: Option<u64>,
    /// Known by the processes in it, not by a version 2 control group.
    by_process: bool,
}

impl Namespaces {
    /// Knows the host's namespace, which the first process is in; `proc` is where procfs is mounted, `hybrid` says that
    /// pods may be in version 1 control groups.
    #[must_use]
    pub fn new(proc: PathBuf, hybrid: bool) -> Self {
        let host = of_process(&proc, "1").or_else(|| of_process(&proc, "self"));
        Self {
            proc,
            host,
            hybrid,
            live: BTreeMap::new(),
            known: BTreeMap::new(),
            asked: BTreeSet::new(),
            last_look: None,
            ended: Vec::new(),
        }
    }

    /// Looks for the namespaces of pods that were not known yet, and ends those of pods that are gone.
    pub fn look(&mut self, at: Time, hierarchy: Option<&Hierarchy>, cgroups: &mut Cgroups) {
        self.look_into_cgroups(at, hierarchy, cgroups);
        if self.hybrid {
            self.look_at_processes(at);
        }
        self.asked.clear();
        self.last_look = Some(at);
    }

    /// An event is of this namespace and process: finds out which pod that is, if nothing else says so.
    pub fn ask(&mut self, netns: u32, process: u32) {
        let is_news = self.hybrid && !self.is_owned(netns) && self.asked.len() < QUESTIONS;
        if is_news && self.asked.insert((netns, process)) {
            let process = process.to_string();
            if of_process(&self.proc, &process) == Some(netns) {
                self.hold_by_process(netns, &process);
            }
        }
    }

    /// What ended since the last call.
    pub fn take_ended(&mut self) -> Vec<NetnsRow> {
        std::mem::take(&mut self.ended)
    }

    /// What is there now: the host's own, and one for each pod.
    #[must_use]
    pub fn live(&self) -> Vec<NetnsRow> {
        let host = self.host.map(|netns| NetnsRow {
            is_host: true,
            ..row(netns, None, &Held::default(), None)
        });
        let pods = self
            .live
            .iter()
            .map(|((netns, uid), held)| row(*netns, Some(uid.clone()), held, None));
        host.into_iter().chain(pods).collect()
    }

    /// Whether it is known whose namespace this is.
    fn is_owned(&self, netns: u32) -> bool {
        let mut owners = self.live.range((netns, String::new())..);
        Some(netns) == self.host || owners.next().is_some_and(|((owned, _), _)| *owned == netns)
    }

    fn look_into_cgroups(&mut self, at: Time, hierarchy: Option<&Hierarchy>, cgroups: &mut Cgroups) {
        let gone = cgroups.take_gone();
        let mut ids = BTreeSet::new();
        for pod in cgroups.live_pods() {
            ids.insert(pod.cgroup_id);
            let PodName::Uid(uid) = pod.pod else {
                // The API knows a static pod by another UID; the analyzer joins by its control group.
                continue;
            };
            if self.known.contains_key(&pod.cgroup_id) {
                continue;
            }
            let Some((netns, process)) = hierarchy.and_then(|hierarchy| self.of_cgroup(hierarchy, pod.path)) else {
                continue;
            };
            // A pod in the host's namespace (hostNetwork) does not own it.
            let owned = (Some(netns) != self.host).then_some((netns, uid));
            if let Some(owned) = &owned {
                let cookie = cookie(&self.proc, &process);
                let held = self.live.entry(owned.clone()).or_insert(Held {
                    from: pod.from,
                    cookie,
                    by_process: false,
                });
                held.from = held.from.min(pod.from);
                held.by_process = false;
            }
            self.known.insert(pod.cgroup_id, owned);
        }
        let mut last: BTreeMap<Owned, Time> = BTreeMap::new();
        self.known.retain(|id, owned| {
            let is_there = ids.contains(id);
            if let (false, Some(owned)) = (is_there, owned) {
                let end = last.entry(owned.clone()).or_insert(Time::MIN);
                *end = (*end).max(gone.get(id).copied().unwrap_or(at));
            }
            is_there
        });
        // The namespace is the pod's for as long as one of the control groups is there that it was found by.
        let held: BTreeSet<&Owned> = self.known.values().flatten().collect();
        last.retain(|owned, _| !held.contains(owned));
        for (owned, end) in last {
            self.end(&owned, end);
        }
    }

    /// Looks at every process that can be seen.
    fn look_at_processes(&mut self, at: Time) {
        let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for entry in fs::read_dir(&self.proc).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.bytes().all(|byte| byte.is_ascii_digit())
                && let Some(netns) = of_process(&self.proc, &name)
            {
                found.entry(netns).or_default().push(name);
            }
        }
        let is_gone = |(owned, held): &(&Owned, &Held)| held.by_process && !found.contains_key(&owned.0);
        let gone: Vec<Owned> = self
            .live
            .iter()
            .filter(is_gone)
            .map(|(owned, _)| owned.clone())
            .collect();
        for owned in gone {
            self.end(&owned, at);
        }
        for (netns, processes) in found {
            if !self.is_owned(netns) {
                // Some of them may be of the runtime, which enters the namespace to set it up.
                let _ = processes.iter().any(|process| self.hold_by_process(netns, process));
            }
        }
    }

    /// Notes whose namespace it is by a process in it; says whether that is a pod's.
    fn hold_by_process(&mut self, netns: u32, process: &str) -> bool {
        let Some(uid) = pod_of_process(&self.proc, process) else {
            return false;
        };
        let held = Held {
            // It was not there at the last look.
            from: self.last_look,
            cookie: cookie(&self.proc, process),
            by_process: true,
        };
        self.live.insert((netns, uid), held);
        true
    }

    fn end(&mut self, owned: &Owned, at: Time) {
        if let Some(held) = self.live.remove(owned) {
            let at = held.from.map_or(at, |from| at.max(from));
            let (netns, uid) = owned.clone();
            self.ended.push(row(netns, Some(uid), &held, Some(at)));
        }
    }

    /// The namespace of a control group and a process in both.
    fn of_cgroup(&self, hierarchy: &Hierarchy, path: &str) -> Option<(u32, String)> {
        let below = path
            .strip_prefix(hierarchy.root.trim_end_matches('/'))?
            .trim_start_matches('/');
        let processes = fs::read_to_string(hierarchy.mount.join(below).join("cgroup.procs")).ok()?;
        // `0` is a process that this namespace of processes cannot see.
        let mut visible = processes.lines().filter(|&process| process != "0");
        visible.find_map(|process| Some((of_process(&self.proc, process)?, process.to_owned())))
    }
}

/// The UID of the pod that any of the hierarchies puts a process in (cgroups(7), `/proc/PID/cgroup`:
/// `number:controllers:path`).
fn pod_of_process(proc: &Path, process: &str) -> Option<String> {
    let groups = fs::read_to_string(proc.join(process).join("cgroup")).ok()?;
    groups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        match path::parse(path)?.pod {
            PodName::Uid(uid) => Some(uid),
            PodName::StaticHash(_) => None,
        }
    })
}

/// The inode number of the namespace a process is in, or `None` if it may not be seen.
fn of_process(proc: &Path, process: &str) -> Option<u32> {
    let link = fs::read_link(proc.join(process).join("ns/net")).ok()?;
    parse_link(link.to_str()?)
}

/// `net:[4026531840]` (namespaces(7)).
fn parse_link(link: &str) -> Option<u32> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// The cookie of the namespace a process is in, which is never used again, unlike its inode number. Kernels before 6.18
/// have no way to ask for it without entering the namespace (`NS_GET_ID`, `include/uapi/linux/nsfs.h`).
#[cfg(target_os = "linux")]
fn cookie(proc: &Path, process: &str) -> Option<u64> {
    use std::os::fd::AsRawFd as _;
    const NS_GET_ID: libc::Ioctl = libc::_IOR::<u64>(0xb7, 13);
    let namespace = fs::File::open(proc.join(process).join("ns/net")).ok()?;
    let mut id: u64 = 0;
    // SAFETY: the descriptor is open, and the kernel writes eight bytes to a live integer of that size.
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_ID, &raw mut id) };
    (result == 0 && id != 0).then_some(id)
}

#[cfg(not(target_os = "linux"))]
fn cookie(_proc: &Path, _process: &str) -> Option<u64> {
    None
}

fn row(netns: u32, pod_uid: Option<String>, held: &Held, to: Option<Time>) -> NetnsRow {
    NetnsRow {
        netns,
        cookie: held.cookie,
        is_host: false,
        pod_uid,
        valid_from: held.from,
        from_bound: Bound::Assumed,
        valid_to: to,
        to_bound: Bound::Assumed,
    }
}

#[cfg(test)]
mod tests;
