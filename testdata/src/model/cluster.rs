//! The declared cluster.

use std::fmt;
use std::net::IpAddr;

use super::{Cidr, Labels, Name, Offset, Protocol, Span};

/// One machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Line of the text.
    pub line: usize,
    /// Name, a DNS subdomain.
    pub name: String,
    /// `InternalIP` addresses, at most one per family, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// Ranges its pods take their addresses from, at most one per family.
    pub pods: Vec<Cidr>,
    /// Labels besides those every node has.
    pub labels: Labels,
    /// How the kubelet spells cgroup paths.
    pub cgroups: CgroupDriver,
    /// Whether a recorder ran on it.
    pub recorded: bool,
    /// Whether it puts a port of its own in the client's place with its address, and not only where the client's is taken.
    pub random_ports: bool,
    /// By how much the node's wall clock is ahead of true time.
    pub clock: Offset,
    /// Whether the recorder stopped in an orderly way.
    pub clean_stop: bool,
}

/// How the kubelet spells the cgroup paths of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupDriver {
    /// `/kubepods/burstable/pod<uid>/<container>`.
    Cgroupfs,
    /// `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<container>.scope`.
    Systemd,
}

/// How the metadata of the cluster was obtained: by a watch that sees every change, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Line of the text; 0 if there is none.
    pub line: usize,
    /// When the cluster was looked at, and only then; empty for a watch.
    pub snapshots: Vec<Offset>,
    /// By how much the watch saw changes too late.
    pub late: Offset,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Line where it is declared or first used.
    pub line: usize,
    /// Name, a DNS label.
    pub name: String,
    /// Labels besides `kubernetes.io/metadata.name`.
    pub labels: Labels,
}

/// What owns pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A Deployment, with one ReplicaSet per revision.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A Job.
    Job,
    /// A CronJob, with one Job per run.
    CronJob,
    /// A pod without owner.
    Pod,
    /// A pod started by the kubelet from a file, with its mirror in the API.
    StaticPod,
}

impl Kind {
    /// The word that declares it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::Job => "job",
            Self::CronJob => "cronjob",
            Self::Pod => "pod",
            Self::StaticPod => "static-pod",
        }
    }
}

/// A workload and the template of its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Line of the text.
    pub line: usize,
    /// Kind.
    pub kind: Kind,
    /// Namespace and name.
    pub name: Name,
    /// The kind of another API group that its object has in place of its own.
    pub custom: Option<CustomKind>,
    /// Whether the metadata has its object.
    pub listed: bool,
    /// What owns its object, as operators do: kind and name.
    pub owner: Option<(CustomKind, String)>,
    /// Number of pods; ignored by DaemonSet (one per node) and CronJob (one per run).
    pub replicas: u32,
    /// Nodes its pods are spread over in turn; empty means all nodes.
    pub nodes: Vec<String>,
    /// Labels of its pod template.
    pub labels: Labels,
    /// Its own `spec.selector`; the template's labels where the text does not say.
    pub selects: Labels,
    /// Ports of its container.
    pub ports: Vec<ContainerPort>,
    /// Probes of its container.
    pub probes: Vec<Probe>,
    /// Whether its pods use the node's network.
    pub host_network: bool,
    /// Addresses besides the node's at which its pods on the node's network answer, to the pods of that node alone.
    pub answers: Vec<IpAddr>,
    /// Ports of a proxy in each of its pods, which takes what TCP carries out of and into the pod.
    pub proxy: Option<Proxy>,
    /// Service account name.
    pub account: String,
    /// Runs of a CronJob.
    pub runs: Vec<Span>,
    /// Settings for all its pods.
    pub defaults: Replica,
    /// Settings for single pods, by their place.
    pub overrides: Vec<(u32, Replica)>,
}

/// A kind that is none of Kubernetes' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomKind {
    /// Kind.
    pub kind: String,
    /// API group.
    pub group: String,
}

