//! The pods that policies are judged on, by workload.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::cidr::Cidr;
use crate::policy::cluster::{ClusterPeer, ClusterRule};
use crate::policy::model::{Direction, Entity, Peer, Peers, Policy, PolicySet};
use crate::policy::select::{Labels, Requirement, Test};
use crate::replay::world::{OTHER_POD, representative};
use crate::semantics::entity::hosts;
use crate::semantics::tier::denying;
use crate::semantics::world::{NAMESPACE_NAME_LABEL, NamedPort, Pod, World};

/// A prefix with its exceptions, as a rule names it.
pub(super) type Block = (Cidr, Vec<Cidr>);

/// Everything that exists, the policies, and which of them select which pod.
pub(super) struct Universe<'a> {
    pub(super) world: &'a World,
    pub(super) set: &'a PolicySet,
    /// Pods that policies can select, by workload.
    members: BTreeMap<Workload, Vec<Member>>,
    /// Which node has an address.
    nodes: BTreeMap<IpAddr, &'a str>,
    /// Every address of a pod or a node.
    taken: BTreeSet<IpAddr>,
}

/// A pod that stands for all pods of its workload which the policies cannot tell from it.
pub(super) struct Member {
    /// The pod, on no node: traffic from a pod's own node is no matter of policies, and pods move.
    pub(super) pod: Pod,
    /// Whether there can be a second pod of its kind.
    pub(super) repeats: bool,
    egress: PolicySet,
    ingress: PolicySet,
}

impl Member {
    /// The policies that isolate the pod in a direction, and those of the cluster.
    pub(super) const fn isolating(&self, direction: Direction) -> &PolicySet {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }
}

impl<'a> Universe<'a> {
    /// Sorts the pods of `world`, which is the universe of `cluster`, by workload.
    pub(super) fn new(cluster: &Cluster, world: &'a World, set: &'a PolicySet) -> Self {
        let workloads = workloads(cluster);
        let networks = set.rules_of_cluster().flat_map(|(_, rule)| blocks_of_cluster(rule));
        let of_policies = set.iter().flat_map(|policy| blocks_of_policy(policy, world));
        let blocks: BTreeSet<Block> = of_policies.chain(networks).collect();
        let mut kinds: BTreeMap<&Workload, BTreeMap<Alike<'_>, &Pod>> = BTreeMap::new();
        for pod in world.pods().filter(|pod| !pod.host_network) {
            if let Some(workload) = workloads.get(&(pod.namespace.clone(), pod.name.clone())) {
                kinds
                    .entry(workload)
                    .or_default()
                    .entry(alike(pod, &blocks))
                    .or_insert(pod);
            }
        }
        let members = kinds.into_iter().map(|(workload, pods)| {
            let members = pods.into_values().map(|pod| member(pod, workload, set));
            (workload.clone(), members.collect())
        });
        let nodes = world.nodes().iter();
        let nodes: BTreeMap<IpAddr, &str> = nodes
            .flat_map(|(name, addresses)| addresses.iter().map(|address| (*address, name.as_str())))
            .collect();
        let of_pods = world.pods().flat_map(|pod| pod.addresses.iter().copied());
        Self {
            world,
            set,
            members: members.collect(),
            taken: of_pods.chain(nodes.keys().copied()).collect(),
            nodes,
        }
    }

    /// Every workload with its pods.
    pub(super) fn workloads(&self) -> impl Iterator<Item = (&Workload, &[Member])> {
        self.members
            .iter()
            .map(|(workload, members)| (workload, members.as_slice()))
    }

    /// The pods of a workload.
    pub(super) fn members(&self, workload: &Workload) -> &[Member] {
        self.members.get(workload).map_or(&[], Vec::as_slice)
    }

    /// Whether no policy isolates a pod in a direction, or denies it anything.
    pub(super) fn is_unbounded(&self, member: &Member, direction: Direction) -> bool {
        member.isolating(direction).policies().is_empty()
            && denying(self.set, self.world, &member.pod, direction).is_empty()
    }

    /// The node that has an address.
    pub(super) fn node_at(&self, address: IpAddr) -> Option<&str> {
        self.nodes.get(&address).copied()
    }

    /// Every address of a pod or a node.
    pub(super) const fn taken(&self) -> &BTreeSet<IpAddr> {
        &self.taken
    }
}

/// The prefixes that the rules of a policy name; those of no peer list are both families.
fn blocks_of_policy(policy: &Policy, world: &World) -> Vec<Block> {
    let rules = [Direction::Ingress, Direction::Egress].into_iter();
    let rules = rules.filter_map(|direction| policy.rules(direction)).flatten();
    rules.flat_map(|rule| blocks(&rule.peers, world)).collect()
}

/// The prefixes that a rule of a policy of the cluster names.
pub(super) fn blocks_of_cluster(rule: &ClusterRule) -> impl Iterator<Item = Block> {
    rule.peers.iter().filter_map(|peer| match peer {
        ClusterPeer::Plain(Peer::Block { cidr, except }) => Some((*cidr, except.clone())),
        ClusterPeer::Plain(Peer::Pods { .. } | Peer::Entity(_)) | ClusterPeer::Nodes(_) | ClusterPeer::Domains(_) => {
            None
        }
    })
}

