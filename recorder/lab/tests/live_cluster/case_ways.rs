//! Every way through a cluster: a scenario for each, recorded, edge by edge what the text says, and nobody in it unknown
//! but those whom the text made so.

use flowtape::findings::Findings;
use flowtape::flow;
use flowtape::flow::edge::{Edge, EdgeKey};
use flowtape::identity::cluster::Cluster;
use flowtape_schemas::time::Time;

use crate::compare::{same_edges, unknown_edges};
use crate::recorded::{Opened, Recorded};
use crate::scenario;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("cluster_ip", |_| way("cluster-ip", 0)),
    ("node_port", |_| way("node-port", 0)),
    ("two_services_and_a_node_before_one_backend", |_| shared_backend()),
    ("headless", |_| way("headless", 0)),
    ("host_network_on_both_ends", |_| way("host-network", 0)),
    ("an_address_used_again_within_two_seconds", |_| reuse()),
    ("a_cron_job_of_three_runs", |_| cron_job()),
    ("dual_stack", |_| way("dual-stack", 0)),
    ("only_those_made_unknown_are_unknown", |_| way("strangers", 2)),
];

/// Records a scenario that has so many edges of somebody unknown.
fn way(name: &str, unknown: usize) -> Outcome<String> {
    as_written(&Recorded::of(scenario::named(name)?, &[])?, unknown)
}

fn as_written(recorded: &Recorded, unknown: usize) -> Outcome<String> {
    recorded.check_complete()?;
    let compiled = Opened::directory(recorded.compiled()?)?;
    let (edges, operations) = same_edges(&recorded.opened, &compiled, 1)?;
    let strangers = unknown_edges(&recorded.opened);
    if strangers.len() != unknown {
        return Err(format!("{unknown} edges of somebody unknown expected: {strangers:#?}").into());
    }
    Ok(format!(
        "{edges} edges of {operations} operations, {unknown} of somebody unknown"
    ))
}

/// Counts leave it open, so that the edges without samples are the same, and some of them supposed.
fn shared_backend() -> Outcome<String> {
    let recorded = Recorded::of(scenario::named("shared-backend")?, &[])?;
    let figures = as_written(&recorded, 0)?;
    let Opened { tape, flows, .. } = &recorded.opened;
    let mut findings = Findings::default();
    let of_counts = flow::edges(tape, &Cluster::new(&tape.cluster, &mut findings), &mut findings);
    let keys = |edges: &[Edge]| -> Vec<EdgeKey> { edges.iter().map(|edge| edge.key.clone()).collect() };
    let doubtful = |edges: &[Edge]| -> usize {
        let is_doubtful = |edge: &&Edge| edge.evidence.assumed || !edge.evidence.rivalled.is_empty();
        edges.iter().filter(is_doubtful).count()
    };
    let (with, without) = (doubtful(&flows.edges), doubtful(&of_counts.edges));
    if keys(&of_counts.edges) != keys(&flows.edges) || with > 0 || without == 0 {
        return Err(format!(
            "{with} doubtful edges with samples, {without} without: {:#?}",
            of_counts.edges
        )
        .into());
    }
    Ok(format!("{figures}; {without} supposed without samples"))
}

/// One address, three workloads, and so little time in between that no tolerance may reach across.
fn reuse() -> Outcome<String> {
    let recorded = Recorded::of(scenario::named("reuse")?, &[])?;
    let figures = as_written(&recorded, 0)?;
    let gaps = [gap(&recorded, "first", "second")?, gap(&recorded, "second", "third")?];
    if gaps.iter().any(|gap| !(0..=2_000_000_000).contains(gap)) {
        return Err(format!("nanoseconds between the pods of one address: {gaps:?}").into());
    }
    let [first, second] = gaps.map(|gap| gap / 1_000_000);
    Ok(format!("{figures}; {first} ms and {second} ms between the pods"))
}

/// Nanoseconds from the end of one pod to the start of another.
fn gap(recorded: &Recorded, before: &str, after: &str) -> Outcome<i64> {
    let rows = &recorded.opened.tape.cluster.pods;
    let ends = rows
        .iter()
        .filter(|row| row.name == before)
        .filter_map(|row| row.valid_to);
    let starts = rows
        .iter()
        .filter(|row| row.name == after)
        .filter_map(|row| row.valid_from);
    let (Some(Time(end)), Some(Time(start))) = (ends.max(), starts.min()) else {
        return Err(format!("no end of pod {before}, or no start of pod {after}").into());
    };
    Ok(start - end)
}

/// Three pods of three Jobs become one client.
fn cron_job() -> Outcome<String> {
    let recorded = Recorded::of(scenario::named("cron-job")?, &[])?;
    let figures = as_written(&recorded, 0)?;
    let edges = &recorded.opened.flows.edges;
    let pods: Vec<usize> = edges.iter().map(|edge| edge.evidence.pairs.len()).collect();
    if pods != [3] {
        return Err(format!("expected one edge of three pods: {pods:?}, {edges:#?}").into());
    }
    Ok(format!("{figures}, 3 pods"))
}