impl CustomKind {
    /// `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        format!("{}/v1alpha1", self.group)
    }
}

/// Where a proxy in a pod takes connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What the pod opens.
    pub outbound: u16,
    /// What is opened to the pod.
    pub inbound: u16,
    /// The workload whose pod of the same node is the proxy, with sockets in the network of the pod; its own container
    /// where not given.
    pub by: Option<Name>,
}

/// Settings of pods that the text may give for all pods of a workload or for one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replica {
    /// Line of the text.
    pub line: usize,
    /// Node it runs on.
    pub node: Option<String>,
    /// When it got its address; before the window where not given.
    pub from: Option<Offset>,
    /// When it was deleted (Job and CronJob: completed); after the window where not given.
    pub to: Option<Offset>,
    /// Its addresses, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// Revision of the template it was made from, counted from 1.
    pub revision: Option<u32>,
    /// Labels it has besides those of the template.
    pub labels: Labels,
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// Name, if it has one.
    pub name: Option<String>,
    /// Number in the pod.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Port of the node that is forwarded to it.
    pub host_port: Option<u16>,
}

/// A port by number or by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By name, resolved in the pod or Service it applies to.
    Name(String),
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(port) => write!(f, "{port}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A probe that the kubelet makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What it decides.
    pub role: ProbeRole,
    /// How it asks.
    pub kind: ProbeKind,
    /// Where it asks.
    pub port: PortRef,
}

/// What a probe decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeRole {
    /// `livenessProbe`.
    Liveness,
    /// `readinessProbe`.
    Readiness,
    /// `startupProbe`.
    Startup,
}

/// How a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeKind {
    /// `httpGet`.
    Http,
    /// `tcpSocket`.
    Tcp,
    /// `grpc`.
    Grpc,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Line of the text.
    pub line: usize,
    /// Namespace and name.
    pub name: Name,
    /// Cluster addresses, at most one per family; empty for headless and external names.
    pub addresses: Vec<IpAddr>,
    /// Pod selector; `None` for a Service whose endpoints are given.
    pub selects: Option<Labels>,
    /// Endpoints of a Service without selector.
    pub endpoints: Vec<IpAddr>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Addresses a load balancer gave it; not empty makes its type `LoadBalancer`.
    pub load_balancer: Vec<IpAddr>,
    /// Whether the load balancer is a proxy of its own, so that nodes do not translate its addresses (`ipMode: Proxy`).
    pub balanced_by_proxy: bool,
    /// Who may use the load balancer (`loadBalancerSourceRanges`); everybody where there are none.
    pub source_ranges: Vec<Cidr>,
    /// Addresses outside the cluster that are routed to its nodes.
    pub external_ips: Vec<IpAddr>,
    /// What a Service of type `ExternalName` points to.
    pub external_name: Option<HostName>,
    /// `externalTrafficPolicy`.
    pub external_traffic: ServiceTraffic,
    /// Whether `sessionAffinity` is `ClientIP`.
    pub affinity: bool,
}

/// A DNS name.
pub type HostName = String;

/// Which endpoints traffic from outside may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceTraffic {
    /// All; the node that forwards replaces the client's address with its own.
    Cluster,
    /// Those on the node it arrived at; the client's address is kept.
    Local,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Name, if it has one.
    pub name: Option<String>,
    /// Port of the Service's addresses.
    pub port: u16,
    /// Port of every node, if published there.
    pub node_port: Option<u16>,
    /// Port of the backends.
    pub target: PortRef,
    /// Protocol.
    pub protocol: Protocol,
}

/// An address outside the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Line of the text.
    pub line: usize,
    /// Address.
    pub address: IpAddr,
    /// DNS name, if one is known.
    pub name: Option<HostName>,
}

/// A NetworkPolicy that existed during the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Line of the text.
    pub line: usize,
    /// Namespace and name.
    pub name: Name,
    /// The object's `spec`.
    pub spec: serde_json::Value,
}
