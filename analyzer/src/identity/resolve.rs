//! From what a socket saw to what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use flowtape_schemas::address::Address;
use flowtape_schemas::manifest::Window;
use flowtape_schemas::node::{CgroupRow, FlowRow, NetnsRow};
use flowtape_schemas::time::Time;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::clock::Clocks;
use super::cluster::{Cluster, OfUid, Pod};
use super::holder::{Held, Holders, Used};
use super::prefix::Prefix;
use super::timeline::{Span, Timeline};
use super::{Identity, Names, Reason};
use crate::findings::{Code, Findings};
use crate::tape::{NodeTape, Tape};

/// One side of a flow, resolved.
#[derive(Clone, Copy, Debug)]
pub enum Party<'a> {
    /// A pod.
    Pod(&'a Pod),
    /// A node: one of its addresses, or one of its processes.
    Node(&'a str),
    /// An address outside the cluster.
    External(Address),
    /// This host itself: never leaves it.
    Loopback,
    /// Multicast or broadcast: no single peer.
    Group,
    /// It cannot be known.
    Unknown(Option<Address>, Reason),
}

/// What tells whose a socket is.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// cgroup v2 id.
    pub cgroup_id: Option<u64>,
    /// Inode of the network namespace.
    pub netns: Option<u32>,
    /// Its address, if it has one.
    pub address: Option<Address>,
    /// When it did what was recorded of it.
    pub span: Span,
}

/// Resolves endpoints of one tape.
pub struct Resolver<'a> {
    cluster: &'a Cluster,
    clocks: Clocks<'a>,
    holders: Holders<'a>,
    unwatched: &'a [Window],
    /// What a cgroup id of a node stood for: the UID of a pod or the hash of a static one.
    cgroups: BTreeMap<&'a str, Timeline<u64, PodKey<'a>>>,
    netns: BTreeMap<&'a str, Timeline<u32, NetnsOwner<'a>>>,
    /// Which node of the cluster a recording is of, by the name of the recording.
    hosts: BTreeMap<&'a str, &'a str>,
    /// When each node of the cluster was recorded.
    recorded: BTreeMap<&'a str, Vec<Span>>,
    /// Nodes of the cluster whose recordings lack nothing that is known of.
    whole: BTreeSet<&'a str>,
    /// Addresses seen on sockets of the nodes themselves, such as that of the pods' bridge.
    node_addresses: BTreeMap<Address, BTreeSet<&'a str>>,
    pod_ranges: Vec<Prefix>,
    names: BTreeMap<Address, Names>,
}

