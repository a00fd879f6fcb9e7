//! Denials that somebody accepted.

use flowtape_schemas::time::Time;

use super::Denied;
use crate::baseline::{Baseline, Excused};
use crate::findings::Findings;

/// Parts denials into those that count and those that are accepted at `now`.
pub fn part<'a>(
    baseline: &Baseline,
    denied: Vec<Denied<'a>>,
    now: Option<Time>,
    findings: &mut Findings,
) -> (Vec<Denied<'a>>, Vec<Excused<Denied<'a>>>) {
    let is_about =
        |entry: &crate::baseline::Accepted, denied: &Denied<'_>| entry.is_about_edge(denied.edge, denied.direction);
    baseline.part(denied, now, is_about, "is denied", findings)
}
