//! Edges as they were recorded against edges as the scenario compiles.

use std::collections::BTreeMap;

use flowtape::flow::edge::{Edge, EdgeKey, Endpoint, Evidence, ServiceUse, Side, Translation};
use flowtape::identity::Identity;
use flowtape::sorted::Sorted;

use crate::Outcome;
use crate::recorded::Opened;

/// What must be the same of an edge; times, nodes and samples are a recording's own.
#[derive(Debug, PartialEq, Eq)]
struct Facts<'a> {
    count: u64,
    services: &'a Sorted<ServiceUse>,
    node_ports: &'a Sorted<u16>,
    translated: &'a Sorted<Translation>,
    seen_by: &'a Sorted<Side>,
    pairs: &'a Sorted<(Endpoint, Endpoint)>,
    port_name: Option<&'a str>,
    assumed: bool,
    predates_window: bool,
}

/// Nothing missing, nothing extra, everything counted: `times` as often as the compiled tape says. Gives the number of
/// edges and of operations.
pub(crate) fn same_edges(live: &Opened, compiled: &Opened, times: u64) -> Outcome<(usize, u64)> {
    let recorded = facts(&live.flows.edges, 1);
    let expected = facts(&compiled.flows.edges, times);
    if expected.is_empty() {
        return Err("the scenario has no edges".into());
    }
    let mut complaints = Vec::new();
    for (key, wanted) in &expected {
        match recorded.get(key) {
            None => complaints.push(format!("missing: {} {wanted:?}", shown(key))),
            Some(got) if got != wanted => {
                complaints.push(format!(
                    "differs: {}\n  live     {got:?}\n  compiled {wanted:?}",
                    shown(key)
                ));
            }
            Some(_) => {}
        }
    }
    let extra = recorded.iter().filter(|(key, _)| !expected.contains_key(*key));
    complaints.extend(extra.map(|(key, got)| format!("extra: {} {got:?}", shown(key))));
    if live.flows.ignored != compiled.flows.ignored {
        complaints.push(format!(
            "ignored: {:?}, compiled {:?}",
            live.flows.ignored, compiled.flows.ignored
        ));
    }
    if complaints.is_empty() {
        let operations = recorded.values().map(|facts| facts.count).sum();
        return Ok((recorded.len(), operations));
    }
    Err(complaints.join("\n").into())
}

fn facts(edges: &[Edge], times: u64) -> BTreeMap<&EdgeKey, Facts<'_>> {
    edges
        .iter()
        .map(|edge| (&edge.key, of(&edge.evidence, times)))
        .collect()
}

fn of(evidence: &Evidence, times: u64) -> Facts<'_> {
    Facts {
        count: evidence.count * times,
        services: &evidence.services,
        node_ports: &evidence.node_ports,
        translated: &evidence.translated,
        seen_by: &evidence.seen_by,
        pairs: &evidence.pairs,
        port_name: evidence.port_name.as_deref(),
        assumed: evidence.assumed,
        predates_window: evidence.predates_window,
    }
}

/// The edges of which one end is not known.
pub(crate) fn unknown_edges(opened: &Opened) -> Vec<String> {
    let is_unknown = |identity: &Identity| matches!(identity, Identity::Unknown { .. });
    let has_unknown = |edge: &&Edge| is_unknown(&edge.key.from.identity) || is_unknown(&edge.key.to.identity);
    let edges = opened.flows.edges.iter().filter(has_unknown);
    edges.map(ToString::to_string).collect()
}

fn shown(key: &EdgeKey) -> String {
    let EdgeKey {
        from,
        to,
        protocol,
        port,
        outcome,
    } = key;
    format!("{from} -> {to} {port}/{protocol} {outcome:?}")
}
