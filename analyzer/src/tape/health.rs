//! Whether a recording is complete: loss is data, and reaches every report.
//!
//! Every reason of [`Health`](super::Health) has a finding, so that text and JSON alike explain it. Lost samples of
//! `events` are a finding and no reason: edges and counts are whole without them.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::cluster::{Bound, NodeRow};
use flowtape_schemas::import::{QuarantineReason, QuarantineRow};
use flowtape_schemas::manifest::{HookReport, HookState, ImportLimit, NodeRecording, Stop, Window};
use flowtape_schemas::node::{Counter, Hook, Loss};
use flowtape_schemas::time::Time;
use flowtape_schemas::value::Words as _;

use super::recording::Recording;
use super::{NodeTape, Tape};
use crate::findings::{Code, Findings, Samples};

/// Hooks that any one of shows that datagrams were recorded, at both ends: those of the recorder, and rows from elsewhere.
const FOLLOWING_DATAGRAMS: [Hook; 6] = [
    Hook::Sendmsg4,
    Hook::Sendmsg6,
    Hook::Recvmsg4,
    Hook::Recvmsg6,
    Hook::Import,
    Hook::Synthetic,
];

/// Hooks that see sockets bound, and under which listeners without a row of their own are counted.
const BINDING: [Hook; 2] = [Hook::PostBind4, Hook::PostBind6];

/// Hooks without which no edge is missing.
const WITHOUT_EDGES: [Hook; 3] = [Hook::PostBind4, Hook::PostBind6, Hook::SockCreate];

/// How far the wall clock may move between two samples without having been set. Daemons that keep time correct a clock by at
/// most 500 parts in a million (`MAXFREQ`, `include/linux/timex.h`, v6.12), which is 30 ms in the minute between two samples.
const CLOCK_STEP_NANOS: i128 = 1_000_000_000;

/// Judges a tape: fills in its health and reports what the user must know.
pub(super) fn judge(tape: &mut Tape, recordings: &[Recording], findings: &mut Findings) {
    let mut judge = Judge {
        reasons: BTreeSet::new(),
        findings,
    };
    for recording in recordings.iter().filter(|recording| recording.manifest.is_none()) {
        judge.without_manifest(recording);
    }
    for node in &tape.nodes {
        judge.stop(node);
        judge.hooks(node);
        judge.datagrams(node);
        judge.losses(node);
        judge.notes(node);
        judge.clock(node);
    }
    judge.synthetic(&tape.nodes);
    judge.imports(tape);
    judge.content(tape);
    judge.metadata(tape);
    for recording in recordings {
        judge.metadata_gaps(recording);
    }
    judge.nodes(tape);
    tape.health.reasons = judge.reasons;
}

struct Judge<'f> {
    reasons: BTreeSet<String>,
    findings: &'f mut Findings,
}

