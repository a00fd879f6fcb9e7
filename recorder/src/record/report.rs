//! How a recording went, in the manifest and in one line.

use std::fmt;

use flowtape_schemas::manifest::{HookReport, HookState, NodeRecording};

use super::node_tape::Written;
use crate::kernel::config;

/// A hook as the manifest has it.
pub(super) fn hook(hook: &config::Hook) -> HookReport {
    let (state, reason) = match &hook.state {
        config::HookState::Available => (HookState::Attached, None),
        config::HookState::Fallback { reason } => (HookState::Fallback, Some(reason.clone())),
        config::HookState::Unavailable { reason } => (HookState::Unavailable, Some(reason.clone())),
        config::HookState::NotAskedFor => (HookState::NotAskedFor, None),
    };
    HookReport {
        hook: hook.name.to_owned(),
        state,
        reason,
    }
}

/// The last line: complete or not, and why.
#[derive(Debug)]
pub(super) struct Report {
    node: String,
    seconds: f64,
    operations: u64,
    flows: u64,
    events: u64,
    lost_events: u64,
    reasons: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    /// What a recording amounts to.
    pub(super) fn of(recording: &NodeRecording, written: &Written) -> Self {
        let mut reasons = Vec::new();
        let no_room = recording.lost_edges.saturating_sub(written.skipped);
        if no_room > 0 {
            reasons.push(format!(
                "{no_room} operations are missing from `flows`; record again with a larger --flow-entries or --ring-bytes"
            ));
        }
        if written.skipped > 0 {
            reasons.push(format!(
                "{} operations were not shown to the programs by this kernel; record again, and unite both tapes",
                written.skipped
            ));
        }
        if written.unnamed > 0 {
            reasons.push(format!(
                "{} control groups were gone before their names were known, and what was in them is known by network \
                 namespace and address only; record again with a larger --ring-bytes",
                written.unnamed
            ));
        }
        if written.blind_nanos > 0 {
            let blind = std::time::Duration::from_nanos(written.blind_nanos);
            reasons.push(format!(
                "nobody could look at the open sockets for {:.1} s, so connections older than the window may be missing; record again",
                blind.as_secs_f64()
            ));
        }
        for hook in &recording.hooks {
            if hook.state == HookState::Unavailable {
                let why = hook.reason.as_deref().unwrap_or("not attached");
                reasons.push(format!("hook `{}`: {why}", hook.hook));
            }
        }
        let nanos = recording.window.end.0.saturating_sub(recording.window.start.0);
        Self {
            node: recording.name.clone(),
            seconds: std::time::Duration::from_nanos(nanos.max(0).unsigned_abs()).as_secs_f64(),
            operations: written.operations,
            flows: written.rows("flows"),
            events: written.rows("events"),
            lost_events: recording.lost_events,
            reasons,
            notes: recording.notes.clone(),
        }
    }

    /// Whether every edge of the window is in the tape.
    pub(super) fn is_complete(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_complete() { "complete" } else { "incomplete" };
        write!(
            formatter,
            "{word}: {:.1} s on {}, {} operations in {} flows, {} events",
            self.seconds, self.node, self.operations, self.flows, self.events
        )?;
        if self.lost_events > 0 {
            write!(formatter, " ({} more only counted)", self.lost_events)?;
        }
        let said = self.reasons.iter().chain(&self.notes);
        said.into_iter().try_for_each(|reason| write!(formatter, "; {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Written};
    use flowtape_schemas::manifest::{HookReport, HookState, NodeRecording, Stop, Window};
    use flowtape_schemas::time::Time;

    fn recording(lost_edges: u64, lost_events: u64, state: HookState) -> NodeRecording {
        NodeRecording {
            name: "n1".to_owned(),
            window: Window {
                start: Time(0),
                end: Time(2_500_000_000),
            },
            kernel: String::new(),
            architecture: String::new(),
            hooks: vec![HookReport {
                hook: "h".to_owned(),
                state,
                reason: Some("no room".to_owned()),
            }],
            settings: [].into(),
            stop: Stop::Clean,
            lost_events,
            lost_edges,
            notes: vec!["the disk was full".to_owned()],
        }
    }

    #[test]
    fn lost_events_leave_a_recording_complete_and_lost_edges_do_not() {
        let line = |lost_edges, lost_events, state| {
            Report::of(&recording(lost_edges, lost_events, state), &Written::default()).to_string()
        };
        assert_eq!(
            line(0, 3, HookState::Attached),
            "complete: 2.5 s on n1, 0 operations in 0 flows, 0 events (3 more only counted); the disk was full"
        );
        assert!(line(1, 0, HookState::Attached).starts_with("incomplete: "));
        let skipped = Written {
            skipped: 2,
            ..Written::default()
        };
        let told = Report::of(&recording(3, 0, HookState::Attached), &skipped).to_string();
        let said = [
            "; 1 operations are missing from `flows`",
            "; 2 operations were not shown to the programs",
        ];
        assert!(said.iter().all(|part| told.contains(part)), "{told}");
        let unnamed = Written {
            unnamed: 2,
            ..Written::default()
        };
        let told = Report::of(&recording(0, 0, HookState::Attached), &unnamed).to_string();
        assert!(
            told.starts_with("incomplete: ") && told.contains("2 control groups"),
            "{told}"
        );
        let blind = Written {
            blind_nanos: 1_500_000_000,
            ..Written::default()
        };
        let told = Report::of(&recording(0, 0, HookState::Attached), &blind).to_string();
        assert!(told.starts_with("incomplete: ") && told.contains("for 1.5 s"), "{told}");
        assert!(line(0, 0, HookState::Unavailable).ends_with("; hook `h`: no room; the disk was full"));
    }
}
