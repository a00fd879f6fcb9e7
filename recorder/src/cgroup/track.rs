//! Follows control groups through the window: what a walk found, and what the kernel told between two walks. Pure.
//!
//! What the kernel told has an observed time. What only a walk noticed was made after the walk before it and gone before
//! this one, so its interval is widened to those two moments and its ends are assumed: too wide is said, too narrow would
//! lose sockets.

use std::collections::BTreeMap;

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
    last_walk: Option<Time>,
}

#[derive(Debug)]
struct Live {
    path: String,
    /// When it was made, and whether that was seen; `None` if before the window.
    from: Option<(Time, Bound)>,
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
        let gone: Vec<u64> = {
            let seen: std::collections::BTreeSet<u64> = found.iter().map(|found| found.id).collect();
            // What was made after the walk began may have been missed by it.
            let older = |live: &Live| live.from.is_none_or(|(from, _)| from < at);
            let gone = self.live.iter().filter(|(id, live)| !seen.contains(id) && older(live));
            gone.map(|(id, _)| *id).collect()
        };
        for id in gone {
            self.end(id, at, Bound::Assumed);
        }
        let from = self.last_walk.map(|before| (before, Bound::Assumed));
        for Found { id, path } in found {
            // A walk knows the whole path, the kernel's record may have been cut.
            let known = self.live.remove(&id).map_or(from, |live| live.from);
            self.live.insert(id, Live { path, from: known });
        }
        self.last_walk = Some(at);
    }

    /// The kernel told that one was made.
    pub fn made(&mut self, id: u64, path: String, at: Time) {
        self.live.entry(id).or_insert(Live { path, from: None }).from = Some((at, Bound::Observed));
    }

    /// The kernel told that one was removed.
    pub fn removed(&mut self, id: u64, path: String, at: Time) {
        if self.live.contains_key(&id) {
            self.end(id, at, Bound::Observed);
        } else if let Some(row) = self.ended.iter_mut().rev().find(|row| row.cgroup_id == id) {
            // A walk noticed it first.
            (row.valid_to, row.to_bound) = (Some(at), Bound::Observed);
        } else {
            let before = Live { path, from: None };
            self.ended.push(row(id, &before, Some((at, Bound::Observed))));
        }
    }

    /// What ended since the last call.
    pub fn take_ended(&mut self) -> Vec<CgroupRow> {
        std::mem::take(&mut self.ended)
    }

    /// What is there now, as rows.
    #[must_use]
    pub fn live(&self) -> Vec<CgroupRow> {
        self.live.iter().map(|(id, live)| row(*id, live, None)).collect()
    }

    /// The control groups of pods that are there now.
    pub fn live_pods(&self) -> impl Iterator<Item = LivePod<'_>> {
        self.live.iter().filter_map(|(id, live)| {
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
mod tests {
    use super::{Cgroups, Found};
    use flowtape_schemas::cluster::Bound::{self, Assumed, Observed};
    use flowtape_schemas::node::CgroupRow;
    use flowtape_schemas::time::Time;

    const POD: &str = "/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796";

    fn found(ids: &[u64]) -> Vec<Found> {
        let one = |&id: &u64| Found {
            id,
            path: format!("{POD}-{id}"),
        };
        ids.iter().map(one).collect()
    }

    type Ends = (u64, Option<Time>, Bound, Option<Time>, Bound);

    fn ends(rows: &[CgroupRow]) -> Vec<Ends> {
        let of = |row: &CgroupRow| {
            (
                row.cgroup_id,
                row.valid_from,
                row.from_bound,
                row.valid_to,
                row.to_bound,
            )
        };
        rows.iter().map(of).collect()
    }

    #[test]
    fn walks_alone_widen_to_the_walks_around() {
        let mut all = Cgroups::default();
        all.walked(Time(10), found(&[1, 2]));
        all.walked(Time(20), found(&[1, 3]));
        assert_eq!(ends(&all.take_ended()), [(2, None, Assumed, Some(Time(20)), Assumed)]);
        assert_eq!(
            ends(&all.live()),
            [
                (1, None, Assumed, None, Assumed),
                (3, Some(Time(10)), Assumed, None, Assumed)
            ]
        );
        all.walked(Time(30), found(&[1]));
        assert_eq!(
            ends(&all.take_ended()),
            [(3, Some(Time(10)), Assumed, Some(Time(30)), Assumed)]
        );
    }

    #[test]
    fn what_the_kernel_told_is_observed() {
        let mut all = Cgroups::default();
        all.walked(Time(10), found(&[1]));
        all.made(2, POD.to_owned(), Time(12));
        all.removed(2, POD.to_owned(), Time(13));
        all.removed(1, POD.to_owned(), Time(14));
        let rows = all.take_ended();
        assert_eq!(
            ends(&rows),
            [
                (2, Some(Time(12)), Observed, Some(Time(13)), Observed),
                (1, None, Assumed, Some(Time(14)), Observed)
            ]
        );
        assert_eq!(rows[0].pod_uid.as_deref(), Some("2c48913c-b29f-11e7-9350-020968147796"));
    }

    #[test]
    fn a_walk_does_not_end_what_was_made_behind_its_back() {
        let mut all = Cgroups::default();
        all.made(5, POD.to_owned(), Time(12));
        all.walked(Time(10), Vec::new());
        assert_eq!(ends(&all.live()), [(5, Some(Time(12)), Observed, None, Assumed)]);
    }

    #[test]
    fn a_removal_told_late_is_known_exactly() {
        let mut all = Cgroups::default();
        all.made(5, POD.to_owned(), Time(12));
        all.walked(Time(20), Vec::new());
        all.removed(5, POD.to_owned(), Time(15));
        assert_eq!(
            ends(&all.take_ended()),
            [(5, Some(Time(12)), Observed, Some(Time(15)), Observed)]
        );
    }

    #[test]
    fn a_walk_mends_a_path_that_was_cut() {
        let mut all = Cgroups::default();
        all.made(5, POD[..20].to_owned(), Time(12));
        all.walked(Time(20), found(&[5]));
        assert_eq!(all.live()[0].path, format!("{POD}-5"));
    }

    #[test]
    fn the_kernel_knows_the_beginning_of_what_a_walk_found_first() {
        let mut all = Cgroups::default();
        all.walked(Time(10), found(&[1]));
        all.made(1, POD.to_owned(), Time(9));
        assert_eq!(ends(&all.live()), [(1, Some(Time(9)), Observed, None, Assumed)]);
    }

    #[test]
    fn one_that_only_ends_began_before_the_window() {
        let mut all = Cgroups::default();
        all.removed(7, POD.to_owned(), Time(5));
        assert_eq!(ends(&all.take_ended()), [(7, None, Assumed, Some(Time(5)), Observed)]);
    }

    #[test]
    fn pods_are_listed_and_others_are_not() {
        let mut all = Cgroups::default();
        all.made(1, POD.to_owned(), Time(1));
        all.made(2, "/system.slice".to_owned(), Time(1));
        let pods: Vec<u64> = all.live_pods().map(|pod| pod.cgroup_id).collect();
        assert_eq!(pods, [1]);
    }
}
