//! What policies do to a recording: a line for each denial, then one for each rule that is not needed, then their number.

use std::collections::BTreeMap;

use flowtape_schemas::manifest::Window;

use super::{Align, columns, seconds};
use crate::baseline::Excused;
use crate::flow::edge::{Edge, EdgeKey, Side};
use crate::flow::process::Processes;
use crate::policy::model::Direction;
use crate::verify::usage::RuleUse;
use crate::verify::{Denied, Undecided, Verified};

const ALIGNS: [Align; 7] = [Align::Left; 7];

/// One line for each denial, accepted denial and undecided edge; one for each rule that nothing needs, or not all of it;
/// and their number in the last line.
#[must_use]
pub fn text(
    verified: &Verified<'_>,
    excused: &[Excused<Denied<'_>>],
    window: Option<Window>,
    processes: &BTreeMap<EdgeKey, Processes>,
) -> String {
    let mut edges = Vec::new();
    for denied in &verified.denied {
        edges.push(edge_row("-", "denied", denied.edge, denial(denied, processes)));
    }
    for Excused { what, reason, until } in excused {
        let until = until.map_or_else(String::new, |until| format!(" until {}", seconds(until)));
        let told = format!("{}; accepted{until}: {reason}", denial(what, processes));
        edges.push(edge_row("=", "accepted", what.edge, told));
    }
    for Undecided { edge, reason } in &verified.undecided {
        edges.push(edge_row(
            "?",
            "undecided",
            edge,
            format!("{}: {}", evidence(edge), reason.word()),
        ));
    }
    let rules: Vec<Vec<String>> = verified
        .rules
        .iter()
        .filter_map(|used| rule_row(used, window))
        .collect();
    let mut text = columns(0, &ALIGNS, &edges);
    for table in [
        columns(0, &ALIGNS[..4], &rules),
        format!("{}\n", summary(verified, excused)),
    ] {
        if !text.is_empty() && !table.is_empty() {
            text.push('\n');
        }
        text.push_str(&table);
    }
    text
}

fn edge_row(mark: &str, word: &str, edge: &Edge, told: String) -> Vec<String> {
    let EdgeKey {
        from,
        to,
        protocol,
        port,
        outcome: _,
    } = &edge.key;
    vec![
        mark.to_owned(),
        word.to_owned(),
        from.to_string(),
        "->".to_owned(),
        to.to_string(),
        format!("{protocol} {port}"),
        told,
    ]
}

/// The end that denies, what was recorded, and who denies it.
pub(in crate::render) fn denial(denied: &Denied<'_>, processes: &BTreeMap<EdgeKey, Processes>) -> String {
    let Denied {
        edge,
        direction,
        by,
        pairs,
    } = denied;
    let end = match direction {
        Direction::Egress => "at the client",
        Direction::Ingress => "at the server",
    };
    let some = if denied.is_partly() {
        format!(" for {} of {} pairs of pods", pairs.len(), edge.evidence.pairs.len())
    } else {
        String::new()
    };
    let known = processes.get(&edge.key).into_iter().flatten();
    let clients = known.filter(|((side, _), _)| *side == Side::Client);
    let names: Vec<&str> = clients.map(|((_, name), _)| name.as_str()).collect();
    let from = if names.is_empty() {
        String::new()
    } else {
        format!(", from {}", names.join(", "))
    };
    let by: Vec<String> = by.iter().map(ToString::to_string).collect();
    format!("{end}{some}, {}{from}: {}", evidence(edge), by.join(", "))
}

pub(in crate::render) fn evidence(edge: &Edge) -> String {
    let evidence = &edge.evidence;
    let times = match evidence.count {
        0 => "open before the window".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    format!("{times}, last {}", seconds(evidence.last_seen))
}

fn rule_row(used: &RuleUse, window: Option<Window>) -> Option<Vec<String>> {
    let told = unneeded(used, window)?;
    let word = if used.last_seen.is_none() { "dead" } else { "loose" };
    Some(vec!["~".to_owned(), word.to_owned(), used.by.to_string(), told])
}

/// What of a rule nothing recorded needs; `None` of a rule that is needed as a whole.
pub(in crate::render) fn unneeded(used: &RuleUse, window: Option<Window>) -> Option<String> {
    if used.is_whole() {
        return None;
    }
    if used.last_seen.is_none() {
        let length = window.map(|window| format!(" in {}", length(used.age(window.start, window.end))));
        return Some(format!("nothing recorded needs it{}", length.unwrap_or_default()));
    }
    let parts = used
        .unused_peers
        .iter()
        .chain(&used.unused_ports)
        .chain(&used.unused_pairs);
    let parts: Vec<&str> = parts.map(String::as_str).collect();
    Some(format!("nothing recorded needs {}", parts.join("; ")))
}

/// A length of time in its largest unit that leaves nothing, or two of them.
fn length(nanos: i64) -> String {
    let seconds = nanos / 1_000_000_000;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if told.is_empty() {
        return "0s".to_owned();
    }
    told.join(" ")
}

pub(in crate::render) fn summary(verified: &Verified<'_>, excused: &[Excused<Denied<'_>>]) -> String {
    let Verified {
        denied,
        undecided,
        allowed,
        exempt,
        not_established,
        rules,
        unbounded: _,
    } = verified;
    // An edge that both of its ends deny is one edge.
    let edges = |all: &mut dyn Iterator<Item = &EdgeKey>| all.collect::<std::collections::BTreeSet<_>>().len();
    let refused = edges(&mut denied.iter().map(|one| &one.edge.key));
    let accepted = edges(&mut excused.iter().map(|one| &one.what.edge.key));
    let dead = rules.iter().filter(|used| used.last_seen.is_none()).count();
    let loose = rules.iter().filter(|used| !used.is_whole()).count() - dead;
    format!(
        "{refused} denied, {accepted} accepted, {} undecided, {allowed} allowed, {exempt} exempt, {not_established} not \
         established; {dead} of {} rules dead, {loose} loose",
        undecided.len(),
        rules.len()
    )
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn a_length_has_at_most_two_units() {
        for (seconds, told) in [
            (0, "0s"),
            (30, "30s"),
            (60, "1m"),
            (3_661, "1h 1m"),
            (86_400 * 7 + 30, "7d"),
        ] {
            assert_eq!(length(seconds * 1_000_000_000), told);
        }
    }
}
