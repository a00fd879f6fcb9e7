//! Follows control groups through the window: what a walk found, and what the kernel told between two walks. Pure.
//!
//! What the kernel told has an observed time. What only a walk noticed was made after the walk before it and gone before
//! this one, so its interval is widened to those two moments and its ends are assumed: too wide is said, too narrow would
//! lose sockets.
//!
//! Walks and what the kernel tells come in any order: a walk may find what is told of a moment later, and may miss what is
//! told to be gone a moment later. So what a walk misses is only marked; it ends when the kernel tells when, or else when
//! the next walk misses it too, at the time of the first.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::CgroupRow;
use flowtape_schemas::time::Time;

use super::path::{PodName, PodPath, parse};
use super::walk::Found;

/// Every control group of the node that is known.
#[derive(Debug, Default)]
pub struct Cgroups {
    live: BTreeMap<u64, Live>,
    ended: Vec<CgroupRow>,
    /// When those of pods ended, until somebody asks.
    gone: BTreeMap<u64, Time>,
    last_walk: Option<Time>,
    /// Those of which only a walk or their removal told that they had been made in the window.
    untold: u64,
}

#[derive(Debug)]
struct Live {
    path: String,
    /// When it was made, and whether that was seen; `None` if before the window.
    from: Option<(Time, Bound)>,
    /// When a walk began that did not find it.
    missed: Option<Time>,
}

impl Live {
    fn new(path: String, from: Option<(Time, Bound)>) -> Self {
        Self {
            path,
            from,
            missed: None,
        }
    }

    /// Whether a path is that of this one, as far as the kernel's record may have been cut.
    fn is_at(&self, path: &str) -> bool {
        self.path.starts_with(path) || path.starts_with(&self.path)
    }
}

/// A container's control group, for whoever wants to look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePod<'a> {
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// Path below the root of the hierarchy.
    pub path: &'a str,
    /// The pod, by UID or configuration hash.
    pub pod: PodName,
    /// When it was made; `None` if before the window.
    pub from: Option<Time>,
}

impl Cgroups {
    /// Takes a walk that began at `at`.
    pub fn walked(&mut self, at: Time, found: Vec<Found>) {
        let seen: BTreeSet<u64> = found.iter().map(|found| found.id).collect();
        let mut gone = Vec::new();
        for (id, live) in self.live.iter_mut().filter(|(id, _)| !seen.contains(id)) {
            match live.missed {
                Some(first) => gone.push((*id, first)),
                // What was made after the walk began may have been missed by it.
                None if live.from.is_none_or(|(from, _)| from < at) => live.missed = Some(at),
                None => {}
            }
        }
        for (id, first) in gone {
            self.end(id, first, Bound::Assumed);
        }
        let from = self.last_walk.map(|before| (before, Bound::Assumed));
        for Found { id, path } in found {
            self.end_namesake(id, &path, at);
            // A walk knows the whole path, the kernel's record may have been cut.
            let before = self.live.remove(&id);
            self.untold += u64::from(before.is_none() && from.is_some());
            let known = before.map_or(from, |live| live.from);
            self.live.insert(id, Live::new(path, known));
        }
        self.last_walk = Some(at);
    }

    /// The kernel told that one was made.
    pub fn made(&mut self, id: u64, path: String, at: Time) {
        self.end_namesake(id, &path, at);
        let live = self.live.entry(id).or_insert_with(|| Live::new(path, None));
        if matches!(live.from, Some((_, Bound::Assumed))) {
            self.untold = self.untold.saturating_sub(1);
        }
        live.from = Some((at, Bound::Observed));
    }

    /// The kernel told that one was removed.
    pub fn removed(&mut self, id: u64, path: String, at: Time) {
        self.end_namesake(id, &path, at);
        if self.live.contains_key(&id) {
            self.end(id, at, Bound::Observed);
        } else {
            // Before the first walk it was there before the window.
            self.untold += u64::from(self.last_walk.is_some());
            let before = Live::new(path, None);
            self.ended.push(row(id, &before, Some((at, Bound::Observed))));
        }
    }

    /// Ends the one that had this id at another path: its removal was not told.
    fn end_namesake(&mut self, id: u64, path: &str, at: Time) {
        if self.live.get(&id).is_some_and(|live| !live.is_at(path)) {
            let missed = self.live.get(&id).and_then(|live| live.missed);
            self.end(id, missed.unwrap_or(at), Bound::Assumed);
        }
    }

    /// How many were made in the window of which the kernel did not tell that, and which became known all the same.
    #[must_use]
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// What ended since the last call.
    pub fn take_ended(&mut self) -> Vec<CgroupRow> {
        std::mem::take(&mut self.ended)
    }

    /// What is there now, as rows.
    #[must_use]
    pub fn live(&self) -> Vec<CgroupRow> {
        let ends = |live: &Live| live.missed.map(|at| (at, Bound::Assumed));
        self.live.iter().map(|(id, live)| row(*id, live, ends(live))).collect()
    }

    /// When control groups of pods ended since the last call.
    pub fn take_gone(&mut self) -> BTreeMap<u64, Time> {
        std::mem::take(&mut self.gone)
    }

    /// The control groups of pods that are there now.
    pub fn live_pods(&self) -> impl Iterator<Item = LivePod<'_>> {
        self.live
            .iter()
            .filter(|(_, live)| live.missed.is_none())
            .filter_map(|(id, live)| {
                Some(LivePod {
                    cgroup_id: *id,
                    path: &live.path,
                    pod: parse(&live.path)?.pod,
                    from: live.from.map(|(from, _)| from),
                })
            })
    }

    fn end(&mut self, id: u64, at: Time, bound: Bound) {
        if let Some(live) = self.live.remove(&id) {
            // A removal that was noticed late must not come before the beginning.
            let at = live.from.map_or(at, |(from, _)| at.max(from));
            if parse(&live.path).is_some() {
                self.gone.insert(id, at);
            }
            self.ended.push(row(id, &live, Some((at, bound))));
        }
    }
}

fn row(id: u64, live: &Live, to: Option<(Time, Bound)>) -> CgroupRow {
    let says = parse(&live.path);
    let bound = |end: Option<(Time, Bound)>| end.map_or(Bound::Assumed, |(_, bound)| bound);
    let (pod_uid, static_pod_hash) = match says.as_ref().map(|says| says.pod.clone()) {
        Some(PodName::Uid(uid)) => (Some(uid), None),
        Some(PodName::StaticHash(hash)) => (None, Some(hash)),
        None => (None, None),
    };
    let qos = says.as_ref().map(|says| says.qos);
    let container = says.and_then(|PodPath { container, .. }| container);
    CgroupRow {
        cgroup_id: id,
        path: live.path.clone(),
        pod_uid,
        static_pod_hash,
        runtime: container.as_ref().map(|container| container.runtime),
        container_id: container.map(|container| container.id),
        qos,
        valid_from: live.from.map(|(time, _)| time),
        from_bound: bound(live.from),
        valid_to: to.map(|(time, _)| time),
        to_bound: bound(to),
    }
}

#[cfg(test)]
mod tests;
