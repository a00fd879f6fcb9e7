//! The proof of generated policies, as a line.

use std::fmt::Write as _;

use crate::counted::counted;
use crate::json::proof::{Neighbours, Proof, Rule};

/// One line: what holds, with its numbers, and what does not.
#[must_use]
pub fn text(proof: &Proof) -> String {
    let holds = proof.sound && proof.tight && proof.closed;
    let mut text = String::from(if holds { "proof: " } else { "proof failed: " });
    let (judged, denied) = (proof.connections.judged, proof.connections.denied.len());
    text.push_str(&counted(judged, "recorded connection", "recorded connections"));
    text.push_str(", ");
    match denied {
        0 => text.push_str("all allowed; "),
        1 => text.push_str("those of 1 edge denied; "),
        _ => {
            let _ = write!(text, "those of {denied} edges denied; ");
        }
    }
    let count = |of: fn(&Rule) -> u64| proof.rules.iter().map(of).sum::<u64>();
    let unneeded: usize = proof.rules.iter().map(|rule| rule.unneeded.len()).sum();
    let (observed, shared, added) = (
        count(|rule| rule.observed),
        count(|rule| rule.shared),
        count(|rule| rule.added),
    );
    let mut parts = vec![format!("{observed} observed")];
    parts.extend((shared > 0).then(|| format!("{shared} shared")));
    parts.extend((added > 0).then(|| format!("{added} added by name")));
    parts.extend((unneeded > 0).then(|| format!("{unneeded} needed by nothing")));
    let _ = write!(text, "parts of rules: {}; ", parts.join(", "));
    text.push_str(&neighbours(&proof.neighbours));
    text.push('\n');
    text
}

fn neighbours(neighbours: &Neighbours) -> String {
    let Neighbours {
        asked,
        denied,
        added,
        overlapping,
        ungoverned,
        allowed,
    } = neighbours;
    let mut said = vec![format!("{denied} denied")];
    for (count, what) in [
        (*added, "added by name"),
        (*overlapping, "of overlapping selectors"),
        (*ungoverned, "not governed"),
        (allowed.len() as u64, "allowed without a reason"),
    ] {
        said.extend((count > 0).then(|| format!("{count} {what}")));
    }
    let asked = counted(*asked, "neighbour", "neighbours");
    format!("{asked} never recorded: {}", said.join(", "))
}
