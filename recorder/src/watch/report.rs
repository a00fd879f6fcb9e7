//! How a watch went, in one line.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use flowtape_schemas::manifest::{ClusterGap, ClusterRecording};

/// The last line: complete or not, and why.
pub(super) struct Report<'r> {
    pub(super) recording: &'r ClusterRecording,
    pub(super) rows: u64,
    pub(super) objects: usize,
}

impl Report<'_> {
    /// Whether every version of every object is in the tape.
    pub(super) fn is_complete(&self) -> bool {
        self.recording.unread.is_empty() && self.recording.gaps.iter().all(|gap| gap.caught_up)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_complete() { "complete" } else { "incomplete" };
        write!(
            formatter,
            "{word}: {} versions, {} objects at the end",
            self.rows, self.objects
        )?;
        for unread in &self.recording.unread {
            write!(formatter, "; `{}` {}", unread.resource, unread.reason)?;
        }
        let gaps = |caught_up: bool| self.recording.gaps.iter().filter(move |gap| gap.caught_up == caught_up);
        if let Some(text) = summary(gaps(false)) {
            write!(
                formatter,
                "; not watched, and what came and went in between is unknown: {text}"
            )?;
        }
        if let Some(text) = summary(gaps(true)) {
            write!(formatter, "; not watched, but told afterwards: {text}")?;
        }
        Ok(())
    }
}

/// `pods, services for up to 61.2 s`; `None` without a gap.
fn summary<'g>(gaps: impl Iterator<Item = &'g ClusterGap>) -> Option<String> {
    let mut resources = BTreeSet::new();
    let mut longest = 0;
    for gap in gaps {
        resources.insert(gap.resource.as_str());
        longest = longest.max(gap.end.0.saturating_sub(gap.start.0));
    }
    let seconds = Duration::from_nanos(longest.max(0).unsigned_abs()).as_secs_f64();
    let names: Vec<&str> = resources.into_iter().collect();
    (!names.is_empty()).then(|| format!("{} for up to {seconds:.1} s", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::Report;
    use flowtape_schemas::manifest::{ClusterGap, ClusterRecording, ClusterSource, Unread};
    use flowtape_schemas::time::Time;

    fn line(gaps: &[(&str, bool)], unread: &[&str]) -> String {
        let mut recording = ClusterRecording::new(ClusterSource::Watch, Vec::new());
        let gap = |(resource, caught_up): &(&str, bool)| ClusterGap {
            resource: (*resource).to_owned(),
            start: Time(0),
            end: Time(1_500_000_000),
            caught_up: *caught_up,
            reason: String::new(),
        };
        recording.gaps = gaps.iter().map(gap).collect();
        let unread = unread.iter().map(|resource| Unread {
            resource: (*resource).to_owned(),
            reason: "cannot list: 403: no".to_owned(),
        });
        recording.unread = unread.collect();
        Report {
            recording: &recording,
            rows: 7,
            objects: 3,
        }
        .to_string()
    }

    #[test]
    fn only_what_is_missing_makes_it_incomplete() {
        assert_eq!(line(&[], &[]), "complete: 7 versions, 3 objects at the end");
        assert_eq!(
            line(&[("pods", true), ("jobs", true)], &[]),
            "complete: 7 versions, 3 objects at the end; not watched, but told afterwards: jobs, pods for up to 1.5 s"
        );
        assert!(line(&[("pods", false)], &[]).starts_with("incomplete: "));
        assert!(line(&[], &["nodes"]).ends_with("; `nodes` cannot list: 403: no"));
    }
}
