//! The pods that a source names, and the metadata rows they become where no other metadata knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::{Bound, NamespaceRow, PodRow};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::CgroupRow;
use flowtape_schemas::time::Time;

use super::record::{End, Pod, Who};

/// Pods that a source may name.
const PODS: usize = 1 << 18;

/// Namespace and name of a pod.
type PodName = (String, String);

/// Everybody whom a source names.
#[derive(Debug, Default)]
pub(super) struct Cast {
    pods: BTreeMap<PodName, Named>,
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
    /// Stands for its control group.
    id: u64,
    pod: Pod,
    addresses: BTreeSet<Address>,
    /// On which nodes its sockets were seen.
    nodes: BTreeSet<String>,
    first: Time,
    last: Time,
}

impl Cast {
    /// A cast of the pods that metadata knows.
    pub(super) fn new(metadata: &ClusterRows) -> Self {
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
            pods: BTreeMap::new(),
            known,
            places,
            namespaces: metadata.namespaces.iter().map(|row| row.name.clone()).collect(),
        }
    }

    /// Takes note of an end, and gives what stands for its control group, if a pod is named; none where there are too many.
    /// `socket_on` is the node on which the end itself was seen.
    pub(super) fn meet(&mut self, end: &End, socket_on: Option<&str>, times: (Time, Time)) -> Option<u64> {
        let Who::Pod(pod) = &end.who else { return None };
        let next = self.pods.len() as u64 + 1;
        let name = self.name(pod);
        if !self.pods.contains_key(&name) && self.pods.len() >= PODS {
            return None;
        }
        let named = self.pods.entry(name).or_insert_with(|| Named {
            id: next,
            pod: pod.clone(),
            addresses: BTreeSet::new(),
            nodes: BTreeSet::new(),
            first: times.0,
            last: times.1,
        });
        named.first = named.first.min(times.0);
        named.last = named.last.max(times.1);
        named.addresses.extend(end.address);
        if let Some(node) = socket_on.filter(|node| !named.nodes.contains(*node)) {
            named.nodes.insert(node.to_owned());
        }
        if named.pod.owner.is_none() {
            named.pod.owner.clone_from(&pod.owner);
        }
        if named.pod.labels.is_empty() {
            named.pod.labels.clone_from(&pod.labels);
        }
        Some(named.id)
    }

    /// The name of a pod. Of a group that is named by how its pods' names begin, the first pod of the metadata.
    fn name(&self, pod: &Pod) -> PodName {
        let named = |name: &str| (pod.namespace.clone(), name.to_owned());
        let Some(start) = pod.name.strip_suffix('*') else {
            return named(&pod.name);
        };
        let mut known = self.known.range(named(start)..).map(|(name, _)| name);
        let first = known
            .next()
            .filter(|(namespace, name)| *namespace == pod.namespace && name.starts_with(start));
        first.cloned().unwrap_or_else(|| named(start.trim_end_matches('-')))
    }

    /// The address of an end: the one that it has, that of its pod in the metadata, or one that stands for it.
    pub(super) fn address(&self, end: &End) -> Option<Address> {
        let Who::Pod(pod) = &end.who else { return end.address };
        let name = self.name(pod);
        let of_metadata = || {
            self.known
                .get(&name)?
                .iter()
                .find_map(|row| row.pod_ips.first().copied())
        };
        let stand_in = || self.pods.get(&name).map(|named| stand_in(named.id));
        end.address.or_else(of_metadata).or_else(stand_in)
    }

    /// Whether an end is on this node, as far as the metadata knows.
    pub(super) fn is_on(&self, end: &End, node: &str, (first, last): (Time, Time)) -> bool {
        if let Who::Pod(pod) = &end.who {
            let rows = self.known.get(&self.name(pod));
            return rows.is_some_and(|rows| rows.iter().any(|row| row.node.as_deref() == Some(node)));
        }
        let places = end.address.and_then(|address| self.places.get(&address));
        places.into_iter().flatten().any(|place| {
            let reaches = place.from.is_none_or(|from| from <= last) && place.to.is_none_or(|to| first <= to);
            reaches && place.node == node
        })
    }

    /// What the control groups of a node stand for.
    pub(super) fn cgroups(&self, node: &str) -> Vec<CgroupRow> {
        let mut rows = Vec::new();
        for (name, named) in self.pods.iter().filter(|(_, named)| named.nodes.contains(node)) {
            let row = |uid: String, from: Option<Time>, to: Option<Time>| CgroupRow {
                cgroup_id: named.id,
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

    /// Adds the pods that the metadata does not know, and says how many they are.
    pub(super) fn join(self, cluster: &mut ClusterRows) -> u64 {
        let mut count = 0;
        for (name, named) in self.pods {
            if self.known.contains_key(&name) {
                continue;
            }
            count += 1;
            if !self.namespaces.contains(&name.0) && !cluster.namespaces.iter().any(|row| row.name == name.0) {
                cluster.namespaces.push(namespace(&name.0, named.first));
            }
            cluster.pods.push(pod_row(&name, named));
        }
        cluster.pods.sort_unstable();
        cluster.namespaces.sort_unstable();
        count
    }
}

/// UIDs are unique in a cluster; none of them has a slash.
fn uid((namespace, name): &PodName) -> String {
    format!("import/{namespace}/{name}")
}

/// An address for a pod whose own no source and no metadata knows: of a range for local use (RFC 4193) that nobody has.
fn stand_in(id: u64) -> Address {
    const RANGE: u128 = 0xfd66_6c6f_7774 << 80;
    Address::from(std::net::IpAddr::V6(Ipv6Addr::from(RANGE | u128::from(id))))
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

fn pod_row(name: &PodName, named: Named) -> PodRow {
    let Named {
        id,
        pod,
        mut addresses,
        nodes,
        first,
        last,
    } = named;
    if addresses.is_empty() {
        addresses.insert(stand_in(id));
    }
    let (owner_kind, owner_name) = pod.owner.unzip();
    let owner_uid = owner_kind.as_ref().zip(owner_name.as_ref());
    let owner_uid = owner_uid.map(|(kind, owner)| format!("import/{}/{kind}/{owner}", name.0));
    PodRow {
        uid: uid(name),
        namespace: name.0.clone(),
        name: name.1.clone(),
        node: <[String; 1]>::try_from(nodes.into_iter().collect::<Vec<_>>())
            .ok()
            .map(|[only]| only),
        host_network: false,
        pod_ips: addresses.into_iter().collect(),
        host_ips: Vec::new(),
        labels: pod.labels,
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
