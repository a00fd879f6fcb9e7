//! Edges with their evidence as a table.

use flowtape_schemas::node::Outcome;
use flowtape_schemas::value::Words as _;

use super::{Align, columns, seconds};
use crate::flow::edge::{Edge, EdgeKey, Evidence, ServiceUse, Translation};
use crate::sorted::Sorted;

const HEAD: [&str; 9] = [
    "FROM", "TO", "PORT", "SERVICE", "OUTCOME", "COUNT", "SEEN BY", "FIRST", "LAST",
];

const ALIGNS: [Align; 9] = [
    Align::Left,
    Align::Left,
    Align::Left,
    Align::Left,
    Align::Left,
    Align::Right,
    Align::Left,
    Align::Left,
    Align::Left,
];

/// One line for each edge below a line that names the columns; times in whole seconds, UTC.
#[must_use]
pub fn text(edges: &[&Edge]) -> String {
    let head = HEAD.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = [head].into_iter().chain(edges.iter().map(|edge| row(edge))).collect();
    columns(0, &ALIGNS, &rows)
}

fn row(edge: &Edge) -> Vec<String> {
    let Edge { key, evidence } = edge;
    let EdgeKey {
        from,
        to,
        protocol,
        port,
        outcome,
    } = key;
    let Evidence {
        count,
        first_seen,
        last_seen,
        seen_by,
        predates_window,
        nodes: _,
        services,
        rivalled,
        node_ports,
        translated,
        port_name: _,
        assumed,
        pairs: _,
        samples: _,
    } = evidence;
    let seen_by: Vec<&str> = seen_by.iter().map(|side| side.word()).collect();
    let to = if *assumed {
        format!("{to} (supposed)")
    } else {
        to.to_string()
    };
    vec![
        from.to_string(),
        to,
        format!("{port}/{protocol}"),
        through((services, rivalled), node_ports, translated),
        told(*outcome, *predates_window, *count),
        count.to_string(),
        seen_by.join(","),
        seconds(*first_seen),
        seconds(*last_seen),
    ]
}

/// The Services, and what happened on the way to them.
fn through(
    (services, rivalled): (&Sorted<ServiceUse>, &Sorted<ServiceUse>),
    node_ports: &Sorted<u16>,
    translated: &Sorted<Translation>,
) -> String {
    let service = |service: &ServiceUse| {
        let doubt = if rivalled.contains(service) { " (supposed)" } else { "" };
        format!("{service}{doubt}")
    };
    let services: Vec<String> = services.iter().map(service).collect();
    let ports = node_ports.iter().map(|port| format!("node port {port}"));
    let translated = translated.iter().map(|translation| translation.word().to_owned());
    let way: Vec<String> = ports.chain(translated).collect();
    let way = if way.is_empty() {
        String::new()
    } else {
        format!("({})", way.join(", "))
    };
    [services.join(","), way].join(" ").trim().to_owned()
}

fn told(outcome: Outcome, predates_window: bool, count: u64) -> String {
    let word = outcome.word();
    match (predates_window, count) {
        (true, 0) => format!("{word}, before the window"),
        (true, _) => format!("{word}, also before the window"),
        (false, _) => word.to_owned(),
    }
}
