//! Walks and what the kernel tells, in every order.

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
    assert_eq!(
        ends(&all.live()),
        [
            (1, None, Assumed, None, Assumed),
            (2, None, Assumed, Some(Time(20)), Assumed),
            (3, Some(Time(10)), Assumed, None, Assumed)
        ]
    );
    all.walked(Time(30), found(&[1]));
    assert_eq!(ends(&all.take_ended()), [(2, None, Assumed, Some(Time(20)), Assumed)]);
    all.walked(Time(40), found(&[1]));
    assert_eq!(
        ends(&all.take_ended()),
        [(3, Some(Time(10)), Assumed, Some(Time(30)), Assumed)]
    );
    assert_eq!(ends(&all.live()), [(1, None, Assumed, None, Assumed)]);
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
fn what_became_known_without_being_told_is_counted() {
    let mut all = Cgroups::default();
    // Removed before the first walk: it was there before the window.
    all.removed(9, POD.to_owned(), Time(5));
    all.walked(Time(10), found(&[1]));
    assert_eq!(all.untold(), 0);
    // Found by a walk, and told to be gone.
    all.walked(Time(20), found(&[1, 2]));
    all.removed(3, POD.to_owned(), Time(21));
    assert_eq!(all.untold(), 2);
    // A walk was ahead of what the kernel told.
    all.walked(Time(30), found(&[1, 2, 4]));
    assert_eq!(all.untold(), 3);
    all.made(4, format!("{POD}-4"), Time(29));
    all.made(5, POD.to_owned(), Time(31));
    all.removed(5, POD.to_owned(), Time(32));
    assert_eq!(all.untold(), 2);
}

#[test]
fn a_walk_does_not_end_what_was_made_behind_its_back() {
    let mut all = Cgroups::default();
    all.made(5, POD.to_owned(), Time(12));
    all.walked(Time(10), Vec::new());
    assert_eq!(ends(&all.live()), [(5, Some(Time(12)), Observed, None, Assumed)]);
}

#[test]
fn a_removal_told_late_is_known_exactly_and_once() {
    let mut all = Cgroups::default();
    all.made(5, POD.to_owned(), Time(12));
    all.walked(Time(20), Vec::new());
    assert_eq!(ends(&all.take_ended()), []);
    assert_eq!(
        ends(&all.live()),
        [(5, Some(Time(12)), Observed, Some(Time(20)), Assumed)]
    );
    all.removed(5, POD.to_owned(), Time(15));
    assert_eq!(
        ends(&all.take_ended()),
        [(5, Some(Time(12)), Observed, Some(Time(15)), Observed)]
    );
}

#[test]
fn one_that_a_walk_missed_and_the_next_one_finds_goes_on() {
    let mut all = Cgroups::default();
    all.walked(Time(10), found(&[1]));
    all.walked(Time(20), Vec::new());
    assert_eq!(all.live_pods().count(), 0);
    all.walked(Time(30), found(&[1]));
    assert_eq!(ends(&all.live()), [(1, None, Assumed, None, Assumed)]);
    assert_eq!(ends(&all.take_ended()), []);
}

#[test]
fn one_whose_making_was_not_told_began_after_the_walk_before() {
    let mut all = Cgroups::default();
    all.walked(Time(10), found(&[1]));
    all.walked(Time(20), found(&[1, 2]));
    all.removed(2, format!("{POD}-2"), Time(25));
    assert_eq!(
        ends(&all.take_ended()),
        [(2, Some(Time(10)), Assumed, Some(Time(25)), Observed)]
    );
}

#[test]
fn an_id_that_is_used_again_is_another_control_group() {
    let other = POD.replace("2c48913c", "00000000");
    let mut told = Cgroups::default();
    told.made(5, POD.to_owned(), Time(10));
    told.removed(5, POD.to_owned(), Time(11));
    told.made(5, other.clone(), Time(12));
    assert_eq!(
        ends(&told.take_ended()),
        [(5, Some(Time(10)), Observed, Some(Time(11)), Observed)]
    );
    assert_eq!(ends(&told.live()), [(5, Some(Time(12)), Observed, None, Assumed)]);
    assert_eq!(told.live()[0].path, other);

    // The removal was lost: by the making of the next one, or by a walk that finds it, the first has ended.
    for walk in [false, true] {
        let mut lost = Cgroups::default();
        lost.made(5, POD.to_owned(), Time(10));
        if walk {
            let path = other.clone();
            lost.walked(Time(12), vec![Found { id: 5, path }]);
        } else {
            lost.made(5, other.clone(), Time(12));
        }
        assert_eq!(
            ends(&lost.take_ended()),
            [(5, Some(Time(10)), Observed, Some(Time(12)), Assumed)]
        );
        assert_eq!(lost.live()[0].path, other);
    }
}

/// A pod's containers come and go below it, each with a row of its own.
#[test]
fn a_restarted_container_is_another_row_of_the_same_pod() {
    let container = |number: u64| format!("{POD}/{number:064x}");
    let mut all = Cgroups::default();
    all.made(1, POD.to_owned(), Time(1));
    all.made(2, container(2), Time(2));
    all.removed(2, container(2), Time(3));
    all.made(3, container(3), Time(4));
    let rows = [all.take_ended(), all.live()].concat();
    let containers: Vec<_> = rows
        .iter()
        .map(|row| (row.cgroup_id, row.container_id.clone()))
        .collect();
    assert_eq!(
        containers,
        [
            (2, Some(format!("{:064x}", 2))),
            (1, None),
            (3, Some(format!("{:064x}", 3)))
        ]
    );
    assert!(
        rows.iter()
            .all(|row| row.pod_uid == rows[0].pod_uid && row.pod_uid.is_some())
    );
    assert_eq!(all.take_gone().into_iter().collect::<Vec<_>>(), [(2, Time(3))]);
}

/// What has come and gone is kept until it is taken, and no longer.
#[test]
fn churn_leaves_nothing_behind() {
    let mut all = Cgroups::default();
    let pods = 1_000_u64;
    for id in 0..pods {
        let at = i64::try_from(id).unwrap() * 10;
        all.made(id, format!("{POD}/{id:064x}"), Time(at));
        all.removed(id, format!("{POD}/{id:064x}"), Time(at + 5));
    }
    let rows = all.take_ended();
    assert_eq!(rows.len(), 1_000);
    assert!(
        rows.iter()
            .all(|row| row.from_bound == Observed && row.to_bound == Observed)
    );
    assert_eq!(
        (all.live().len(), all.take_ended().len(), all.take_gone().len()),
        (0, 0, 1_000)
    );
    assert_eq!(all.take_gone().len(), 0);
}

#[test]
fn a_walk_mends_a_path_that_was_cut() {
    let mut all = Cgroups::default();
    all.made(5, POD[..20].to_owned(), Time(12));
    all.walked(Time(20), found(&[5]));
    assert_eq!(ends(&all.take_ended()), []);
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
