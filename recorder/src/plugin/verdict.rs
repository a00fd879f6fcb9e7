//! The last line: complete or not, and why.

use std::collections::BTreeMap;
use std::fmt;

use flowtape_schemas::manifest::Manifest;

use super::progress::{Progress, Stage, Unit};

/// Whether a recording of a cluster is complete.
#[derive(Debug)]
pub(super) struct Verdict {
    nodes: usize,
    seconds: f64,
    flows: u64,
    reasons: Vec<String>,
}

impl Verdict {
    /// Judges a run by what became of its units, by what each recorder said last, and by the tape.
    pub(super) fn of(
        progress: &Progress,
        last: &BTreeMap<Unit, String>,
        manifest: &Manifest,
        broken: &[String],
    ) -> Self {
        let mut reasons = broken.to_vec();
        for (unit, member) in &progress.members {
            reasons.extend(member.troubles.iter().map(|trouble| format!("{unit}: {trouble}")));
            match (&member.stage, member.has_recorded) {
                (Stage::Refused(why) | Stage::Leaving(why), false) => {
                    reasons.push(format!("{unit}: did not record: {why}"));
                }
                (Stage::Waiting, false) => reasons.push(format!("{unit}: did not record: it had not begun in time")),
                (Stage::Recording | Stage::Lost | Stage::Waiting | Stage::Refused(_) | Stage::Leaving(_), _) => {}
            }
            if let Some(why) = last.get(unit).and_then(|line| line.strip_prefix("incomplete: ")) {
                reasons.push(format!("{unit}: {why}"));
            }
        }
        if !progress.members.contains_key(&Unit::Cluster) {
            reasons.push(format!("{}: did not record: it has no pod", Unit::Cluster));
        }
        let nanos = manifest
            .window
            .map_or(0, |window| window.end.0.saturating_sub(window.start.0));
        let rows = |table: &str| {
            let files = manifest.files.iter().filter(|file| file.table == table);
            files.fold(0_u64, |sum, file| sum.saturating_add(file.rows))
        };
        Self {
            nodes: manifest.nodes.iter().filter(|node| !node.hooks.is_empty()).count(),
            seconds: std::time::Duration::from_nanos(nanos.max(0).unsigned_abs()).as_secs_f64(),
            flows: rows("flows"),
            reasons,
        }
    }

    /// Whether nothing of the window is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_complete() { "complete" } else { "incomplete" };
        let nodes = if self.nodes == 1 { "node" } else { "nodes" };
        write!(
            formatter,
            "{word}: {:.1} s on {} {nodes}, {} flows",
            self.seconds, self.nodes, self.flows
        )?;
        self.reasons
            .iter()
            .try_for_each(|reason| write!(formatter, "; {reason}"))
    }
}
