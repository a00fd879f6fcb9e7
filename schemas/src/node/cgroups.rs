//! Table `cgroups`: which container a cgroup v2 id stood for, and when.

use crate::cluster::Bound;
use crate::table::table;
use crate::time::Time;
use crate::value::words;

words! {
    /// Container runtime, as the cgroup path spells it.
    pub enum Runtime {
        /// `cri-containerd-<id>`, or a bare id under containerd's cgroupfs driver.
        Containerd = "containerd",
        /// `crio-<id>`.
        Crio = "cri-o",
        /// `docker-<id>`.
        Docker = "docker",
        /// The path does not say: the cgroupfs driver writes a bare id.
        Unnamed = "unnamed",
    }
}

words! {
    /// Quality-of-service class of a pod, as the cgroup path spells it.
    pub enum Qos {
        /// Requests equal limits: no class in the path.
        Guaranteed = "guaranteed",
        /// Some requests or limits.
        Burstable = "burstable",
        /// None.
        BestEffort = "besteffort",
    }
}

table! {
    /// cgroup v2 ids and what their path says about pod and container.
    pub struct CgroupRow in Node "cgroups" {
        /// cgroup v2 id, which is also the inode number of its directory.
        pub cgroup_id: u64,
        /// Path below the cgroup v2 root, starting with `/`.
        pub path: String,
        /// UID of the pod, with dashes; for a static pod of kubelet's own making, null (see `static_pod_hash`).
        pub pod_uid: Option<String>,
        /// kubelet's configuration hash, which stands for the UID of a static pod in the path; the API knows it as
        /// annotation `kubernetes.io/config.hash`.
        pub static_pod_hash: Option<String>,
        /// Container id, 64 hexadecimal digits; null for the pod's own cgroup.
        pub container_id: Option<String>,
        /// Container runtime.
        pub runtime: Option<Runtime>,
        /// Quality-of-service class.
        pub qos: Option<Qos>,
        /// When the cgroup was made; null if before the window.
        pub valid_from: Option<Time>,
        /// How the beginning is known.
        pub from_bound: Bound,
        /// When it was removed; null if after the window.
        pub valid_to: Option<Time>,
        /// How the end is known.
        pub to_bound: Bound,
    }
}