/// The prefixes among the peers of a rule, and the addresses of those known by what they are. That of everybody has none: it
/// matches without looking at addresses.
pub(super) fn blocks(peers: &Peers, world: &World) -> Vec<Block> {
    let Peers::Of(listed) = peers else { return Vec::new() };
    let block = |peer: &Peer| match peer {
        Peer::Block { cidr, except } | Peer::Entity(Entity::Outside { cidr, except }) => vec![(*cidr, except.clone())],
        Peer::Entity(entity) => {
            let hosts = hosts(entity, world).into_iter();
            hosts.map(|address| (Cidr::host(address), Vec::new())).collect()
        }
        Peer::Pods { .. } => Vec::new(),
    };
    listed.iter().flat_map(block).collect()
}

/// The labels that a namespace has if rules which name it mean something.
fn labels_of(namespace: &str, sets: &[&PolicySet]) -> Labels {
    let mut labels = Labels::new();
    for (_, rule) in sets.iter().flat_map(|set| set.rules()) {
        let Peers::Of(peers) = &rule.peers else { continue };
        for peer in peers {
            let Peer::Pods {
                namespaces: Some(selector),
                ..
            } = peer
            else {
                continue;
            };
            let requirements = selector.requirements();
            let names_it = |one: &Requirement| {
                one.key == NAMESPACE_NAME_LABEL
                    && matches!(&one.test, Test::In(names) if names.iter().any(|name| name == namespace))
            };
            if requirements.iter().any(names_it) {
                for Requirement { key, test } in requirements {
                    let Test::In(values) = test else { continue };
                    if let Some(value) = values.iter().next() {
                        labels.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
        }
    }
    labels
}

/// The universe of policies without a cluster: in each of their namespaces, and in one that none of them names, a pod without labels.
pub(super) fn strangers(sets: &[&PolicySet]) -> World {
    let named = sets
        .iter()
        .flat_map(|set| set.iter())
        .map(|policy| policy.namespace.clone());
    let namespaces: BTreeSet<String> = named.chain([OTHER_POD.to_owned()]).collect();
    let pods = namespaces.iter().map(|namespace| Pod {
        namespace: namespace.clone(),
        name: OTHER_POD.to_owned(),
        labels: Labels::new(),
        addresses: Vec::new(),
        host_network: false,
        node: None,
        ports: Vec::new(),
    });
    let labelled = namespaces.iter().map(|name| (name.clone(), labels_of(name, sets)));
    World::new(labelled.collect(), pods, BTreeMap::new()).expect("each namespace has one pod")
}

/// The workload of each pod of the universe, by namespace and name of the pod.
pub(super) fn workloads(cluster: &Cluster) -> BTreeMap<(String, String), Workload> {
    let mut workloads = BTreeMap::new();
    for namespace in cluster
        .namespaces
        .keys()
        .chain(cluster.pods.values().map(|pod| &pod.namespace))
    {
        workloads.insert((namespace.clone(), OTHER_POD.to_owned()), other(namespace));
    }
    for (workload, row) in cluster.owners.templates() {
        workloads.insert((row.namespace.clone(), OTHER_POD.to_owned()), other(&row.namespace));
        let name = representative(&workload.kind, &workload.name);
        workloads.insert((row.namespace.clone(), name), workload.clone());
    }
    for pod in cluster.pods.values() {
        workloads.insert((pod.namespace.clone(), pod.name.clone()), pod.workload.clone());
    }
    workloads
}

/// What stands for every pod of a namespace that has no label.
fn other(namespace: &str) -> Workload {
    Workload {
        namespace: namespace.to_owned(),
        kind: "Pod".to_owned(),
        name: OTHER_POD.to_owned(),
        host_network: false,
    }
}

/// What policies can see of a pod: labels, named ports, and which of their prefixes hold its addresses.
type Alike<'a> = (&'a Labels, &'a [NamedPort], Vec<(bool, Vec<bool>)>);

fn alike<'a>(pod: &'a Pod, blocks: &BTreeSet<Block>) -> Alike<'a> {
    let within = |address: IpAddr| {
        let holds =
            |(cidr, except): &Block| cidr.contains(address) && !except.iter().any(|hole| hole.contains(address));
        (address.is_ipv4(), blocks.iter().map(holds).collect())
    };
    let addresses = pod.addresses.iter().copied().map(within).collect();
    (&pod.labels, pod.ports.as_slice(), addresses)
}

fn member(pod: &Pod, workload: &Workload, set: &PolicySet) -> Member {
    let isolating = |direction: Direction| {
        let selects = |policy: &Policy| {
            policy.namespace == pod.namespace
                && policy.rules(direction).is_some()
                && policy.subject.matches(&pod.labels)
        };
        set.only(selects)
    };
    Member {
        repeats: workload.kind != "Pod" || workload.name == OTHER_POD,
        egress: isolating(Direction::Egress),
        ingress: isolating(Direction::Ingress),
        pod: Pod {
            node: None,
            ..pod.clone()
        },
    }
}
