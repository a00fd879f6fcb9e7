//! What one workload did, as text: who asked it, whom it asked, its ports and its processes.

use std::fmt::Write as _;

use flowtape_schemas::value::Words as _;

use super::Align::{Left, Right};
use super::{columns, seconds};
use crate::escape::escaped;
use crate::flow::activity::Activity;
use crate::flow::edge::{Edge, Peer};
use crate::identity::{Identity, Workload};

/// The summary of a workload.
#[must_use]
pub fn text(workload: &Workload, activity: &Activity, edges: &[Edge]) -> String {
    let identity = Identity::Workload(workload.clone());
    let ingress: Vec<&Edge> = edges.iter().filter(|edge| edge.key.to.identity == identity).collect();
    let egress: Vec<&Edge> = edges.iter().filter(|edge| edge.key.from.identity == identity).collect();
    let mut text = format!("{}\n", escaped(&workload.to_string()));
    let all = || ingress.iter().chain(&egress).map(|edge| &edge.evidence);
    let first = all().map(|evidence| evidence.first_seen).min();
    let last = all().map(|evidence| evidence.last_seen).max();
    let seen = match (first, last) {
        (Some(first), Some(last)) => format!("{} to {}", seconds(first), seconds(last)),
        (None, _) | (_, None) => "never".to_owned(),
    };
    let listens = activity
        .listens
        .iter()
        .map(|(protocol, port)| format!("{port}/{protocol}"));
    let processes = activity
        .processes
        .iter()
        .map(|(name, seen)| format!("{name} ({})", seen.count));
    for (what, told) in [
        ("seen", seen),
        ("listens", joined(listens)),
        ("processes", joined(processes)),
    ] {
        let _ = writeln!(text, "  {what:<9}  {}", escaped(&told));
    }
    text.push_str(&talks("ingress", "FROM", &ingress, |edge| &edge.key.from));
    text.push_str(&talks("egress", "TO", &egress, |edge| &edge.key.to));
    text
}

fn joined(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join(", ")
}

fn talks(what: &str, head: &str, edges: &[&Edge], peer: fn(&Edge) -> &Peer) -> String {
    if edges.is_empty() {
        return format!("  {what:<9}  none\n");
    }
    let mut rows = vec![
        [head, "PORT", "OUTCOME", "COUNT", "FIRST", "LAST"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for edge in edges {
        let (key, evidence) = (&edge.key, &edge.evidence);
        rows.push(vec![
            peer(edge).to_string(),
            format!("{}/{}", key.port, key.protocol),
            key.outcome.word().to_owned(),
            evidence.count.to_string(),
            seconds(evidence.first_seen),
            seconds(evidence.last_seen),
        ]);
    }
    format!(
        "  {what}\n{}",
        columns(4, &[Left, Left, Left, Right, Left, Left], &rows)
    )
}
