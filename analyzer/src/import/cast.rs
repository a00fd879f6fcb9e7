//! The pods that a source names, and the metadata rows they become where no other metadata knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::{Bound, NamespaceRow, PodRow};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::CgroupRow;
use flowtape_schemas::time::Time;

use super::record::{Contact, End, Pod, Who};

/// Pods that a source may name.
const PODS: usize = 1 << 18;

/// Nodes that a source may name.
const NODES: usize = 1 << 13;

/// Bytes of everything by which pods are named, with their labels: those of a large cluster have a tenth of it.
const NAMES_BYTES: usize = 256 << 20;

/// Namespace and name of a pod.
type PodName = (String, String);

/// A pod, by its place in the cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PodId(u32);

impl PodId {
    /// What stands for its control group.
    pub(super) fn cgroup(self) -> u64 {
        u64::from(self.0) + 1
    }
}

/// A node, by its place in the cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

impl NodeId {
    /// The node of what names none, if nothing else tells it.
    pub(super) const UNTOLD: Self = Self(0);
}

/// Whose an end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Party {
    /// Nobody said it.
    #[default]
    Untold,
    /// A pod's.
    Pod(PodId),
    /// Of a process of the node that the record is of.
    Host,
}

impl Party {
    /// What stands for its control group, if it is a pod's.
    pub(super) fn cgroup(self) -> Option<u64> {
        match self {
            Self::Pod(id) => Some(id.cgroup()),
            Self::Untold | Self::Host => None,
        }
    }
}

/// A contact between members of the cast.
pub(super) type Known = Contact<NodeId, Party>;

/// Everybody whom a source names. Each has a number, because what is told of them is told again and again.
#[derive(Debug)]
pub(super) struct Cast {
    pods: Vec<Named>,
    pods_by_name: BTreeMap<PodName, PodId>,
    nodes: Vec<String>,
    nodes_by_name: BTreeMap<String, NodeId>,
    /// Bytes of names and labels.
    bytes: usize,
    /// Pods of the metadata.
    known: BTreeMap<PodName, Vec<PodRow>>,
    /// On which nodes an address was, and when: of pods, and of nodes themselves.
    places: BTreeMap<Address, Vec<Place>>,
    namespaces: BTreeSet<String>,
}

/// A node, and from when to when something was on it; none for ever.
#[derive(Debug)]
struct Place {
    node: String,
    from: Option<Time>,
    to: Option<Time>,
}

/// A pod that was named.
#[derive(Debug)]
struct Named {
    name: PodName,
    labels: BTreeMap<String, String>,
    owner: Option<(String, String)>,
    addresses: BTreeSet<Address>,
    /// On which nodes its sockets were seen.
    nodes: BTreeSet<NodeId>,
    /// When it was met first and last; none as long as nothing came of what named it.
    met: Option<(Time, Time)>,
}

impl Cast {
    /// A cast of the pods that metadata knows, on this node where a record names none.
    pub(super) fn new(node: String, metadata: &ClusterRows) -> Self {
        let mut known: BTreeMap<PodName, Vec<PodRow>> = BTreeMap::new();
        for row in &metadata.pods {
            known
                .entry((row.namespace.clone(), row.name.clone()))
                .or_default()
                .push(row.clone());
        }
        let mut places: BTreeMap<Address, Vec<Place>> = BTreeMap::new();
        for row in &metadata.pods {
            let Some(node) = row.node.as_ref().filter(|_| !row.host_network) else {
                continue;
            };
            for address in &row.pod_ips {
                places.entry(*address).or_default().push(Place {
                    node: node.clone(),
                    from: row.valid_from,
                    to: row.valid_to,
                });
            }
        }
        for row in &metadata.nodes {
            for address in &row.addresses {
                places.entry(address.ip).or_default().push(Place {
                    node: row.name.clone(),
                    from: row.valid_from,
                    to: row.valid_to,
                });
            }
        }
        Self {
            pods: Vec::new(),
            pods_by_name: BTreeMap::new(),
            nodes_by_name: BTreeMap::from([(node.clone(), NodeId::UNTOLD)]),
            nodes: vec![node],
            bytes: 0,
            known,
            places,
            namespaces: metadata.namespaces.iter().map(|row| row.name.clone()).collect(),
        }
    }

