//! Table `containers`.

use crate::cluster::Bound;
use crate::table::{record, table};
use crate::time::Time;
use crate::value::words;

words! {
    /// What a container is to its pod.
    pub enum ContainerKind {
        /// Listed under `spec.containers`.
        App = "app",
        /// Listed under `spec.initContainers`, runs to its end before the others.
        Init = "init",
        /// Listed under `spec.initContainers` with `restartPolicy: Always`.
        Sidecar = "sidecar",
        /// Listed under `spec.ephemeralContainers`.
        Ephemeral = "ephemeral",
    }
}

record! {
    /// A port that a container declares.
    pub struct ContainerPort {
        /// Name, which policies and Services may use instead of the number.
        pub name: Option<String>,
        /// `containerPort`.
        pub port: u16,
        /// TCP, UDP or SCTP.
        pub protocol: String,
        /// `hostPort`: published on the node.
        pub host_port: Option<u16>,
    }
}

record! {
    /// A probe that kubelet runs against a container over the network.
    pub struct Probe {
        /// `liveness`, `readiness` or `startup`.
        pub kind: String,
        /// `httpGet`, `tcpSocket` or `grpc`.
        pub handler: String,
        /// Port number, if given as a number.
        pub port: Option<u16>,
        /// Port name, if given as a name.
        pub port_name: Option<String>,
    }
}

table! {
    /// Containers of the pods: ids, declared ports and probes. Never environment, arguments or mounts.
    pub struct ContainerRow in Cluster "containers" {
        /// UID of the pod.
        pub pod_uid: String,
        /// Name within the pod.
        pub name: String,
        /// What it is to its pod.
        pub kind: ContainerKind,
        /// Id without the runtime's scheme, once it runs.
        pub container_id: Option<String>,
        /// Image as the specification names it.
        pub image: String,
        /// Declared ports.
        pub ports: Vec<ContainerPort>,
        /// Network probes.
        pub probes: Vec<Probe>,
        /// When this version began to hold; null: before anything known.
        pub valid_from: Option<Time>,
        /// How the beginning is known.
        pub from_bound: Bound,
        /// When it ceased to hold; null: after anything known.
        pub valid_to: Option<Time>,
        /// How the end is known.
        pub to_bound: Bound,
    }
}