impl Judge<'_> {
    /// A finding that makes the recording incomplete; its message is the reason.
    fn incomplete(&mut self, code: Code, message: String, count: u64) {
        self.findings.report_many(code, message.clone(), count);
        self.reasons.insert(message);
    }

    fn without_manifest(&mut self, recording: &Recording) {
        let nodes: BTreeSet<&str> = recording
            .files
            .iter()
            .filter_map(|file| file.place.node.as_deref())
            .collect();
        let what = match nodes.len() {
            0 => "the metadata".to_owned(),
            _ => format!("the recording of {}", quoted(nodes.iter().copied())),
        };
        self.incomplete(
            Code::TapeWithoutManifest,
            format!("{what} has no `manifest.json`: it did not end, or not cleanly"),
            1,
        );
        for node in &recording.without_flows {
            self.incomplete(
                Code::TapeWithoutManifest,
                format!("node `{node}` has no finished table `flows`"),
                1,
            );
        }
    }

    fn stop(&mut self, node: &NodeTape) {
        if node.recordings.iter().any(|recording| recording.stop == Stop::Unclean) {
            let message = format!("the recorder of node `{}` did not stop cleanly", node.name);
            self.incomplete(Code::UncleanStop, message, 1);
        }
    }

    fn hooks(&mut self, node: &NodeTape) {
        for report in node.recordings.iter().flat_map(|recording| &recording.hooks) {
            let because = report
                .reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            let name = &node.name;
            match report.state {
                HookState::Attached | HookState::NotAskedFor => {}
                HookState::Fallback => {
                    let message = format!("hook `{}` had a stand-in on node `{name}`{because}", report.hook);
                    self.findings.report(Code::HookUnavailable, message);
                }
                HookState::Unavailable => {
                    let message = format!("hook `{}` was not available on node `{name}`{because}", report.hook);
                    if WITHOUT_EDGES.iter().any(|hook| hook.word() == report.hook) {
                        self.findings.report(Code::HookUnavailable, message);
                    } else {
                        self.incomplete(Code::HookUnavailable, message, 1);
                    }
                }
            }
        }
    }

    /// A recorder that followed no datagrams: a recording without UDP is not complete, whatever was asked for.
    fn datagrams(&mut self, node: &NodeTape) {
        let followed = |report: &HookReport| {
            let attached = matches!(report.state, HookState::Attached | HookState::Fallback);
            attached && FOLLOWING_DATAGRAMS.iter().any(|hook| hook.word() == report.hook)
        };
        let without = |recording: &&NodeRecording| !recording.hooks.iter().any(followed);
        if let Some(recording) = node.recordings.iter().find(without) {
            let asked =
                |report: &HookReport| report.state != HookState::NotAskedFor || report.hook != Hook::Sendmsg4.word();
            let why = if recording.hooks.iter().all(asked) {
                "no hook that sees datagrams was attached"
            } else {
                "it was not asked for"
            };
            let message = format!(
                "UDP, and with it name resolution, was not recorded as a whole on node `{}`: {why}",
                node.name
            );
            self.incomplete(Code::UdpNotRecorded, message, 1);
        }
    }

    /// Losses that the recorder counted in `stats`, and what the manifest knows beyond them.
    fn losses(&mut self, node: &NodeTape) {
        let mut sums: BTreeMap<(Counter, Hook), u64> = BTreeMap::new();
        for row in node.stats.iter().filter(|row| row.value > 0) {
            let sum = sums.entry((row.counter, row.hook)).or_default();
            *sum = sum.saturating_add(row.value);
        }
        let (mut edges, mut events) = (0_u64, 0_u64);
        for ((counter, hook), value) in sums {
            let name = &node.name;
            match counter.loss() {
                Loss::Nothing if counter == Counter::Folded && BINDING.contains(&hook) => {
                    let message = format!("listeners are counted without their port on node `{name}`");
                    self.findings.report_many(Code::ListenersFolded, message, value);
                }
                Loss::Nothing => {}
                // Of a talk over UDP only the first few are kept, unless asked otherwise.
                Loss::Events if counter == Counter::SteppedDown && is_of_datagrams(hook) => {
                    events = events.saturating_add(value);
                }
                Loss::Events => {
                    events = events.saturating_add(value);
                    let message = format!("samples are missing on node `{name}` (`{counter}` of hook `{hook}`)");
                    self.findings.report_many(Code::EventsLost, message, value);
                }
                Loss::Names => {
                    let message = format!("control groups were gone before their names were known on node `{name}`");
                    self.incomplete(Code::NamesLost, message, value);
                }
                Loss::Edges if counter == Counter::BlindNanos => {
                    let message = format!("hook `{hook}` was blind for {} on node `{name}`", duration(value));
                    self.incomplete(Code::EdgesLost, message, 1);
                }
                Loss::Edges => {
                    edges = edges.saturating_add(value);
                    let message = format!("operations were lost on node `{name}` (`{counter}` of hook `{hook}`)");
                    self.incomplete(Code::EdgesLost, message, value);
                }
            }
        }
        let told = |lost: fn(&NodeRecording) -> u64| {
            node.recordings
                .iter()
                .fold(0_u64, |sum, recording| sum.saturating_add(lost(recording)))
        };
        let more_edges = told(|recording| recording.lost_edges).saturating_sub(edges);
        let more_events = told(|recording| recording.lost_events).saturating_sub(events);
        if more_edges > 0 {
            let message = format!("operations were lost on node `{}` (manifest)", node.name);
            self.incomplete(Code::EdgesLost, message, more_edges);
        }
        if more_events > 0 {
            let message = format!("samples are missing on node `{}` (manifest)", node.name);
            self.findings.report_many(Code::EventsLost, message, more_events);
        }
    }

    fn notes(&mut self, node: &NodeTape) {
        for note in node.recordings.iter().flat_map(|recording| &recording.notes) {
            self.findings
                .report(Code::RecorderNote, format!("node `{}`: {note}", node.name));
        }
    }

    /// Whether the wall clock moved otherwise than time did, by more than any correction in small steps makes.
    fn clock(&mut self, node: &NodeTape) {
        for pair in node.clock.values().flat_map(|samples| samples.windows(2)) {
            let [before, after] = pair else { continue };
            let wall = i128::from(after.wall_time.0) - i128::from(before.wall_time.0);
            let moved = wall - (i128::from(after.boot_nanos) - i128::from(before.boot_nanos));
            if moved.abs() > CLOCK_STEP_NANOS {
                let way = if moved > 0 { "forward" } else { "back" };
                let by = duration(u64::try_from(moved.abs()).unwrap_or(u64::MAX));
                let (name, until) = (&node.name, before.wall_time);
                let message = format!("the clock of node `{name}` was set {way} by {by} some time after {until}");
                self.findings.report(Code::ClockStepped, message);
            }
        }
    }

    fn synthetic(&mut self, nodes: &[NodeTape]) {
        let flows = nodes.iter().flat_map(|node| node.flows.iter().map(|row| row.hook));
        let listens = nodes.iter().flat_map(|node| node.listens.iter().map(|row| row.hook));
        let synthetic = flows.chain(listens).filter(|hook| *hook == Hook::Synthetic).count();
        if synthetic > 0 {
            let message = "rows were written by hand or made from a scenario, and not observed";
            let mut samples = Samples::default();
            for node in nodes {
                for row in node.flows.iter().filter(|row| row.hook == Hook::Synthetic) {
                    samples.add(&node.name, row);
                }
            }
            self.findings
                .report_rows(Code::SyntheticRows, message, synthetic as u64, &samples);
        }
    }

    /// What other tools' recordings cannot know, and what of them could not be used.
    fn imports(&mut self, tape: &Tape) {
        for import in &tape.imports {
            let format = &import.format;
            for ImportLimit { what, costs_edges } in &import.limits {
                let message = format!("imported from `{format}`: {what}");
                if *costs_edges {
                    self.incomplete(Code::ImportIncomplete, message, 1);
                } else {
                    self.findings.report(Code::ImportLimit, message);
                }
            }
            if let Some(sampling) = import.sampling.filter(|sampling| *sampling > 1) {
                let message = format!("imported from `{format}`: the source counted one of {sampling}");
                self.incomplete(Code::ImportIncomplete, message, 1);
            }
            if import.named_by_source > 0 {
                let message =
                    format!("imported from `{format}`: pods that no metadata knows are what the source calls them");
                self.findings
                    .report_many(Code::NamedBySource, message, import.named_by_source);
            }
        }
        for row in &tape.quarantine {
            let QuarantineRow {
                file,
                reason,
                detail,
                count,
                ..
            } = row;
            // Messages of the tool that printed the records are expected between them.
            let code = if *reason == QuarantineReason::OtherText {
                Code::ImportText
            } else {
                Code::Quarantined
            };
            let message = format!("`{file}`: records were not used, {reason}: {detail}");
            self.findings.report_many(code, message, *count);
        }
    }

    fn content(&mut self, tape: &Tape) {
        if tape.nodes.is_empty() {
            let message = "there is metadata only: no node was recorded".to_owned();
            self.incomplete(Code::EmptyWindow, message, 1);
        } else if tape.nodes.iter().all(|node| node.flows.is_empty()) {
            self.findings
                .report(Code::EmptyWindow, "no node recorded any flow in the window");
        }
    }

    fn metadata(&mut self, tape: &Tape) {
        let cluster = &tape.cluster;
        if *cluster == flowtape_schemas::metadata::ClusterRows::default() {
            let message = "there is no metadata of the cluster".to_owned();
            self.incomplete(Code::NoMetadata, message, 1);
            return;
        }
        let starts = [
            cluster
                .namespaces
                .iter()
                .map(|row| (row.valid_from, row.from_bound))
                .collect::<Vec<_>>(),
            cluster
                .services
                .iter()
                .map(|row| (row.valid_from, row.from_bound))
                .collect(),
        ]
        .concat();
        if !starts.is_empty() && starts.iter().all(|start| *start == (None, Bound::Assumed)) {
            let message = "the metadata has no time and is taken to hold for the whole window";
            self.findings.report(Code::MetadataAssumed, message);
        }
    }

    /// What a watch of the cluster did not see as it happened. Where the API server told it afterwards, only times are inexact.
    fn metadata_gaps(&mut self, recording: &Recording) {
        let Some(cluster) = recording
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.cluster.as_ref())
        else {
            return;
        };
        for unread in &cluster.unread {
            let message = format!("metadata: `{}` {}", unread.resource, unread.reason);
            self.incomplete(Code::MetadataGap, message, 1);
        }
        for gap in &cluster.gaps {
            let resource = &gap.resource;
            if gap.caught_up {
                let message = format!("`{resource}` were not watched for a time; their changes were told afterwards");
                self.findings.report(Code::MetadataGap, message);
            } else {
                let message = format!("`{resource}` were not watched for a time; what came and went then is unknown");
                self.incomplete(Code::MetadataGap, message, 1);
            }
        }
    }

    /// Nodes that the cluster had in the window and that no recording is of. A recording is of the node it is named
    /// after, and of every node whose pods had their cgroups before its eyes: a recorder may run under another name.
    fn nodes(&mut self, tape: &Tape) {
        if tape.nodes.is_empty() {
            return;
        }
        let cgroups = tape.nodes.iter().flat_map(|node| &node.cgroups);
        let uids: BTreeSet<&String> = cgroups.filter_map(|row| row.pod_uid.as_ref()).collect();
        let seen = tape.cluster.pods.iter().filter(|row| uids.contains(&row.uid));
        let names = tape.nodes.iter().map(|node| node.name.as_str());
        let recorded: BTreeSet<&str> = names.chain(seen.filter_map(|row| row.node.as_deref())).collect();
        let present = tape.cluster.nodes.iter().filter(|row| was_there(row, tape.window));
        let missing: BTreeSet<&str> = present.map(|row| row.name.as_str()).collect();
        for node in missing.difference(&recorded) {
            self.incomplete(Code::NodesNotRecorded, format!("nobody recorded node `{node}`"), 1);
        }
    }
}

