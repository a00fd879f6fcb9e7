//! One control group cannot take the room of another: what is beyond its share is folded, and counted to the last one.

use flowtape_recorder::kernel::Kernel;
use flowtape_recorder::kernel::config::KernelConfig;
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FOLDED_PORT, FOLDED_REMOTE, FlowKey};
use flowtape_recorder_ebpf::abi::id::{Direction, Outcome as FlowOutcome};
use flowtape_recorder_ebpf::abi::quota::FOLDED_EDGES;

use crate::cgroup::Group;
use crate::stage::{Recording, config, work};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("a_scanner_leaves_its_neighbours_alone", scanner),
    ("clients_without_end_fold_into_their_port", many_clients),
    ("a_quota_above_the_map_folds_nothing", small_map),
];

/// The default quota.
const QUOTA: u64 = 4_096;

/// Two processors may find the last place free at once.
const RACES: u64 = 64;

/// Edges and occurrences in a network namespace, direction and outcome, by how much is folded.
fn folded(recording: &Recording, netns: u32, direction: Direction, outcome: FlowOutcome) -> [(u64, u64); 3] {
    let mut sums = [(0, 0); 3];
    for (key, value) in recording.flows_in(netns, direction, outcome) {
        if let Some((edges, count)) = sums.get_mut(usize::from(key.folded)) {
            *edges += 1;
            *count += value.count;
        }
    }
    sums
}

fn scanner() -> Outcome {
    const SCANNED: u64 = 20_000;
    const SENT: u64 = 400;
    let (group, neighbour) = (Group::new()?, Group::new()?);
    let mut kernel = Kernel::load(&config())?;
    let scan = work(group.path(), &["scan", &SCANNED.to_string()], || Ok(()))?;
    let beside = work(neighbour.path(), &["spread", &SENT.to_string()], || Ok(()))?;
    let mut recording = Recording::default();
    recording.finish(&mut kernel)?;

    let [whole, remote, port] = folded(&recording, scan.netns()?, Direction::Out, FlowOutcome::Refused);
    assert_eq!(whole.1 + remote.1 + port.1, SCANNED, "{whole:?} {remote:?} {port:?}");
    assert!((QUOTA..QUOTA + RACES).contains(&whole.0), "{whole:?}");
    assert!((FOLDED_EDGES..FOLDED_EDGES + RACES).contains(&remote.0), "{remote:?}");
    assert_eq!(port.0, 1);
    for direction in [Direction::Out, Direction::In] {
        let edges = folded(&recording, beside.netns()?, direction, FlowOutcome::Established);
        assert_eq!(edges, [(SENT, SENT), (0, 0), (0, 0)], "{direction:?}");
    }
    let counters = recording.tcp()?.counters;
    assert!(counters.folded >= remote.1 + port.1, "{counters:?}");
    assert_eq!((counters.map_full, counters.edge_lost), (0, 0));
    recording.check_books()
}

/// A server, and by the same token a client, with more addresses on the other side than its share.
fn many_clients() -> Outcome {
    const SENT: u64 = 500;
    const SHARE: u32 = 100;
    let group = Group::new()?;
    let config = KernelConfig {
        quota: SHARE,
        ..config()
    };
    let mut kernel = Kernel::load(&config)?;
    let mut recording = Recording::default();
    // A share is for the time between two drains.
    let mut namespaces = Vec::new();
    for _ in 0..2 {
        let facts = work(group.path(), &["spread", &SENT.to_string()], || Ok(()))?;
        recording.drain(&mut kernel)?;
        namespaces.push((facts.netns()?, facts.number::<u16>("port")?));
    }
    recording.finish(&mut kernel)?;
    let mut sums = [(0, 0); 2];
    for (netns, port) in namespaces.into_iter().collect::<std::collections::BTreeSet<_>>() {
        for (sum, direction) in sums.iter_mut().zip([Direction::Out, Direction::In]) {
            let mine = |key: &FlowKey| (key.netns, key.service_port, key.direction) == (netns, port, direction.id());
            for (key, value) in recording.drained.flows.iter().filter(|(key, _)| mine(key)) {
                assert!(key.folded != FOLDED_PORT, "one port folds no port: {key:?}");
                assert_eq!(
                    key.folded == FOLDED_REMOTE,
                    key.remote_ip.is_unspecified() && key.local_ip.is_unspecified()
                );
                sum.0 += value.count;
                sum.1 += u64::from(key.folded == FOLDED_NOT);
            }
        }
    }
    for (count, edges) in sums {
        assert_eq!(count, 2 * SENT);
        assert!(
            (2 * u64::from(SHARE)..2 * u64::from(SHARE) + RACES).contains(&edges),
            "{edges}"
        );
    }
    recording.check_books()
}

/// Edges that found no room in the map took none of the share.
fn small_map() -> Outcome {
    const SENT: u64 = 100;
    let group = Group::new()?;
    let config = KernelConfig {
        flow_entries: 16,
        quota: 17,
        ..config()
    };
    let (recording, facts) = Recording::of(&config, group.path(), &["spread", &SENT.to_string()])?;
    for direction in [Direction::Out, Direction::In] {
        assert_eq!(
            recording.count_in(facts.netns()?, direction, FlowOutcome::Established),
            SENT
        );
    }
    assert_eq!(recording.tcp()?.counters.folded, 0);
    recording.check_books()
}
