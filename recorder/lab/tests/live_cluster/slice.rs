//! What a recording says of one lab: the recorder sees the whole machine, other labs with the same addresses included.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flowtape::tape::{NodeTape, Tape, samples};
use flowtape_schemas::manifest::{ClusterRecording, ClusterSource, FileEntry, MANIFEST_FILE, Manifest, Origin, Tool};
use flowtape_schemas::metadata::EachRows;
use flowtape_schemas::node::{CgroupRow, EventRow};
use flowtape_schemas::parquet::encode_file;
use flowtape_schemas::table::{Place, Row};

use crate::Outcome;

/// The control groups of one lab, by the name that all of them are below. A host outside the cluster has a control group in
/// the lab only, and no recorder.
pub(crate) struct LabGroups {
    name: String,
}

impl LabGroups {
    /// Those of the lab whose directory is `path`.
    pub(crate) fn below(path: &Path) -> Outcome<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        Ok(Self {
            name: name.ok_or("the lab has no control group")?.to_owned(),
        })
    }

    /// The node of the lab that a control group is on.
    fn node_of<'a>(&self, row: &'a CgroupRow) -> Option<&'a str> {
        let mut parts = row.path.split('/').skip_while(|part| *part != self.name).skip(1);
        parts.next().filter(|node| *node != "outside")
    }

    /// Their identifiers in a recording.
    pub(crate) fn ids(&self, tape: &Tape) -> BTreeSet<u64> {
        let groups = tape.nodes.iter().flat_map(|node| &node.cgroups);
        groups
            .filter(|row| self.node_of(row).is_some())
            .map(|row| row.cgroup_id)
            .collect()
    }

    /// Identifiers of the control groups of other labs, whose networks may have had a number before one of this lab has it.
    pub(crate) fn of_others(&self, tape: &Tape) -> BTreeSet<u64> {
        let is_other = |row: &&CgroupRow| {
            let mut parts = row.path.split('/');
            parts.any(|part| part.starts_with("flowtape-lab-") && part != self.name)
        };
        let groups = tape.nodes.iter().flat_map(|node| &node.cgroups);
        groups.filter(is_other).map(|row| row.cgroup_id).collect()
    }

    /// Leaves only what their sockets did.
    pub(crate) fn keep(&self, tape: &mut Tape) {
        let ids = self.ids(tape);
        for node in &mut tape.nodes {
            keep(&ids, node);
        }
    }

    /// Leaves of each node what a recorder of its own would have recorded there: one recorder sees all nodes of a lab.
    pub(crate) fn part(&self, tape: &mut Tape) {
        let mut parts = Vec::new();
        for machine in &tape.nodes {
            let mut ids: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
            for row in &machine.cgroups {
                if let Some(node) = self.node_of(row) {
                    ids.entry(node).or_default().insert(row.cgroup_id);
                }
            }
            for (name, ids) in ids {
                let mut node = machine.clone();
                name.clone_into(&mut node.name);
                for recording in &mut node.recordings {
                    name.clone_into(&mut recording.name);
                }
                keep(&ids, &mut node);
                parts.push(node);
            }
        }
        tape.nodes = parts;
    }
}

/// Leaves what the sockets of these control groups did.
fn keep(ids: &BTreeSet<u64>, node: &mut NodeTape) {
    let is_own = |id: Option<u64>| id.is_some_and(|id| ids.contains(&id));
    node.flows.retain(|row| is_own(row.cgroup_id));
    node.listens.retain(|row| is_own(row.cgroup_id));
    node.sockets.retain(|row| is_own(row.cgroup_id));
    node.cgroups.retain(|row| ids.contains(&row.cgroup_id));
    let own: BTreeSet<u32> = node.flows.iter().filter_map(|row| row.netns).collect();
    node.netns.retain(|row| own.contains(&row.netns));
}

/// Writes a tape as one directory, which the verbs take as one side of a diff.
pub(crate) fn write(tape: &Tape, to: &Path) -> Outcome {
    let mut files = Files {
        to,
        entries: Vec::new(),
    };
    for node in &tape.nodes {
        files.write(&node.name, &node.flows)?;
        files.write(&node.name, &events(node)?)?;
        files.write(&node.name, &node.listens)?;
        files.write(&node.name, &node.sockets)?;
        files.write(&node.name, &node.cgroups)?;
        files.write(&node.name, &node.netns)?;
        files.write(&node.name, &node.stats)?;
    }
    tape.cluster.each(&mut files)?;
    let tool = Tool {
        name: "live-cluster".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut manifest = Manifest::new(tool, Origin::Recorded, "0123456789abcdef".to_owned());
    manifest.window = tape.window;
    manifest.nodes = tape.nodes.iter().flat_map(|node| node.recordings.clone()).collect();
    manifest.cluster = Some(ClusterRecording::new(ClusterSource::Snapshots, Vec::new()));
    manifest.files = files.entries;
    std::fs::write(to.join(MANIFEST_FILE), manifest.render()?)?;
    Ok(())
}

/// The samples of a node's control groups.
fn events(node: &NodeTape) -> Outcome<Vec<EventRow>> {
    let ids: BTreeSet<u64> = node.cgroups.iter().map(|row| row.cgroup_id).collect();
    let is_own = |row: &EventRow| row.cgroup_id.is_some_and(|id| ids.contains(&id));
    let own = samples(node, |rows| rows.into_iter().filter(is_own).collect::<Vec<_>>())?;
    let mut events: Vec<EventRow> = own.into_iter().flatten().collect();
    events.sort_unstable();
    Ok(events)
}

struct Files<'a> {
    to: &'a Path,
    entries: Vec<FileEntry>,
}

impl EachRows for Files<'_> {
    type Error = Box<dyn std::error::Error>;

    fn rows<R: Row>(&mut self, rows: &[R]) -> Outcome {
        self.write("", rows)
    }
}

impl Files<'_> {
    fn write<R: Row>(&mut self, node: &str, rows: &[R]) -> Outcome {
        let directory = match R::PLACE {
            Place::Node => format!("node={node}"),
            Place::Cluster => "cluster".to_owned(),
            Place::Import => "import".to_owned(),
        };
        let path = format!("{directory}/{}-000001.parquet", R::TABLE);
        let content = encode_file(rows)?;
        std::fs::create_dir_all(self.to.join(directory))?;
        std::fs::write(self.to.join(&path), &content)?;
        self.entries.push(FileEntry::describe(
            path,
            R::TABLE,
            u64::try_from(rows.len())?,
            &content,
        ));
        Ok(())
    }
}
