//! The cluster that a tape describes: pods with their workloads, nodes, and who held which address when.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::{ContainerRow, PodRow};
use flowtape_schemas::metadata::ClusterRows;

use super::Workload;
use super::owner::Owners;
use super::service::Services;
use crate::findings::{Code, Findings};

/// A pod, over all versions of it in the tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// UID.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Node it ran on, if it was scheduled.
    pub node: Option<String>,
    /// Whether it shared the addresses of its node.
    pub host_network: bool,
    /// Its addresses.
    pub addresses: BTreeSet<Address>,
    /// Its labels, of the last version.
    pub labels: BTreeMap<String, String>,
    /// Other labels that it had before.
    pub earlier_labels: BTreeSet<BTreeMap<String, String>>,
    /// UID of its controlling owner.
    pub owner_uid: Option<String>,
    /// Its workload.
    pub workload: Workload,
    /// Ports its containers declare.
    pub ports: BTreeSet<DeclaredPort>,
    /// Port numbers that kubelet probes.
    pub probed_ports: BTreeSet<u16>,
    /// What stands for its names.
    pub numbers: Numbers,
}

/// Numbers in the place of names, which take long to compare: those of two pods are equal, or in the same order, as their
/// names are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Of its UID.
    pub uid: u32,
    /// Of the pod's namespace and name.
    pub pod: u32,
    /// Of its workload.
    pub workload: u32,
}

/// What a UID stands for: a pod, if the metadata has it. Told apart by the UID alone.
#[derive(Clone, Copy, Debug)]
pub struct OfUid<'a> {
    /// The UID.
    pub uid: &'a str,
    /// The pod.
    pub pod: Option<&'a Pod>,
}

impl PartialEq for OfUid<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.uid == other.uid
    }
}

impl Eq for OfUid<'_> {}

impl PartialOrd for OfUid<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OfUid<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uid.cmp(other.uid)
    }
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeclaredPort {
    /// Its number.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The port of the node that is forwarded to it, if any.
    pub host_port: Option<u16>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// InternalIPs: what policies can name it by.
    pub internal_ips: BTreeSet<Address>,
    /// Every address of it.
    pub addresses: BTreeSet<Address>,
    /// Ranges its pods get addresses from.
    pub pod_ranges: BTreeSet<String>,
}

/// Everything a tape knows of its cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Pods by UID.
    pub pods: BTreeMap<String, Pod>,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Labels of namespaces by name.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Services and their backends.
    pub services: Services,
    /// Owners of pods.
    pub owners: Owners,
    static_pods: BTreeMap<String, String>,
    /// Nodes by address; of two with the same one the first.
    node_addresses: BTreeMap<Address, String>,
    /// UIDs of pods.
    by_namespace: BTreeMap<String, BTreeSet<String>>,
}

impl Cluster {
    /// Builds the cluster from the metadata of a tape.
    pub fn new(rows: &ClusterRows, findings: &mut Findings) -> Self {
        let owners = Owners::new(&rows.workloads);
        let mut pods = pods(rows, &owners, findings);
        number(&mut pods);
        let mut by_namespace: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (uid, pod) in &pods {
            by_namespace
                .entry(pod.namespace.clone())
                .or_default()
                .insert(uid.clone());
        }
        let hashed = |row: &PodRow| {
            Some((
                row.annotations.get("kubernetes.io/config.hash")?.clone(),
                row.uid.clone(),
            ))
        };
        let nodes = nodes(rows);
        let mut node_addresses = BTreeMap::new();
        for (name, node) in &nodes {
            for address in &node.addresses {
                node_addresses.entry(*address).or_insert_with(|| name.clone());
            }
        }
        Self {
            nodes,
            node_addresses,
            namespaces: rows
                .namespaces
                .iter()
                .map(|row| (row.name.clone(), row.labels.clone()))
                .collect(),
            services: Services::new(rows),
            owners,
            by_namespace,
            static_pods: rows.pods.iter().filter_map(hashed).collect(),
            pods,
        }
    }

    /// The pod whose cgroup carries kubelet's configuration hash instead of a UID.
    #[must_use]
    pub fn static_pod(&self, hash: &str) -> Option<&Pod> {
        self.pods.get(self.static_pods.get(hash)?)
    }

    /// The pods of a workload, by UID.
    pub fn pods_of<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = &'a Pod> {
        let beside = self.pods_in(&workload.namespace);
        beside.filter(move |pod| pod.workload == *workload)
    }

    /// The pods of a namespace, by UID.
    pub fn pods_in(&self, namespace: &str) -> impl Iterator<Item = &Pod> {
        let uids = self.by_namespace.get(namespace).into_iter().flatten();
        uids.filter_map(|uid| self.pods.get(uid))
    }

    /// What a UID stands for.
    #[must_use]
    pub fn of_uid<'a>(&'a self, uid: &'a str) -> OfUid<'a> {
        OfUid {
            uid,
            pod: self.pods.get(uid),
        }
    }

    /// The node that has this address.
    #[must_use]
    pub fn node_of(&self, address: Address) -> Option<&str> {
        self.node_addresses.get(&address).map(String::as_str)
    }
}

