//! What a reader should know of a rule: names only, never counts or times, so that two recordings of the same behaviour give
//! the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::edge::{Edge, EdgeKey};
use crate::policy::ports::{PortRange, PortSet};

/// Ports of one pair from which on they share a line.
const SHARED_LINE: usize = 3;

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// Who asks whom, on which port.
    Edge {
        /// `shop/Deployment/web -> shop/Deployment/db`.
        between: String,
        /// Its name in policies.
        protocol: String,
        /// The server's port.
        port: u16,
        /// ` (http), Service shop/db:80`, as far as it is known.
        more: String,
    },
    /// Anything else.
    Text(String),
}

impl Note {
    /// What is to be known of an edge.
    pub(super) fn of(edge: &Edge) -> Self {
        let EdgeKey {
            from,
            to,
            protocol,
            port,
            outcome: _,
        } = &edge.key;
        let name = edge.evidence.port_name.iter().map(|name| format!(" ({name})"));
        let through = edge
            .evidence
            .services
            .iter()
            .map(|service| format!(", Service {service}"));
        Self::Edge {
            between: format!("{from} -> {to}"),
            protocol: protocol.to_string(),
            port: *port,
            more: name.chain(through).collect(),
        }
    }
}

/// The notes of one rule as lines, edges first. Several ports between the same two that differ in nothing else share one.
pub(super) fn lines(notes: &BTreeSet<Note>) -> Vec<String> {
    let mut ports: BTreeMap<(&str, &str, &str), BTreeSet<u16>> = BTreeMap::new();
    let (mut lines, mut texts): (BTreeSet<String>, BTreeSet<String>) = (BTreeSet::new(), BTreeSet::new());
    for note in notes {
        match note {
            Note::Edge {
                between,
                protocol,
                port,
                more,
            } => {
                ports.entry((between, protocol, more)).or_default().insert(*port);
            }
            Note::Text(text) => {
                texts.insert(text.clone());
            }
        }
    }
    for ((between, protocol, more), ports) in ports {
        if ports.len() < SHARED_LINE {
            lines.extend(ports.iter().map(|port| format!("{between} {port}/{protocol}{more}")));
        } else {
            let ports: PortSet = ports.into_iter().filter_map(PortRange::single).collect();
            lines.insert(format!("{between} {ports}/{protocol}{more}"));
        }
    }
    lines.into_iter().chain(texts).collect()
}