/// How a cgroup path names its pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PodKey<'a> {
    Uid(OfUid<'a>),
    StaticHash(&'a str),
    NoPod,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NetnsOwner<'a> {
    Pod(OfUid<'a>),
    Host,
}

/// Whose socket was at an address.
enum User<'a> {
    /// A node's.
    Node(&'a str),
    /// A pod's, and when; `None` if the metadata does not know it.
    Pod(Option<OfUid<'a>>, Span),
}

impl<'a> Resolver<'a> {
    /// Prepares the look-ups of a tape.
    #[must_use]
    pub fn new(tape: &'a Tape, cluster: &'a Cluster) -> Self {
        let nodes = || tape.nodes.iter();
        let clocks = Clocks::new(tape, &cluster.services);
        let mut resolver = Self {
            cluster,
            holders: Holders::new(tape, cluster, &clocks),
            clocks,
            unwatched: &tape.unwatched,
            cgroups: nodes()
                .map(|node| (node.name.as_str(), cgroup_timeline(&node.cgroups, cluster)))
                .collect(),
            netns: nodes()
                .map(|node| (node.name.as_str(), netns_timeline(&node.netns, cluster)))
                .collect(),
            hosts: nodes()
                .filter_map(|node| Some((node.name.as_str(), host(node, cluster)?)))
                .collect(),
            recorded: BTreeMap::new(),
            whole: BTreeSet::new(),
            node_addresses: BTreeMap::new(),
            pod_ranges: cluster
                .nodes
                .values()
                .flat_map(|node| &node.pod_ranges)
                .filter_map(|range| range.parse().ok())
                .collect(),
            names: names(tape),
        };
        for node in nodes() {
            if let Some(host) = resolver.hosts.get(node.name.as_str()) {
                let (start, end) = (
                    node.window.map(|window| window.start),
                    node.window.map(|window| window.end),
                );
                let spans = resolver.recorded.entry(host).or_default();
                let window = Span::of_validity(start, end);
                spans.push(resolver.clocks.aligned(&node.name, window));
                if node.is_whole() {
                    resolver.whole.insert(host);
                }
            }
        }
        let mut used = Used::new();
        for (address, user) in resolver.users(tape) {
            match user {
                User::Node(name) => {
                    resolver.node_addresses.entry(address).or_default().insert(name);
                }
                User::Pod(pod, using) => {
                    let span = used.entry((address, pod)).or_insert(using);
                    *span = span.hull(using);
                }
            }
        }
        resolver.holders = resolver.holders.with_used(used);
        resolver
    }

    /// Whose sockets were at which addresses, row by row.
    fn users(&self, tape: &'a Tape) -> Vec<(Address, User<'a>)> {
        let rows = tape.nodes.par_iter().flat_map(|node| {
            let rows = node.flows.par_iter();
            rows.map(move |row| (node.name.as_str(), row))
        });
        let user = |(node, row): (&str, &FlowRow)| {
            let address = row.local_ip.filter(|address| !is_loopback(*address))?;
            let pod = match self.local(node, row) {
                Party::Node(name) => return Some((address, User::Node(name))),
                Party::Pod(pod) if !pod.host_network => Some(OfUid {
                    uid: &pod.uid,
                    pod: Some(pod),
                }),
                Party::Unknown(_, Reason::PodNotInMetadata) => None,
                Party::Pod(_) | Party::External(_) | Party::Loopback | Party::Group | Party::Unknown(..) => {
                    return None;
                }
            };
            let using = self.clocks.in_metadata(node, span_of(row));
            Some((address, User::Pod(pod, using)))
        };
        rows.filter_map(user).collect()
    }

    /// Whose socket a flow is of: by cgroup, then by network namespace, then by address.
    #[must_use]
    pub fn local(&self, node: &str, row: &FlowRow) -> Party<'a> {
        let socket = Socket {
            cgroup_id: row.cgroup_id,
            netns: row.netns,
            address: row.local_ip,
            span: span_of(row),
        };
        self.owner(node, socket)
    }

    /// Whose a socket is: by cgroup, then by network namespace, then by address.
    #[must_use]
    pub fn owner(&self, node: &str, socket: Socket) -> Party<'a> {
        let Socket {
            cgroup_id,
            netns,
            address,
            span,
        } = socket;
        let keys = cgroup_id
            .and_then(|id| Some(self.cgroups.get(node)?.during(&id, span)))
            .unwrap_or_default();
        match keys.as_slice() {
            // In the network of another pod it has that pod's addresses, and policies know it as that pod: the proxies of a
            // mesh without sidecars are there. The kernel gives the number of a namespace away again at once, so that only
            // one that was the other pod's all the time says so.
            [PodKey::Uid(uid)] => match self.netns_throughout(node, netns, span).as_slice() {
                [NetnsOwner::Pod(other)] if other != uid && uid.pod.is_some() && has_own_network(*other) => {
                    return known(*other, address);
                }
                [] | [_, ..] => return known(*uid, address),
            },
            [PodKey::StaticHash(hash)] => {
                let unknown = Party::Unknown(address, Reason::PodNotInMetadata);
                return self.cluster.static_pod(hash).map_or(unknown, Party::Pod);
            }
            [] | [PodKey::NoPod] | [_, _, ..] => {}
        }
        let owners = netns
            .and_then(|inode| Some(self.netns.get(node)?.during(&inode, span)))
            .unwrap_or_default();
        match owners.as_slice() {
            [NetnsOwner::Pod(uid)] => match uid.pod {
                // It is in the network of its node, where the node's own processes and other such pods are, too.
                Some(pod) if pod.host_network => self.host(pod.node.as_deref().unwrap_or(node), socket),
                Some(pod) => Party::Pod(pod),
                None => Party::Unknown(address, Reason::PodNotInMetadata),
            },
            [NetnsOwner::Host] => self.host(node, socket),
            [] | [_, _, ..] => self.by_address(node, address, span),
        }
    }

    /// The identity of a party that is a peer; `None` for what never is one.
    #[must_use]
    pub fn identity(&self, party: Party<'_>) -> Option<Identity> {
        match party {
            Party::Pod(pod) => Some(Identity::Workload(pod.workload.clone())),
            Party::Node(name) => Some(Identity::Node { name: name.to_owned() }),
            Party::External(address) => Some(Identity::External {
                address,
                names: self.names_of(address),
            }),
            Party::Unknown(address, reason) => Some(Identity::Unknown { address, reason }),
            Party::Loopback | Party::Group => None,
        }
    }

    /// The names that the tape knows an address by.
    #[must_use]
    pub fn names_of(&self, address: Address) -> Names {
        self.names.get(&address).map(Arc::clone).unwrap_or_default()
    }

    /// Who had a network namespace all the time of a span.
    fn netns_throughout(&self, node: &str, netns: Option<u32>, span: Span) -> Vec<&NetnsOwner<'a>> {
        let timeline = netns.and_then(|inode| Some((inode, self.netns.get(node)?)));
        timeline.map_or_else(Vec::new, |(inode, timeline)| timeline.throughout(&inode, span))
    }

    /// A process of a node, or whoever had its address where the cluster knows no such node.
    fn host(&self, node: &str, socket: Socket) -> Party<'a> {
        let recorded = || self.hosts.get(node).map(|name| Party::Node(name));
        self.node_named(node)
            .or_else(recorded)
            .unwrap_or_else(|| self.by_address(node, socket.address, socket.span))
    }

    /// How the clocks of the recordings compare.
    #[must_use]
    pub fn clocks(&self) -> &Clocks<'a> {
        &self.clocks
    }

    /// Whether a node was recorded all the time of an aligned `span`, within the tolerance of its clock.
    #[must_use]
    pub fn was_recorded(&self, node: &str, span: Span) -> bool {
        let recorded = self.recorded.get(node).into_iter().flatten();
        recorded
            .map(|recorded| recorded.tolerant())
            .any(|recorded| recorded.first <= span.first && span.last <= recorded.last)
    }

    /// Whether a pod may have had an address during a `span` of the metadata; one on the network of its node always.
    #[must_use]
    pub fn may_have_held(&self, uid: &str, address: Address, span: Span) -> bool {
        let on_host = self.cluster.pods.get(uid).is_some_and(|pod| pod.host_network);
        on_host
            || matches!(self.holders.during(address, span), Held::Pods(pods) if pods.iter().any(|held| held.uid == uid))
    }

    /// Until when the metadata of `time` may have changed unseen: the end of the time between two looks, or `time` itself.
    #[must_use]
    pub fn unseen_until(&self, time: Time) -> Time {
        let within = self
            .unwatched
            .iter()
            .filter(|window| window.start <= time && time < window.end);
        within.map(|window| window.end).fold(time, Time::max)
    }

    /// Whether every connection that a node had in an aligned `span` must be in its recording, also where clocks or the ends of
    /// windows are a little apart.
    #[must_use]
    pub fn saw_all(&self, node: &str, span: Span) -> bool {
        let span = span.tolerant();
        let recorded = self.recorded.get(node).into_iter().flatten();
        let mut inside = recorded.filter(|recorded| recorded.first <= span.first && span.last <= recorded.last);
        self.whole.contains(node) && inside.next().is_some()
    }

    /// Who the peer of a flow that `node` recorded was, by its address at that time.
    #[must_use]
    pub fn remote(&self, node: &str, row: &FlowRow) -> Party<'a> {
        if row.remote_folded {
            return Party::Unknown(None, Reason::Folded);
        }
        self.by_address(node, row.remote_ip, span_of(row))
    }

    /// Who held an address during `span`, as `node` sees it: several nodes may have the same address for what never leaves
    /// them.
    #[must_use]
    pub fn by_address(&self, node: &str, address: Option<Address>, span: Span) -> Party<'a> {
        let span = self.clocks.in_metadata(node, span);
        // A wildcard is nobody's address.
        let Some(address) = address.filter(|address| !address.ip().is_unspecified()) else {
            return Party::Unknown(None, Reason::NoAddress);
        };
        if is_loopback(address) {
            return Party::Loopback;
        }
        if is_group(address) {
            return Party::Group;
        }
        if let Some(party) = Self::held(address, self.holders.during(address, span)) {
            return party;
        }
        if let Some(node) = self.cluster.node_of(address) {
            return self
                .node_named(node)
                .unwrap_or(Party::Unknown(Some(address), Reason::NoPodAtTime));
        }
        let seen_on: Vec<&'a str> = self
            .node_addresses
            .get(&address)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let here = self.hosts.get(node).copied();
        match seen_on.as_slice() {
            [node] => return Party::Node(node),
            several if several.iter().any(|node| Some(*node) == here) => {
                return here.map_or(Party::Unknown(Some(address), Reason::Ambiguous), Party::Node);
            }
            [_, ..] => return Party::Unknown(Some(address), Reason::Ambiguous),
            [] => {}
        }
        if !self.in_cluster(address) {
            return Party::External(address);
        }
        let using = self.holders.using(address, span);
        Self::held(address, using).unwrap_or(Party::Unknown(Some(address), Reason::NoPodAtTime))
    }

    fn held(address: Address, held: Held<'a>) -> Option<Party<'a>> {
        let uids = match held {
            Held::Nobody => return None,
            Held::Unlisted => return Some(Party::Unknown(Some(address), Reason::PodNotInMetadata)),
            Held::Pods(uids) => uids,
        };
        let mut pods = uids.into_iter().filter_map(|held| held.pod);
        let first = pods.next()?;
        // Pods of one workload that followed each other on one address are one identity.
        Some(if pods.all(|pod| pod.numbers.workload == first.numbers.workload) {
            Party::Pod(first)
        } else {
            Party::Unknown(Some(address), Reason::Ambiguous)
        })
    }

    /// The pod a Service's slice names, or whoever held its address.
    #[must_use]
    pub fn backend(&self, node: &str, pod_uid: Option<&str>, address: Address, span: Span) -> Party<'a> {
        let named = pod_uid.and_then(|uid| self.cluster.pods.get(uid));
        named.map_or_else(|| self.by_address(node, Some(address), span), Party::Pod)
    }

    /// Says where pods have addresses outside every known range, on which it rests what counts as outside the cluster.
    pub fn report_ranges(&self, findings: &mut Findings) {
        let outside = |address: &Address| !self.pod_ranges.iter().any(|range| range.contains(*address));
        for pod in self.cluster.pods.values().filter(|pod| !pod.host_network) {
            if let Some(node) = &pod.node
                && pod.addresses.iter().any(outside)
            {
                let message = format!("node {node} has pods with addresses outside every known range of pods");
                findings.report(Code::PodRangesUnknown, message);
            }
        }
    }

    fn node_named(&self, name: &str) -> Option<Party<'a>> {
        self.cluster
            .nodes
            .get_key_value(name)
            .map(|(name, _)| Party::Node(name))
    }

    /// Whether an address is one that only pods or Services of this cluster have.
    fn in_cluster(&self, address: Address) -> bool {
        self.holders.knows(address)
            || self.cluster.services.has_address(address)
            || self.pod_ranges.iter().any(|range| range.contains(address))
    }
}