impl Pod {
    /// All labels that it had at some time.
    pub fn all_labels(&self) -> impl Iterator<Item = &BTreeMap<String, String>> {
        std::iter::once(&self.labels).chain(&self.earlier_labels)
    }

    /// The name of a port, where a container declares one.
    #[must_use]
    pub fn port_name(&self, port: u16, protocol: &str) -> Option<&str> {
        let declared = self
            .ports
            .iter()
            .find(|declared| declared.port == port && declared.protocol == protocol)?;
        declared.name.as_deref()
    }

    /// The number of a named port.
    #[must_use]
    pub fn port_of_name(&self, name: &str, protocol: &str) -> Option<u16> {
        let named = |declared: &&DeclaredPort| declared.name.as_deref() == Some(name) && declared.protocol == protocol;
        self.ports.iter().find(named).map(|declared| declared.port)
    }
}

fn pods(rows: &ClusterRows, owners: &Owners, findings: &mut Findings) -> BTreeMap<String, Pod> {
    let mut containers: BTreeMap<&str, Vec<&ContainerRow>> = BTreeMap::new();
    for row in &rows.containers {
        containers.entry(&row.pod_uid).or_default().push(row);
    }
    let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
    let mut versions: Vec<&PodRow> = rows.pods.iter().collect();
    versions.sort_by_key(|row| row.valid_from);
    for row in versions {
        let of_pod = containers.get(row.uid.as_str()).map_or(&[][..], Vec::as_slice);
        let (workload, missing) = owners.workload_of(row);
        if let Some(owner) = missing {
            findings.report(
                Code::OwnerMissing,
                format!("{owner}, which owns pods, is not in the metadata"),
            );
        }
        let mut pod = pod(row, workload, of_pod);
        if let Some(earlier) = pods.get(&row.uid) {
            pod.addresses.extend(&earlier.addresses);
            pod.node = pod.node.or_else(|| earlier.node.clone());
            pod.earlier_labels.extend(earlier.all_labels().cloned());
            pod.earlier_labels.remove(&pod.labels);
        }
        pods.insert(row.uid.clone(), pod);
    }
    pods
}

/// Gives numbers to the names of all pods.
fn number(pods: &mut BTreeMap<String, Pod>) {
    let mut all: Vec<&mut Pod> = pods.values_mut().collect();
    number_by(&mut all, |pod| pod.uid.clone(), |numbers| &mut numbers.uid);
    let name = |pod: &Pod| (pod.namespace.clone(), pod.name.clone());
    number_by(&mut all, name, |numbers| &mut numbers.pod);
    number_by(&mut all, |pod| pod.workload.clone(), |numbers| &mut numbers.workload);
}

fn number_by<K: Ord>(pods: &mut [&mut Pod], key: impl Fn(&Pod) -> K, of: impl Fn(&mut Numbers) -> &mut u32) {
    pods.sort_by_cached_key(|pod| key(pod));
    let mut before: Option<(K, u32)> = None;
    for pod in pods {
        let key = key(pod);
        let number = match before {
            None => 0,
            Some((known, number)) if known == key => number,
            Some((_, number)) => number.saturating_add(1),
        };
        *of(&mut pod.numbers) = number;
        before = Some((key, number));
    }
}

fn pod(row: &PodRow, workload: Workload, containers: &[&ContainerRow]) -> Pod {
    let declared = |container: &&ContainerRow| {
        let port = |port: &flowtape_schemas::cluster::ContainerPort| DeclaredPort {
            port: port.port,
            protocol: port.protocol.clone(),
            name: port.name.clone(),
            host_port: port.host_port,
        };
        container.ports.iter().map(port).collect::<Vec<_>>()
    };
    let probed = |container: &&ContainerRow| {
        let named = |name: &String| container.ports.iter().find(|port| port.name.as_ref() == Some(name));
        let number = |probe: &flowtape_schemas::cluster::Probe| {
            probe.port.or_else(|| Some(named(probe.port_name.as_ref()?)?.port))
        };
        container.probes.iter().filter_map(number).collect::<Vec<_>>()
    };
    Pod {
        uid: row.uid.clone(),
        namespace: row.namespace.clone(),
        name: row.name.clone(),
        node: row.node.clone(),
        host_network: row.host_network,
        addresses: row.pod_ips.iter().copied().collect(),
        labels: row.labels.clone(),
        earlier_labels: BTreeSet::new(),
        owner_uid: row.owner_uid.clone(),
        workload,
        ports: containers.iter().flat_map(declared).collect(),
        probed_ports: containers.iter().flat_map(probed).collect(),
        numbers: Numbers::default(),
    }
}

fn nodes(rows: &ClusterRows) -> BTreeMap<String, Node> {
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    for row in &rows.nodes {
        let node = nodes.entry(row.name.clone()).or_default();
        node.addresses.extend(row.addresses.iter().map(|address| address.ip));
        let internal = row.addresses.iter().filter(|address| address.kind == "InternalIP");
        node.internal_ips.extend(internal.map(|address| address.ip));
        node.pod_ranges.extend(row.pod_cidrs.iter().cloned());
    }
    nodes
}
