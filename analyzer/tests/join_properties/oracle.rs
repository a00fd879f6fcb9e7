//! The join by nested loops over all rows, with none of the indexes of the real one.

use std::collections::BTreeSet;

use flowtape::flow::edge::Transport;
use flowtape::tape::{NodeTape, Tape};
use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::PodRow;
use flowtape_schemas::node::{Direction, FlowRow, Outcome};
use flowtape_schemas::time::Time;
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use crate::{AMBIGUOUS, Fact, arbitrary, facts, of_counts, record, some_nodes};

/// Two seconds in nanoseconds.
const TOLERANCE: i64 = 2_000_000_000;

type Interval = (Time, Time);

fn overlap(a: Interval, b: Interval, tolerance: i64) -> bool {
    a.0.0.saturating_sub(tolerance) <= b.1.0 && b.0.0 <= a.1.0.saturating_add(tolerance)
}

fn validity(from: Option<Time>, to: Option<Time>) -> Interval {
    (from.unwrap_or(Time::MIN), to.unwrap_or(Time::MAX))
}

fn time(row: &FlowRow) -> Interval {
    (row.first_seen, row.last_seen)
}

/// What is valid at that time; what nearly is, only if nothing else is.
fn valid<R>(rows: &[R], at: Interval, holds: impl Fn(&R) -> Interval, fits: impl Fn(&R) -> bool) -> Vec<&R> {
    let within = |tolerance| {
        let found = rows
            .iter()
            .filter(|row| fits(row) && overlap(at, holds(row), tolerance));
        found.collect::<Vec<_>>()
    };
    let exact = within(0);
    if exact.is_empty() { within(TOLERANCE) } else { exact }
}

/// The workload of a pod, as the generator names them.
fn workload(pod: &PodRow) -> String {
    let name = &pod.labels["app"];
    let kind = if name.starts_with(['w', 'c']) && name != "was" {
        "Deployment"
    } else {
        "Pod"
    };
    format!("{}/{kind}/{name}", pod.namespace)
}

fn owner(node: &NodeTape, tape: &Tape, row: &FlowRow) -> String {
    let holds = |row: &flowtape_schemas::node::CgroupRow| validity(row.valid_from, row.valid_to);
    let rows = valid(&node.cgroups, time(row), holds, |group| {
        Some(group.cgroup_id) == row.cgroup_id
    });
    let uid = rows[0].pod_uid.as_ref().unwrap();
    workload(tape.cluster.pods.iter().find(|pod| pod.uid == *uid).unwrap())
}

fn holder(tape: &Tape, address: Address, at: Interval) -> String {
    let holds = |row: &PodRow| validity(row.valid_from, row.valid_to);
    let pods = valid(&tape.cluster.pods, at, holds, |pod| pod.pod_ips.contains(&address));
    let workloads: BTreeSet<String> = pods.into_iter().map(workload).collect();
    match workloads.into_iter().collect::<Vec<_>>().as_slice() {
        [] => address.to_string(),
        [only] => only.clone(),
        [_, ..] => AMBIGUOUS.to_owned(),
    }
}

/// A backend of the Service at an address: its pod and port.
type Backend<'t> = (&'t PodRow, u16);

fn backends<'t>(tape: &'t Tape, row: &FlowRow) -> Vec<Backend<'t>> {
    let mut found = Vec::new();
    for service in &tape.cluster.services {
        let at_address = row
            .remote_ip
            .is_some_and(|address| service.cluster_ips.contains(&address));
        for port in &service.ports {
            if !at_address || Some(port.port) != row.service_port {
                continue;
            }
            let slices = valid(
                &tape.cluster.endpoint_slices,
                time(row),
                |slice| validity(slice.valid_from, slice.valid_to),
                |slice| slice.service.as_ref() == Some(&service.name),
            );
            for slice in slices {
                for slice_port in slice.ports.iter().filter(|other| other.name == port.name) {
                    for endpoint in &slice.endpoints {
                        let pod = tape
                            .cluster
                            .pods
                            .iter()
                            .find(|pod| Some(&pod.uid) == endpoint.pod_uid.as_ref());
                        found.push((pod.unwrap(), slice_port.port.unwrap()));
                    }
                }
            }
        }
    }
    found
}

/// Whether any row of any node shows that this backend saw this client then.
fn was_served(tape: &Tape, client: &FlowRow, (pod, port): Backend<'_>) -> bool {
    let mut rows = tape
        .nodes
        .iter()
        .flat_map(|node| node.flows.iter().map(move |row| (node, row)));
    rows.any(|(node, row)| {
        row.direction == Direction::In
            && Some(node.name.as_str()) == pod.node.as_deref()
            && row.remote_ip == client.local_ip
            && row.local_ip.is_some_and(|address| pod.pod_ips.contains(&address))
            && row.service_port == Some(port)
            && overlap(time(client), time(row), TOLERANCE)
    })
}

fn joined(tape: &Tape) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    for node in &tape.nodes {
        for row in &node.flows {
            let (local, peer) = (owner(node, tape, row), row.remote_ip.unwrap());
            let transport = Transport(row.protocol);
            let mut add = |from: &str, to: &str, port: u16, outcome: Outcome| {
                facts.insert((from.to_owned(), to.to_owned(), transport, port, outcome));
            };
            let remote = holder(tape, peer, time(row));
            let port = row.service_port.unwrap();
            if row.direction == Direction::In {
                add(&remote, &local, port, row.outcome);
                continue;
            }
            let all = backends(tape, row);
            if all.is_empty() {
                add(&local, &remote, port, row.outcome);
                continue;
            }
            let answer = |(pod, port): &Backend<'_>| (workload(pod), *port);
            let served: BTreeSet<_> = all
                .iter()
                .filter(|one| was_served(tape, row, **one))
                .map(answer)
                .collect();
            let unrecorded =
                |(pod, _): &&Backend<'_>| !tape.nodes.iter().any(|node| Some(&node.name) == pod.node.as_ref());
            let supposed: BTreeSet<_> = if served.is_empty() {
                all.iter().map(answer).collect()
            } else {
                all.iter().filter(unrecorded).map(answer).collect()
            };
            for (server, port) in served.union(&supposed) {
                add(&local, server, *port, row.outcome);
            }
        }
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_join_agrees_with_nested_loops(scenario in arbitrary::scenario(), bits in 1..8_u8) {
        let recorded = record(&scenario);
        let some = some_nodes(&recorded.tape, bits);
        prop_assert_eq!(facts(&of_counts(&some)), joined(&some));
    }
}