/// First to last operation of a flow.
#[must_use]
pub fn span_of(row: &FlowRow) -> Span {
    Span {
        first: row.first_seen,
        last: row.last_seen,
    }
}

/// The node that a recording is of: the one it is named after, else the only one whose pods had their cgroups there. A
/// recorder may run under another name than its node has in the cluster.
fn host<'a>(node: &NodeTape, cluster: &'a Cluster) -> Option<&'a str> {
    if let Some((name, _)) = cluster.nodes.get_key_value(&node.name) {
        return Some(name);
    }
    let uids = node.cgroups.iter().filter_map(|row| row.pod_uid.as_ref());
    let pods = uids.filter_map(|uid| cluster.pods.get(uid));
    let names: BTreeSet<&str> = pods.filter_map(|pod| pod.node.as_deref()).collect();
    match names.into_iter().collect::<Vec<_>>().as_slice() {
        [only] => cluster.nodes.get_key_value(*only).map(|(name, _)| name.as_str()),
        [] | [_, ..] => None,
    }
}

/// The names of addresses, of the whole window: a name that is asked for anew leads to connections that are older.
fn names(tape: &Tape) -> BTreeMap<Address, Names> {
    let mut names: BTreeMap<Address, BTreeSet<String>> = BTreeMap::new();
    for row in tape.nodes.iter().flat_map(|node| &node.names) {
        names.entry(row.address).or_default().insert(row.name.clone());
    }
    let shared = |(address, names)| (address, Arc::new(names));
    names.into_iter().map(shared).collect()
}

