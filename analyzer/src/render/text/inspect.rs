//! `inspect` as text: health first, then what was recorded, then what is known of the cluster.

use std::fmt::Write as _;

use super::Align::{Left, Right};
use super::columns;
use crate::escape::escaped;
use crate::flow::edge::Peer;
use crate::flow::socket::UnseenSockets;
use crate::json::activity::Activity;
use crate::json::inspect::{Inspect, Node};
use crate::json::peer::PeerIdentity;
use crate::tape::Tape;

/// The whole text.
#[must_use]
pub fn text(tape: &Tape, body: &Inspect, unseen: &[UnseenSockets]) -> String {
    let mut text = health(tape);
    let ids: Vec<String> = tape.ids.iter().map(|id| escaped(id)).collect();
    let _ = writeln!(text, "\ntape    {}", ids.join(", "));
    if let Some(window) = body.window {
        let _ = writeln!(text, "window  {} to {}", window.start, window.end);
    }
    if !body.nodes.is_empty() {
        text.push_str("\nnodes\n");
        text.push_str(&nodes(&body.nodes));
        text.push_str(&counters(&body.nodes));
    }
    if !body.workloads.is_empty() {
        text.push_str("\nworkloads\n");
        text.push_str(&workloads(&body.workloads));
    }
    if !unseen.is_empty() {
        text.push_str("\nsockets whose traffic is not recorded\n");
        text.push_str(&sockets(unseen));
    }
    text.push_str("\ncluster\n");
    let rows: Vec<Vec<String>> = body
        .cluster
        .iter()
        .map(|(table, rows)| vec![(*table).to_owned(), rows.to_string()])
        .collect();
    text.push_str(&columns(2, &[Left, Right], &rows));
    text
}

/// Whether the recording is complete, and why not.
#[must_use]
pub fn health(tape: &Tape) -> String {
    if tape.health.is_complete() {
        return "complete\n".to_owned();
    }
    let mut text = "incomplete\n".to_owned();
    for reason in &tape.health.reasons {
        let _ = writeln!(text, "  - {}", escaped(reason));
    }
    text
}

fn nodes(nodes: &[Node]) -> String {
    let heads = ["NAME", "KERNEL", "STOP", "OPERATIONS", "FLOWS", "EVENTS", "LISTENS"].map(str::to_owned);
    let mut rows = vec![heads.to_vec()];
    for node in nodes {
        let stop = match node.clean_stop {
            Some(true) => "clean",
            Some(false) => "unclean",
            None => "unknown",
        };
        let count = |table: &str| node.rows.get(table).copied().unwrap_or(0).to_string();
        let kernel = if node.kernels.is_empty() {
            "unknown".to_owned()
        } else {
            node.kernels.join(",")
        };
        rows.push(vec![
            node.name.clone(),
            kernel,
            stop.to_owned(),
            node.operations.to_string(),
            count("flows"),
            count("events"),
            count("listens"),
        ]);
    }
    columns(2, &[Left, Left, Left, Right, Right, Right, Right], &rows)
}

fn workloads(workloads: &[Activity]) -> String {
    let heads = ["NAMESPACE", "WORKLOAD", "CLIENTS", "SERVERS", "SERVES"].map(str::to_owned);
    let mut rows = vec![heads.to_vec()];
    for Activity {
        workload,
        serves,
        clients,
        servers,
        ..
    } in workloads
    {
        if let PeerIdentity::Workload {
            namespace, kind, name, ..
        } = &workload.identity
        {
            let name = format!("{kind}/{name}");
            rows.push(vec![
                namespace.clone(),
                name,
                clients.to_string(),
                servers.to_string(),
                serves.join(","),
            ]);
        }
    }
    columns(2, &[Left, Left, Right, Right, Left], &rows)
}

fn sockets(unseen: &[UnseenSockets]) -> String {
    let mut rows = vec![["OWNER", "KIND", "COUNT"].map(str::to_owned).to_vec()];
    for UnseenSockets { owner, kind, count } in unseen {
        let owner = Peer {
            identity: owner.clone(),
            role: None,
        };
        rows.push(vec![owner.to_string(), kind.to_string(), count.to_string()]);
    }
    columns(2, &[Left, Left, Right], &rows)
}

/// Counters of the recorders that are not zero.
fn counters(nodes: &[Node]) -> String {
    let mut rows = vec![["NODE", "HOOK", "COUNTER", "VALUE"].map(str::to_owned).to_vec()];
    for node in nodes {
        for (hook, counters) in &node.counters {
            for (counter, value) in counters {
                rows.push(vec![
                    node.name.clone(),
                    hook.clone(),
                    counter.clone(),
                    value.to_string(),
                ]);
            }
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    format!("\ncounters\n{}", columns(2, &[Left, Left, Left, Right], &rows))
}