    /// Who that is; none where there are too many.
    pub(super) fn party(&mut self, who: Who) -> Option<Party> {
        let pod = match who {
            Who::Untold => return Some(Party::Untold),
            Who::Host => return Some(Party::Host),
            Who::Pod(pod) => pod,
        };
        let Pod {
            namespace,
            name,
            labels,
            owner,
        } = pod;
        let name = self.name(namespace, name);
        if let Some(id) = self.pods_by_name.get(&name).copied() {
            let named = &mut self.pods[id.0 as usize];
            let owner = owner.filter(|_| named.owner.is_none());
            let labels = Some(labels).filter(|labels| named.labels.is_empty() && !labels.is_empty());
            let bytes = owner_bytes(owner.as_ref()) + labels.as_ref().map_or(0, labels_bytes);
            if self.bytes + bytes > NAMES_BYTES {
                return None;
            }
            self.bytes += bytes;
            if owner.is_some() {
                named.owner = owner;
            }
            if let Some(labels) = labels {
                named.labels = labels;
            }
            return Some(Party::Pod(id));
        }
        let bytes = name.0.len() + name.1.len() + owner_bytes(owner.as_ref()) + labels_bytes(&labels);
        if self.pods.len() >= PODS || self.bytes + bytes > NAMES_BYTES {
            return None;
        }
        self.bytes += bytes;
        let id = PodId(u32::try_from(self.pods.len()).ok()?);
        self.pods_by_name.insert(name.clone(), id);
        self.pods.push(Named {
            name,
            labels,
            owner,
            addresses: BTreeSet::new(),
            nodes: BTreeSet::new(),
            met: None,
        });
        Some(Party::Pod(id))
    }

