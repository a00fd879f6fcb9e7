//! The tape that recorders would have written of a scenario.
//!
//! Every row is made from the resolved connections and the laid-out cluster, metadata goes through the same conversion
//! as a real cluster's. All rows say `synthetic` in their hook column and the manifest says it of the whole tape. The
//! bytes depend on the scenario alone.

use std::path::Path;

use flowtape_schemas::manifest::{
    ClusterRecording, ClusterSource, FileEntry, HookReport, MANIFEST_FILE, Manifest, NodeRecording, Origin, Stop, Tool,
    Window, sha256_hex,
};
use flowtape_schemas::metadata::MetadataError;
use flowtape_schemas::node::{Hook, Loss};
use flowtape_schemas::parquet::{FileError, encode_file};
use flowtape_schemas::table::{Place, Row};
use flowtape_schemas::time::Time;

use crate::connection::{Connection, connections};
use crate::kubernetes::WINDOW_START;
use crate::kubernetes::node::KERNEL;
use crate::layout::Layout;
use crate::model::{Node, Offset, Scenario};
use crate::problem::Problems;

mod cluster;
mod node;
mod proxy;
mod traffic;

/// How often a recorder writes what it counted.
const INTERVAL: i64 = 10_000_000_000;

/// Files of a tape, by their path below it.
pub type Files = Vec<(String, Vec<u8>)>;

/// Why a scenario has no tape.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The scenario does not make sense as a whole.
    #[error(transparent)]
    Scenario(#[from] Problems),
    /// A table could not be encoded.
    #[error("cannot encode a table: {0}")]
    Table(#[from] FileError),
    /// The Kubernetes objects could not be converted.
    #[error("cannot convert the cluster's objects: {0}")]
    Metadata(#[from] MetadataError),
    /// The manifest could not be written as JSON.
    #[error("cannot write the manifest: {0}")]
    Manifest(#[from] serde_json::Error),
}

/// Compiles a scenario to the files of a tape, sorted by path.
pub fn compile(scenario: &Scenario) -> Result<Files, CompileError> {
    let layout = Layout::of(scenario)?;
    let connections = connections(scenario, &layout)?;
    let mut writer = Writer::default();
    let mut nodes = Vec::new();
    for (place, node) in scenario.nodes.iter().enumerate().filter(|(_, node)| node.recorded) {
        let view = View {
            scenario,
            layout: &layout,
            connections: &connections,
            place,
            node,
        };
        write_node(&mut writer, &view)?;
        nodes.push(view.recording());
    }
    cluster::write(&mut writer, scenario, &layout)?;
    let Writer { mut files, entries } = writer;
    let hashes: String = entries.iter().map(|entry| entry.sha256.as_str()).collect();
    let tool = Tool {
        name: "flowtape-scenario".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut manifest = Manifest::new(tool, Origin::Synthetic, sha256_hex(hashes.as_bytes())[..16].to_owned());
    manifest.window = Some(window(scenario, Offset(0)));
    manifest.nodes = nodes;
    let looks = &scenario.metadata.snapshots;
    let source = if looks.is_empty() {
        ClusterSource::Watch
    } else {
        ClusterSource::Snapshots
    };
    let times = looks.iter().map(|at| time(*at, Offset(0))).collect();
    manifest.cluster = Some(ClusterRecording::new(source, times));
    manifest.files = entries;
    files.push((MANIFEST_FILE.to_owned(), manifest.render()?.into_bytes()));
    files.sort();
    Ok(files)
}

/// Writes the files of a tape below a directory that is made if needed.
pub fn write(directory: &Path, files: &Files) -> std::io::Result<()> {
    for (path, bytes) in files {
        let target = directory.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(target, bytes)?;
    }
    Ok(())
}

/// The window as a clock that is ahead by `clock` shows it.
fn window(scenario: &Scenario, clock: Offset) -> Window {
    Window {
        start: time(Offset(0), clock),
        end: time(scenario.window, clock),
    }
}

/// An instant as a clock that is ahead by `clock` shows it.
fn time(at: Offset, clock: Offset) -> Time {
    Time(WINDOW_START).saturating_add(at.0).saturating_add(clock.0)
}

/// What the recorder of one node sees.
struct View<'s> {
    scenario: &'s Scenario,
    layout: &'s Layout,
    connections: &'s [Connection],
    /// Place of the node in [`Scenario::nodes`].
    place: usize,
    node: &'s Node,
}

impl View<'_> {
    /// An instant on the node's own clock.
    fn time(&self, at: Offset) -> Time {
        time(at, self.node.clock)
    }

    /// The interval of the recording that an instant falls into.
    fn interval(&self, at: Offset) -> (Offset, Offset) {
        let end = self.scenario.window;
        // The last instant belongs to the last interval: there is none after it.
        let within = at.0.clamp(0, (end.0 - 1).max(0));
        let start = within - within % INTERVAL;
        (Offset(start), Offset((start + INTERVAL).min(end.0)))
    }

    fn recording(&self) -> NodeRecording {
        let lost = |loss: Loss| {
            let of_node = self.scenario.losses.iter().filter(|entry| entry.node == self.node.name);
            of_node
                .filter(|entry| entry.counter.loss() == loss)
                .map(|entry| entry.count)
                .sum()
        };
        NodeRecording {
            name: self.node.name.clone(),
            window: window(self.scenario, self.node.clock),
            kernel: KERNEL.to_owned(),
            architecture: "x86_64".to_owned(),
            hooks: vec![HookReport::attached(Hook::Synthetic)],
            settings: std::iter::once(("events".to_owned(), "all".to_owned())).collect(),
            stop: if self.node.clean_stop {
                Stop::Clean
            } else {
                Stop::Unclean
            },
            lost_events: lost(Loss::Events),
            lost_edges: lost(Loss::Edges),
            notes: Vec::new(),
        }
    }
}

/// Collects files and their entries in the manifest.
#[derive(Default)]
struct Writer {
    files: Files,
    entries: Vec<FileEntry>,
}

impl Writer {
    /// Adds a table's only file, in the directory of its node or of the cluster.
    fn add<R: Row>(&mut self, node: Option<&str>, rows: &[R]) -> Result<(), FileError> {
        let directory = match (R::PLACE, node) {
            (Place::Node, Some(node)) => format!("node={node}"),
            (Place::Node, None) | (Place::Cluster, _) => "cluster".to_owned(),
            (Place::Import, _) => "import".to_owned(),
        };
        let path = format!("{directory}/{}-000001.parquet", R::TABLE);
        let bytes = encode_file(rows)?;
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.entries
            .push(FileEntry::describe(path.clone(), R::TABLE, count, &bytes));
        self.files.push((path, bytes));
        Ok(())
    }
}

fn write_node(writer: &mut Writer, view: &View<'_>) -> Result<(), FileError> {
    let name = Some(view.node.name.as_str());
    let (flows, events) = traffic::rows(view);
    writer.add(name, &flows)?;
    writer.add(name, &events)?;
    writer.add(name, &node::listens(view))?;
    let sockets = node::sockets(view);
    if !sockets.is_empty() {
        writer.add(name, &sockets)?;
    }
    writer.add(name, &node::cgroups(view))?;
    writer.add(name, &node::netns(view))?;
    let names = node::names(view);
    if !names.is_empty() {
        writer.add(name, &names)?;
    }
    writer.add(name, &node::stats(view, &events))?;
    writer.add(name, &node::clock(view))
}
