//! The recording, read back and resolved by the analyzer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flowtape::findings::Findings;
use flowtape::flow::{self, Flows};
use flowtape::identity::cluster::Cluster;
use flowtape::identity::resolve::{Party, Resolver};
use flowtape::tape::{self, NodeTape, Tape};
use flowtape_schemas::node::{Counter, FlowRow, ListenRow};

use crate::Outcome;
use crate::matrix::{Counts, recorded};
use crate::program::metadata;
use crate::stage::Stage;

/// A recording.
pub(crate) struct Seen {
    /// Of the whole machine, with the metadata of the lab.
    pub(crate) tape: Tape,
    /// Edges of the lab.
    pub(crate) flows: Flows,
    cluster: Cluster,
    /// Control groups of the lab.
    cgroups: BTreeSet<u64>,
    /// Network namespaces that cases made.
    own: BTreeSet<u32>,
}

impl Seen {
    /// Adds metadata to the recording below `directory` and reads both.
    pub(crate) fn read(stage: &Stage, directory: &Path) -> Outcome<Self> {
        let objects = directory.join("cluster.json");
        std::fs::write(&objects, stage.lab.kubernetes_json())?;
        let paths: [PathBuf; 2] = ["recording", "metadata"].map(|name| directory.join(name));
        metadata(&[objects.display().to_string()], &paths[1])?;
        let mut findings = Findings::default();
        let tape = tape::open(&paths, &mut findings)?;
        let name = stage.lab.cgroup().file_name().unwrap_or_default().to_string_lossy();
        let rows = tape.nodes.iter().flat_map(|node| &node.cgroups);
        let cgroups = rows
            .filter(|row| row.path.split('/').any(|part| part == name))
            .map(|row| row.cgroup_id)
            .collect();
        let mut seen = Self {
            flows: Flows::default(),
            cluster: Cluster::new(&tape.cluster, &mut findings),
            tape,
            cgroups,
            own: stage.own.clone(),
        };
        let mut of_lab = seen.tape.clone();
        for node in &mut of_lab.nodes {
            node.flows.retain(|row| seen.is_own(row));
            node.sockets
                .retain(|row| row.cgroup_id.is_some_and(|id| seen.cgroups.contains(&id)));
        }
        seen.flows = flow::edges(&of_lab, &seen.cluster, &mut findings);
        Ok(seen)
    }

    /// The recorded node.
    pub(crate) fn node(&self) -> Outcome<&NodeTape> {
        self.tape.nodes.first().ok_or_else(|| "the tape has no node".into())
    }

    /// Runs that the kernel skipped because the program was running on that processor.
    pub(crate) fn missed(&self) -> u64 {
        let stats = self.tape.nodes.iter().flat_map(|node| &node.stats);
        let misses = stats.filter(|row| row.counter == Counter::RecursionMissed);
        misses.map(|row| row.value).sum()
    }

    /// What was counted for sockets of the lab, each by the pod that the analyzer says it was of.
    pub(crate) fn counts(&self) -> Counts {
        let resolver = Resolver::new(&self.tape, &self.cluster);
        let flows: Vec<FlowRow> = self.tape.nodes.iter().flat_map(|node| node.flows.clone()).collect();
        recorded(&flows, |row| {
            self.is_own(row).then(|| match resolver.local("lab", row) {
                // Names of pods of a Deployment go on after its own.
                Party::Pod(pod) => pod.workload.name.split('-').next().unwrap_or_default().to_owned(),
                Party::Node(name) => name.to_owned(),
                Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => "nobody".to_owned(),
            })
        })
    }

    /// Listeners of the lab.
    pub(crate) fn listens(&self) -> impl Iterator<Item = &ListenRow> {
        let rows = self.tape.nodes.iter().flat_map(|node| &node.listens);
        rows.filter(|row| row.cgroup_id.is_some_and(|id| self.cgroups.contains(&id)))
    }

    /// A namespace that a case made within the recording has nothing older; what is was of another of that number.
    fn is_own(&self, row: &FlowRow) -> bool {
        row.cgroup_id.is_some_and(|id| self.cgroups.contains(&id))
            || row.netns.is_some_and(|netns| self.own.contains(&netns)) && !row.predates_window
    }
}
