//! What a policy set allows, one line for two peers.

use std::fmt::Write as _;

use super::super::connectivity::class_id;
use crate::escape::escaped;
use crate::policy::ports::{PortSet, Protocol};
use crate::replay::connectivity::Allowed;
use crate::replay::party::Party;

/// Parts of a prefix that are named; of more there is only the number.
const NAMED: usize = 3;

/// A peer, on one line.
#[must_use]
pub fn name(party: &Party) -> String {
    match party {
        Party::Addresses(cell) if cell.except.len() > NAMED => {
            format!("{} except {} prefixes", cell.cidr, cell.except.len())
        }
        Party::Workload(_) | Party::Pods { .. } | Party::Addresses(_) => escaped(&party.to_string()),
    }
}

/// The names in columns, as clients and as servers.
#[must_use]
pub fn ends(names: Vec<String>) -> (Vec<String>, Vec<String>) {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let from = names.iter().map(|name| format!("{name:<width$}  ->  ")).collect();
    let to = names.into_iter().map(|name| format!("{name:<width$}  ")).collect();
    (from, to)
}

/// The end of a line: the ports.
#[must_use]
pub fn rest(allowed: &Allowed) -> String {
    let Allowed { traffic, partly } = allowed;
    let protocols = Protocol::ALL.map(|protocol| (protocol, traffic.ports(protocol)));
    let mut rest = if protocols.iter().all(|(_, ports)| **ports == PortSet::all()) {
        "everything".to_owned()
    } else {
        let some = protocols.iter().filter(|(_, ports)| !ports.is_empty());
        let parts: Vec<String> = some
            .map(|(protocol, ports)| {
                let whole = **ports == PortSet::all();
                if whole {
                    protocol.to_string()
                } else {
                    format!("{protocol} {ports}")
                }
            })
            .collect();
        parts.join("; ")
    };
    if *partly {
        rest.push_str("  (some pods)");
    }
    rest.push('\n');
    rest
}

/// The classes and who is in each, before the lines that name them.
#[must_use]
pub fn classes(classes: &[Vec<&Party>]) -> String {
    let mut text = String::new();
    for (at, members) in classes.iter().enumerate() {
        let members: Vec<String> = members.iter().map(|party| name(party)).collect();
        let _ = writeln!(text, "{} = {}", class_id(at), members.join(", "));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}
