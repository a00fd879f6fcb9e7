//! Rows of all recordings together, in an order that no file, thread or argument leaves a trace in.

use std::collections::BTreeMap;

use flowtape_schemas::manifest::{ClusterRecording, NodeRecording, Window};
use flowtape_schemas::metadata::ClusterRows;
use rayon::slice::ParallelSliceMut as _;

use super::place::TablePlace;
use super::read::{Content, Rows};
use super::recording::Recording;
use super::{NodeTape, SampleFile, Tape};

/// Stands for the id of a recording that has no manifest, and so no id.
const UNNAMED: &str = "unnamed";

/// The tape of all recordings; its health is not judged yet.
pub(super) fn tape(recordings: &[Recording], contents: Vec<Vec<Content>>) -> Tape {
    let mut tape = Tape::default();
    let mut nodes: BTreeMap<String, NodeTape> = BTreeMap::new();
    let mut seen: BTreeMap<(TablePlace, String), u64> = BTreeMap::new();
    for (index, (recording, contents)) in recordings.iter().zip(contents).enumerate() {
        add_manifest(&mut tape, &mut nodes, recording);
        let mut here: BTreeMap<(TablePlace, String), u64> = BTreeMap::new();
        for (file, content) in recording.files.iter().zip(contents) {
            let key = (file.place.clone(), content.sha256.clone());
            let times_here = here.entry(key.clone()).or_default();
            *times_here += 1;
            // Two files of one recording may well be equal; one that an earlier recording has is the same file.
            let times = seen.entry(key).or_default();
            if *times_here > *times {
                *times = *times_here;
                let node = file.place.node.as_deref();
                if let (Rows::Events(_), Some(node)) = (&content.rows, node) {
                    nodes.entry(node.to_owned()).or_default().samples.push(SampleFile {
                        root: recording.root.clone(),
                        path: file.path.clone(),
                        sha256: content.sha256,
                    });
                }
                if let Rows::Quarantine(rows) = content.rows {
                    tape.quarantine.extend(rows);
                    continue;
                }
                add_rows(&mut tape.cluster, &mut nodes, node, index, content.rows);
            }
        }
    }
    tape.nodes = nodes.into_iter().map(|(name, node)| finished(name, node)).collect();
    sort_cluster(&mut tape.cluster);
    tape.quarantine.sort_unstable();
    tape.imports.sort_unstable();
    tape.imports.dedup();
    tape.unwatched.sort_unstable_by_key(|window| (window.start, window.end));
    tape.unwatched.dedup();
    let from_rows = tape
        .nodes
        .iter()
        .filter(|node| node.window.is_none())
        .filter_map(window_of_rows);
    tape.window = from_rows.fold(tape.window, |window, other| Some(united(window, other)));
    tape
}

fn add_manifest(tape: &mut Tape, nodes: &mut BTreeMap<String, NodeTape>, recording: &Recording) {
    let Some(manifest) = &recording.manifest else {
        tape.ids.insert(UNNAMED.to_owned());
        for node in &recording.without_flows {
            nodes.entry(node.clone()).or_default();
        }
        return;
    };
    tape.ids.insert(manifest.tape_id.clone());
    let windows = manifest
        .window
        .iter()
        .chain(manifest.nodes.iter().map(|node| &node.window));
    tape.window = windows.fold(tape.window, |window, other| Some(united(window, *other)));
    tape.imports.extend(manifest.imports.iter().cloned());
    tape.unwatched.extend(manifest.cluster.iter().flat_map(unwatched));
    for node in &manifest.nodes {
        nodes
            .entry(node.name.clone())
            .or_default()
            .recordings
            .push(node.clone());
    }
}

/// When the metadata of a recording may have changed unseen.
fn unwatched(recording: &ClusterRecording) -> Vec<Window> {
    let gaps = recording.gaps.iter().map(|gap| Window {
        start: gap.start,
        end: gap.end,
    });
    let between = recording.snapshots.iter().zip(recording.snapshots.iter().skip(1));
    let between = between.map(|(start, end)| Window {
        start: *start,
        end: *end,
    });
    gaps.chain(between).collect()
}