fn was_there(row: &NodeRow, window: Option<Window>) -> bool {
    let (start, end) = window.map_or((Time::MIN, Time::MAX), |window| (window.start, window.end));
    row.valid_from.is_none_or(|from| from <= end) && row.valid_to.is_none_or(|to| to >= start)
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A time in the largest unit that it fills, with three digits of fraction.
fn duration(nanos: u64) -> String {
    let in_unit = |unit: u64, name: &str| format!("{}.{:03} {name}", nanos / unit, nanos % unit / (unit / 1000));
    match nanos {
        1_000_000_000.. => in_unit(1_000_000_000, "s"),
        1_000_000.. => in_unit(1_000_000, "ms"),
        1000.. => in_unit(1000, "us"),
        0.. => format!("{nanos} ns"),
    }
}

/// Whether a hook counts datagrams.
fn is_of_datagrams(hook: Hook) -> bool {
    matches!(
        hook,
        Hook::Sendmsg4 | Hook::Sendmsg6 | Hook::Recvmsg4 | Hook::Recvmsg6 | Hook::SendLength
    )
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_short_time_is_not_rounded_to_nothing() {
        for (nanos, text) in [
            (2_500_000_000, "2.500 s"),
            (60_000_000_001, "60.000 s"),
            (49_689, "49.689 us"),
            (1_000_000, "1.000 ms"),
            (7, "7 ns"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }
}
