//! The tables of the cluster while they are being written.

use flowtape_schemas::cluster::{
    ContainerRow, EndpointSliceRow, NamespaceRow, NetworkPolicyRow, NodeRow, PodRow, ServiceRow, WorkloadRow,
};
use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::table::Row;

use crate::output;
use crate::tape::{CLUSTER_DIRECTORY, Hold, IntervalTable, Outbox, TapeError, Target, WholeFile};

/// One table of intervals for each kind of metadata.
pub(super) struct ClusterTape {
    /// Until something is stored, nothing is touched.
    target: Option<Target>,
    hold: Option<Hold>,
    outbox: Outbox,
    pods: IntervalTable<PodRow>,
    containers: IntervalTable<ContainerRow>,
    services: IntervalTable<ServiceRow>,
    endpoint_slices: IntervalTable<EndpointSliceRow>,
    namespaces: IntervalTable<NamespaceRow>,
    nodes: IntervalTable<NodeRow>,
    workloads: IntervalTable<WorkloadRow>,
    network_policies: IntervalTable<NetworkPolicyRow>,
}

impl ClusterTape {
    /// Tables without files.
    pub(super) fn new(target: Target) -> Self {
        Self {
            outbox: Outbox::new(target.path().to_owned()),
            target: Some(target),
            hold: None,
            pods: table(),
            containers: table(),
            services: table(),
            endpoint_slices: table(),
            namespaces: table(),
            nodes: table(),
            workloads: table(),
            network_policies: table(),
        }
    }

    /// Stores what ended since the last call and all that is still open, so that a crash later cannot take it. What a full
    /// disk refuses waits for the next call.
    pub(super) fn store(&mut self, ended: ClusterRows, open: ClusterRows) -> anyhow::Result<()> {
        self.put(ended, open)?;
        match self.outbox.send() {
            Err(error) if error.storage().is_some() => {
                output::warn(format_args!(
                    "{error}; what could not be written is kept and tried again"
                ));
                Ok(())
            }
            sent => Ok(sent?),
        }
    }

    /// Stores what is left, and lists every file of the tables.
    pub(super) fn finish(mut self, ended: ClusterRows, open: ClusterRows) -> anyhow::Result<Vec<FileEntry>> {
        self.put(ended, open)?;
        self.outbox.send()?;
        Ok(self.outbox.stored().cloned().collect())
    }

    fn put(&mut self, ended: ClusterRows, open: ClusterRows) -> anyhow::Result<()> {
        if let Some(target) = self.target.take() {
            self.hold = Some(target.hold()?);
            target.prepare(CLUSTER_DIRECTORY)?;
        }
        let files: [Result<Vec<WholeFile>, TapeError>; 8] = [
            self.pods.files(ended.pods, open.pods),
            self.containers.files(ended.containers, open.containers),
            self.services.files(ended.services, open.services),
            self.endpoint_slices.files(ended.endpoint_slices, open.endpoint_slices),
            self.namespaces.files(ended.namespaces, open.namespaces),
            self.nodes.files(ended.nodes, open.nodes),
            self.workloads.files(ended.workloads, open.workloads),
            self.network_policies
                .files(ended.network_policies, open.network_policies),
        ];
        for files in files {
            files?.into_iter().for_each(|file| self.outbox.put(file));
        }
        Ok(())
    }
}

fn table<R: Row + Ord>() -> IntervalTable<R> {
    IntervalTable::new(CLUSTER_DIRECTORY.to_owned())
}