fn add_rows(
    cluster: &mut ClusterRows,
    nodes: &mut BTreeMap<String, NodeTape>,
    node: Option<&str>,
    recording: usize,
    rows: Rows,
) {
    let Some(node) = node else {
        return add_cluster_rows(cluster, rows);
    };
    let node = nodes.entry(node.to_owned()).or_default();
    match rows {
        Rows::Flows(rows) => node.flows.extend(rows),
        Rows::Listens(rows) => node.listens.extend(rows),
        Rows::Sockets(rows) => node.sockets.extend(rows),
        Rows::Cgroups(rows) => node.cgroups.extend(rows),
        Rows::Netns(rows) => node.netns.extend(rows),
        Rows::Names(rows) => node.names.extend(rows),
        Rows::Stats(rows) => node.stats.extend(rows),
        Rows::Events(count) => node.events = node.events.saturating_add(count),
        Rows::Clock(rows) => node.clock.entry(recording).or_default().extend(rows),
        Rows::Pods(_)
        | Rows::Containers(_)
        | Rows::Services(_)
        | Rows::EndpointSlices(_)
        | Rows::Namespaces(_)
        | Rows::Nodes(_)
        | Rows::Workloads(_)
        | Rows::NetworkPolicies(_)
        | Rows::Quarantine(_) => unreachable!("a place is known only in its own directory"),
    }
}

fn add_cluster_rows(cluster: &mut ClusterRows, rows: Rows) {
    match rows {
        Rows::Pods(rows) => cluster.pods.extend(rows),
        Rows::Containers(rows) => cluster.containers.extend(rows),
        Rows::Services(rows) => cluster.services.extend(rows),
        Rows::EndpointSlices(rows) => cluster.endpoint_slices.extend(rows),
        Rows::Namespaces(rows) => cluster.namespaces.extend(rows),
        Rows::Nodes(rows) => cluster.nodes.extend(rows),
        Rows::Workloads(rows) => cluster.workloads.extend(rows),
        Rows::NetworkPolicies(rows) => cluster.network_policies.extend(rows),
        Rows::Flows(_)
        | Rows::Listens(_)
        | Rows::Sockets(_)
        | Rows::Cgroups(_)
        | Rows::Netns(_)
        | Rows::Names(_)
        | Rows::Stats(_)
        | Rows::Events(_)
        | Rows::Quarantine(_)
        | Rows::Clock(_) => unreachable!("a place is known only in its own directory"),
    }
}

fn finished(name: String, mut node: NodeTape) -> NodeTape {
    node.name = name;
    // The order of two recordings of a node means nothing, so their whole content decides it.
    node.recordings.sort_by_cached_key(|recording| format!("{recording:?}"));
    node.recordings.dedup();
    let windows = node.recordings.iter().map(|NodeRecording { window, .. }| *window);
    node.window = windows.fold(None, |window, other| Some(united(window, other)));
    node.flows.par_sort_unstable();
    node.listens.par_sort_unstable();
    node.sockets.par_sort_unstable();
    node.cgroups.par_sort_unstable();
    node.netns.par_sort_unstable();
    node.names.par_sort_unstable();
    node.stats.par_sort_unstable();
    node.clock.values_mut().for_each(|samples| samples.sort_unstable());
    node
}

/// Sorts metadata; a row that two snapshots share is one fact.
fn sort_cluster(cluster: &mut ClusterRows) {
    fn facts<R: Ord + Send>(rows: &mut Vec<R>) {
        rows.par_sort_unstable();
        rows.dedup();
    }
    let ClusterRows {
        pods,
        containers,
        services,
        endpoint_slices,
        namespaces,
        nodes,
        workloads,
        network_policies,
    } = cluster;
    facts(pods);
    facts(containers);
    facts(services);
    facts(endpoint_slices);
    facts(namespaces);
    facts(nodes);
    facts(workloads);
    facts(network_policies);
}

/// The time that the rows of a node cover, for want of a manifest.
fn window_of_rows(node: &NodeTape) -> Option<Window> {
    let flows = node.flows.iter().map(|row| (row.interval_start, row.interval_end));
    let stats = node.stats.iter().map(|row| (row.interval_start, row.interval_end));
    let intervals = flows.chain(stats).map(|(start, end)| Window { start, end });
    intervals.fold(None, |window, other| Some(united(window, other)))
}

fn united(window: Option<Window>, other: Window) -> Window {
    window.map_or(other, |window| Window {
        start: window.start.min(other.start),
        end: window.end.max(other.end),
    })
}