/// The pod of a UID, if the metadata has it.
fn known(of_uid: OfUid<'_>, address: Option<Address>) -> Party<'_> {
    let unknown = Party::Unknown(address, Reason::PodNotInMetadata);
    of_uid.pod.map_or(unknown, Party::Pod)
}

/// Whether a pod is known, and not on the network of its node.
fn has_own_network(of_uid: OfUid<'_>) -> bool {
    of_uid.pod.is_some_and(|pod| !pod.host_network)
}

fn cgroup_timeline<'a>(rows: &'a [CgroupRow], cluster: &'a Cluster) -> Timeline<u64, PodKey<'a>> {
    let key = |row: &'a CgroupRow| match (&row.pod_uid, &row.static_pod_hash) {
        (Some(uid), _) => PodKey::Uid(cluster.of_uid(uid)),
        (None, Some(hash)) => PodKey::StaticHash(hash),
        (None, None) => PodKey::NoPod,
    };
    Timeline::new(
        rows.iter()
            .map(|row| (row.cgroup_id, Span::of_validity(row.valid_from, row.valid_to), key(row))),
    )
}

fn netns_timeline<'a>(rows: &'a [NetnsRow], cluster: &'a Cluster) -> Timeline<u32, NetnsOwner<'a>> {
    let owner = |row: &'a NetnsRow| match (&row.pod_uid, row.is_host) {
        (Some(uid), _) => Some(NetnsOwner::Pod(cluster.of_uid(uid))),
        (None, true) => Some(NetnsOwner::Host),
        (None, false) => None,
    };
    let entry = |row| Some((row, owner(row)?));
    let entries = rows.iter().filter_map(entry);
    Timeline::new(entries.map(|(row, owner)| (row.netns, Span::of_validity(row.valid_from, row.valid_to), owner)))
}

fn is_loopback(address: Address) -> bool {
    address.ip().is_loopback()
}

fn is_group(address: Address) -> bool {
    match address.ip() {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}
