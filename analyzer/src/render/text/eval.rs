//! The verdict on one connection: a line for the answer, one for each end.

use std::fmt::Write as _;

use crate::escape::escaped;
use crate::policy::model::Direction;
use crate::semantics::eval::{Basis, Side, Verdict};

/// Three lines; `what` is the connection as it was asked about.
#[must_use]
pub fn text(what: &str, verdict: &Verdict) -> String {
    let mut text = format!("{}  {}\n", word(verdict.allowed()), escaped(what));
    for (direction, side) in [
        (Direction::Egress, &verdict.egress),
        (Direction::Ingress, &verdict.ingress),
    ] {
        let why = escaped(&reason(direction, side));
        let _ = writeln!(text, "  {:<7}  {}: {why}", direction.name(), word(side.allowed));
    }
    text
}

const fn word(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "denied" }
}

fn reason(direction: Direction, side: &Side) -> String {
    let by: Vec<String> = side.by.iter().map(ToString::to_string).collect();
    let by = by.join(", ");
    match side.basis {
        Basis::NotSubject => "no pod that policies apply to".to_owned(),
        Basis::SamePod => "a pod always reaches itself".to_owned(),
        Basis::OwnNode => "a pod is always reached from its own node".to_owned(),
        Basis::NotIsolated => format!("no policy isolates its {direction}"),
        Basis::Rule | Basis::DenyRule => by,
        Basis::NoRule => format!("no rule of {by}"),
    }
}