    /// A node by its name, as its directory can have it; none where there are too many. Some sources put the name of the cluster
    /// before it.
    pub(super) fn node(&mut self, name: &str) -> Option<NodeId> {
        let last = name.rsplit('/').next().unwrap_or(name);
        if let Some(id) = self.nodes_by_name.get(last) {
            return Some(*id);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let plain = !last.is_empty() && last.len() <= 253 && !last.starts_with('.') && last.bytes().all(allowed);
        if !plain {
            return Some(NodeId::UNTOLD);
        }
        if self.nodes.len() >= NODES {
            return None;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        self.nodes.push(last.to_owned());
        self.nodes_by_name.insert(last.to_owned(), id);
        Some(id)
    }

    /// What a node is called.
    pub(super) fn node_name(&self, node: NodeId) -> &str {
        &self.nodes[node.0 as usize]
    }

    /// A contact between those whom the source names, as it was seen on a node; none where there are too many of them.
    pub(super) fn known(&mut self, contact: Contact, node: NodeId) -> Option<Known> {
        let Contact {
            first,
            last,
            node: _,
            protocol,
            client,
            server,
            asked,
            view,
            outcome,
            count,
            retold,
        } = contact;
        Some(Known {
            first,
            last,
            node,
            protocol,
            client: self.end(client)?,
            server: self.end(server)?,
            asked,
            view,
            outcome,
            count,
            retold,
        })
    }

    /// An end of somebody whom the source names; none where there are too many.
    pub(super) fn end(&mut self, end: End) -> Option<End<Party>> {
        let End { address, port, who } = end;
        let who = self.party(who)?;
        Some(End { address, port, who })
    }

    /// Takes note of an end that was met. `socket_on` is the node on which the end itself was seen.
    pub(super) fn meet(&mut self, end: &End<Party>, socket_on: Option<NodeId>, (first, last): (Time, Time)) {
        let Party::Pod(id) = end.who else { return };
        let named = &mut self.pods[id.0 as usize];
        let met = named.met.get_or_insert((first, last));
        met.0 = met.0.min(first);
        met.1 = met.1.max(last);
        named.addresses.extend(end.address);
        named.nodes.extend(socket_on);
    }

    /// The name of a pod. Of a group that is named by how its pods' names begin, the first pod of the metadata.
    fn name(&self, namespace: String, name: String) -> PodName {
        let Some(start) = name.strip_suffix('*') else {
            return (namespace, name);
        };
        let begin = (namespace, start.to_owned());
        let first = self.known.range(&begin..).map(|(name, _)| name).next();
        let of_group = |name: &&PodName| name.0 == begin.0 && name.1.starts_with(&begin.1);
        match first.filter(of_group) {
            Some(name) => name.clone(),
            None => (begin.0, begin.1.trim_end_matches('-').to_owned()),
        }
    }

    /// The address of an end: the one that it has, that of its pod in the metadata, or one that stands for it.
    pub(super) fn address(&self, end: &End<Party>) -> Option<Address> {
        let Party::Pod(id) = end.who else { return end.address };
        let of_metadata = || {
            self.known
                .get(&self.pods[id.0 as usize].name)?
                .iter()
                .find_map(|row| row.pod_ips.first().copied())
        };
        end.address.or_else(of_metadata).or_else(|| Some(stand_in(id)))
    }

    /// Whether an end is on this node, as far as the metadata knows.
    pub(super) fn is_on(&self, end: &End<Party>, node: NodeId, (first, last): (Time, Time)) -> bool {
        let node = self.node_name(node);
        if let Party::Pod(id) = end.who {
            let rows = self.known.get(&self.pods[id.0 as usize].name);
            return rows.is_some_and(|rows| rows.iter().any(|row| row.node.as_deref() == Some(node)));
        }
        let places = end.address.and_then(|address| self.places.get(&address));
        places.into_iter().flatten().any(|place| {
            let reaches = place.from.is_none_or(|from| from <= last) && place.to.is_none_or(|to| first <= to);
            reaches && place.node == node
        })
    }

    /// What the control groups of a node stand for.
    pub(super) fn cgroups(&self, node: NodeId) -> Vec<CgroupRow> {
        let mut rows = Vec::new();
        for (name, id) in &self.pods_by_name {
            if !self.pods[id.0 as usize].nodes.contains(&node) {
                continue;
            }
            let row = |uid: String, from: Option<Time>, to: Option<Time>| CgroupRow {
                cgroup_id: id.cgroup(),
                path: format!("/import/{}/{}", name.0, name.1),
                pod_uid: Some(uid),
                static_pod_hash: None,
                container_id: None,
                runtime: None,
                qos: None,
                valid_from: from,
                from_bound: Bound::Assumed,
                valid_to: to,
                to_bound: Bound::Assumed,
            };
            let mut seen: BTreeMap<&str, (Option<Time>, Option<Time>)> = BTreeMap::new();
            for pod in self.known.get(name).into_iter().flatten() {
                let life = seen.entry(&pod.uid).or_insert((pod.valid_from, pod.valid_to));
                // Without a time, the version reaches beyond all others.
                life.0 = life.0.zip(pod.valid_from).map(|(one, other)| one.min(other));
                life.1 = life.1.zip(pod.valid_to).map(|(one, other)| one.max(other));
            }
            if seen.is_empty() {
                rows.push(row(uid(name), None, None));
            }
            rows.extend(seen.into_iter().map(|(uid, (from, to))| row(uid.to_owned(), from, to)));
        }
        rows
    }

    /// Adds the pods that were met and that the metadata does not know, and says how many they are.
    pub(super) fn join(self, cluster: &mut ClusterRows) -> u64 {
        let mut count = 0;
        let mut namespaces: BTreeMap<String, Time> = BTreeMap::new();
        for (named, number) in self.pods.into_iter().zip(0..) {
            let Some(met) = named.met.filter(|_| !self.known.contains_key(&named.name)) else {
                continue;
            };
            count += 1;
            if !self.namespaces.contains(&named.name.0) {
                let since = namespaces.entry(named.name.0.clone()).or_insert(met.0);
                *since = met.0.min(*since);
            }
            cluster.pods.push(pod_row(PodId(number), named, met, &self.nodes));
        }
        let added = namespaces.iter().map(|(name, since)| namespace(name, *since));
        cluster.namespaces.extend(added);
        cluster.pods.sort_unstable();
        cluster.namespaces.sort_unstable();
        count
    }
}

fn owner_bytes(owner: Option<&(String, String)>) -> usize {
    owner.map_or(0, |(kind, name)| kind.len() + name.len())
}

/// Bytes of labels, with what a map needs for each.
fn labels_bytes(labels: &BTreeMap<String, String>) -> usize {
    labels.iter().map(|(key, value)| key.len() + value.len() + 64).sum()
}

/// UIDs are unique in a cluster; none of them has a slash.
fn uid((namespace, name): &PodName) -> String {
    format!("import/{namespace}/{name}")
}

/// An address for a pod whose own no source and no metadata knows: of a range for local use (RFC 4193) that nobody has.
fn stand_in(id: PodId) -> Address {
    const RANGE: u128 = 0xfd66_6c6f_7774 << 80;
    Address::from(std::net::IpAddr::V6(Ipv6Addr::from(RANGE | u128::from(id.cgroup()))))
}

/// Every namespace has this label, also in a cluster of which nothing else is known (Kubernetes 1.22).
fn namespace(name: &str, first: Time) -> NamespaceRow {
    let label = ("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    NamespaceRow {
        uid: format!("import/{name}"),
        name: name.to_owned(),
        labels: [label].into(),
        resource_version: None,
        valid_from: Some(first),
        from_bound: Bound::Assumed,
        valid_to: None,
        to_bound: Bound::Assumed,
    }
}

fn pod_row(id: PodId, named: Named, (first, last): (Time, Time), node_names: &[String]) -> PodRow {
    let Named {
        name,
        labels,
        owner,
        mut addresses,
        nodes,
        met: _,
    } = named;
    let mut nodes = nodes.into_iter();
    let only_node = nodes.next().filter(|_| nodes.next().is_none());
    if addresses.is_empty() {
        addresses.insert(stand_in(id));
    }
    let (owner_kind, owner_name) = owner.unzip();
    let owner_uid = owner_kind.as_ref().zip(owner_name.as_ref());
    let owner_uid = owner_uid.map(|(kind, owner)| format!("import/{}/{kind}/{owner}", name.0));
    PodRow {
        uid: uid(&name),
        namespace: name.0,
        name: name.1,
        node: only_node.map(|node| node_names[node.0 as usize].clone()),
        host_network: false,
        pod_ips: addresses.into_iter().collect(),
        host_ips: Vec::new(),
        labels,
        annotations: BTreeMap::new(),
        service_account: None,
        phase: "Running".to_owned(),
        owner_api_version: None,
        owner_kind,
        owner_name,
        owner_uid,
        runtime_class: None,
        resource_version: None,
        valid_from: Some(first),
        from_bound: Bound::Assumed,
        valid_to: Some(last),
        to_bound: Bound::Assumed,
    }
}
