//! What a policy set allows, named by its rules.
//!
//! Every rule is taken by itself: the workloads its policy selects, the peers it names, its ports. Of these remains what
//! the naive evaluator allows at both ends. What policies allow by not isolating a pod is without end and not listed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::flow::edge::Transport;
use crate::identity::Workload;
use crate::policy::cidr::Cidr;
use crate::policy::cluster::{Action, ClusterPeer, ClusterRule};
use crate::policy::kind::PolicyKind;
use crate::policy::model::{Direction, Peer as ModelPeer, Peers, Policy, PolicySet, PortMatch, Ports, Rule};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::{PortRange, PortSet, Protocol};
use crate::semantics::eval::{Basis, By, Connection, RuleId, Side, side};
use crate::semantics::world::{Endpoint, Pod, World};

use super::address::first_outside;
use super::change::{Kind, Pair};
use super::connections::Connections;
use super::peer::Peer;
use super::universe::{Block, Member, Universe, blocks};

/// Everything the rules of the set allow in its universe.
pub(super) fn allowed(universe: &Universe<'_>) -> Connections {
    let mut found = Connections::none(Kind::Policies, true);
    for policy in universe.set {
        for direction in [Direction::Ingress, Direction::Egress] {
            for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                let by = By::of(policy, Some((RuleId { direction, index }, rule)));
                Named::new(policy, direction, rule, by).collect(universe, &mut found);
            }
        }
    }
    of_cluster(universe, &mut found);
    found
}

/// What rules of the cluster allow: each names in each namespace what a policy there with this one rule would name.
fn of_cluster(universe: &Universe<'_>, found: &mut Connections) {
    for policy in universe.set.of_cluster() {
        let namespaces = universe.world.namespaces().iter();
        let selected = namespaces.filter(|(_, labels)| policy.subject.namespaces.matches(labels));
        for (namespace, direction) in
            selected.flat_map(|(name, _)| [Direction::Ingress, Direction::Egress].map(|direction| (name, direction)))
        {
            for (index, rule) in policy.rules(direction).iter().enumerate() {
                let Some(peers) = plain(rule, universe.world).filter(|_| rule.action == Action::Allow) else {
                    continue;
                };
                let plain = Rule::new(Peers::Of(peers), rule.ports.clone());
                let own = Policy {
                    kind: PolicyKind::NetworkPolicy,
                    namespace: namespace.clone(),
                    name: policy.name.clone(),
                    subject: policy.subject.pods.clone(),
                    ingress: None,
                    egress: None,
                    notes: Vec::new(),
                    source: None,
                };
                let by = By {
                    kind: policy.kind.name(),
                    namespace: String::new(),
                    name: policy.name.clone(),
                    rule: Some(RuleId { direction, index }),
                    source: rule.source.clone().or_else(|| policy.source.clone()),
                };
                Named::new(&own, direction, &plain, by).collect(universe, found);
            }
        }
    }
}

/// The peers of a rule of the cluster as those of a policy of a namespace; `None` if it names nobody that is known.
fn plain(rule: &ClusterRule, world: &World) -> Option<OneOrMore<ModelPeer>> {
    let peers = rule.peers.iter().flat_map(|peer| match peer {
        ClusterPeer::Plain(peer) => vec![peer.clone()],
        ClusterPeer::Nodes(nodes) if rule.takes_every_node(nodes) => {
            let addresses = world.nodes().values().flatten();
            addresses
                .map(|address| ModelPeer::block(Cidr::host(*address)))
                .collect()
        }
        ClusterPeer::Nodes(_) | ClusterPeer::Domains(_) => Vec::new(),
    });
    OneOrMore::new(peers)
}

/// One rule, ready to be asked whom it names.
struct Named<'a> {
    policy: &'a Policy,
    direction: Direction,
    rule: &'a Rule,
    by: By,
    /// The policy with nothing but this rule, on any port.
    peers_alone: PolicySet,
}

/// One end of a connection between pods.
struct End<'a> {
    workload: &'a Workload,
    pod: &'a Pod,
    isolating: &'a PolicySet,
}

impl<'a> Named<'a> {
    fn new(policy: &'a Policy, direction: Direction, rule: &'a Rule, by: By) -> Self {
        let rules = Some(vec![Rule::new(rule.peers.clone(), Ports::Any)]);
        let (ingress, egress) = match direction {
            Direction::Ingress => (rules, None),
            Direction::Egress => (None, rules),
        };
        let alone = Policy {
            ingress,
            egress,
            ..policy.clone()
        };
        Self {
            policy,
            direction,
            rule,
            by,
            peers_alone: PolicySet::new([alone]).expect("one policy has a unique name"),
        }
    }

    fn collect(&self, universe: &Universe<'_>, found: &mut Connections) {
        for (workload, members) in universe.workloads() {
            let selects = |member: &&Member| {
                member.pod.namespace == self.policy.namespace && self.policy.subject.matches(&member.pod.labels)
            };
            for subject in members.iter().filter(selects) {
                self.pods(universe, workload, subject, found);
                self.addresses(universe, workload, subject, found);
            }
        }
    }

    /// Pods that the rule names.
    fn pods(&self, universe: &Universe<'_>, own: &Workload, subject: &Member, found: &mut Connections) {
        for (workload, members) in universe.workloads() {
            for peer in members {
                let same = workload == own && peer.pod.name == subject.pod.name;
                if same && !peer.repeats {
                    continue;
                }
                // A pod always reaches itself; the question is whether it reaches the next of its kind.
                let twin = same.then(|| Pod {
                    name: format!("{}+", peer.pod.name),
                    ..peer.pod.clone()
                });
                let ends = [
                    End {
                        workload: own,
                        pod: &subject.pod,
                        isolating: subject.isolating(self.direction),
                    },
                    End {
                        workload,
                        pod: twin.as_ref().unwrap_or(&peer.pod),
                        isolating: peer.isolating(opposite(self.direction)),
                    },
                ];
                self.between(universe, &ends, found);
            }
        }
    }

    /// What the rule allows between its subject, which is first, and a pod that it may name.
    fn between(&self, universe: &Universe<'_>, ends: &[End<'_>; 2], found: &mut Connections) {
        let [subject, peer] = ends;
        let (from, to) = match self.direction {
            Direction::Egress => (subject, peer),
            Direction::Ingress => (peer, subject),
        };
        let routes = routes(universe, from.pod, to.pod);
        let named = |(from, to): &(Endpoint<'_>, Endpoint<'_>)| {
            let probe = connection(*from, *to, Protocol::Tcp, PortRange::ALL.first());
            side(&self.peers_alone, universe.world, &probe, self.direction).basis == Basis::Rule
        };
        if !routes.iter().any(named) {
            return;
        }
        for protocol in Protocol::ALL {
            let pair = Pair {
                from: Peer::Workload(from.workload.clone()),
                to: Peer::Workload(to.workload.clone()),
                protocol: transport(protocol),
            };
            let ports = ports_of(&self.rule.ports, protocol, Some(to.pod));
            let mut cuts_of_ends = cuts(peer.isolating, opposite(self.direction), protocol, to.pod);
            cuts_of_ends.extend(cuts_of_cluster(
                subject.isolating,
                self.direction,
                protocol,
                Some(to.pod),
            ));
            for range in cut(&ports, &cuts_of_ends) {
                let works = |(from, to): &(Endpoint<'_>, Endpoint<'_>)| {
                    let connection = connection(*from, *to, protocol, range.first());
                    let side = |end: &End<'_>, direction| side(end.isolating, universe.world, &connection, direction);
                    self.decides(&side(subject, self.direction)) && side(peer, opposite(self.direction)).allowed
                };
                if routes.iter().any(works) {
                    self.add(found, &pair, range);
                }
            }
        }
    }

    /// Addresses that the rule names.
    fn addresses(&self, universe: &Universe<'_>, own: &Workload, subject: &Member, found: &mut Connections) {
        let isolating = subject.isolating(self.direction);
        let blocks = self.blocks(universe.world).into_iter();
        for (cidr, except) in blocks.flat_map(|block| along(block, self.direction, isolating, universe.world)) {
            let Some((peer, address)) = outside_peer(universe, cidr, except) else {
                continue;
            };
            let own_endpoint = universe
                .world
                .endpoints(&subject.pod)
                .into_iter()
                .find(|endpoint| endpoint.address().is_none_or(|own| own.is_ipv4() == address.is_ipv4()));
            // A pod without an address of this family reaches nobody there.
            let Some(own_endpoint) = own_endpoint else { continue };
            let (own_peer, far) = (Peer::Workload(own.clone()), Endpoint::Address(address));
            let ((from, from_peer), (to, to_peer)) = match self.direction {
                Direction::Egress => ((own_endpoint, own_peer), (far, peer)),
                Direction::Ingress => ((far, peer), (own_endpoint, own_peer)),
            };
            for protocol in Protocol::ALL {
                let pair = Pair {
                    from: from_peer.clone(),
                    to: to_peer.clone(),
                    protocol: transport(protocol),
                };
                let ports = ports_of(&self.rule.ports, protocol, to.selectable_pod());
                let cuts = cuts_of_cluster(isolating, self.direction, protocol, to.selectable_pod());
                for range in cut(&ports, &cuts) {
                    let asked = connection(from, to, protocol, range.first());
                    if self.decides(&side(isolating, universe.world, &asked, self.direction)) {
                        self.add(found, &pair, range);
                    }
                }
            }
        }
    }

    /// Whether the rule is why an end allows a connection. One that others come before, in the order of tiers, is not.
    fn decides(&self, end: &Side) -> bool {
        match end.basis {
            Basis::Rule => end.by.contains(&self.by),
            Basis::SamePod | Basis::OwnNode => true,
            Basis::NotIsolated | Basis::NotSubject | Basis::NoRule | Basis::DenyRule => false,
        }
    }

    fn blocks(&self, world: &World) -> Vec<Block> {
        match &self.rule.peers {
            Peers::Any => ["0.0.0.0/0", "::/0"]
                .into_iter()
                .filter_map(|every| Some((every.parse().ok()?, Vec::new())))
                .collect(),
            Peers::Of(_) => blocks(&self.rule.peers, world),
        }
    }

    fn add(&self, found: &mut Connections, pair: &Pair, range: PortRange) {
        let ports: PortSet = [range].into_iter().collect();
        let known = found.known.entry(pair.clone()).or_default();
        known.ports = known.ports.union(&ports);
        let named = known.by.entry(self.by.clone()).or_default();
        *named = named.union(&ports);
    }
}

/// Who is in a prefix that is no pod, and an address that stands for it; `None` if there is nobody else.
fn outside_peer(universe: &Universe<'_>, cidr: Cidr, except: Vec<Cidr>) -> Option<(Peer, IpAddr)> {
    let single = cidr == Cidr::host(cidr.network());
    if let (true, Some(node)) = (single, universe.node_at(cidr.network())) {
        let name = node.to_owned();
        return Some((Peer::Node { name }, cidr.network()));
    }
    let taken = universe.taken().iter().map(|address| Cidr::host(*address));
    let address = first_outside(cidr, except.iter().copied().chain(taken))?;
    Some((Peer::Addresses { cidr, except }, address))
}

/// The addresses over which two pods can talk.
fn routes<'a>(universe: &Universe<'a>, from: &'a Pod, to: &'a Pod) -> Vec<(Endpoint<'a>, Endpoint<'a>)> {
    let mut routes = Vec::new();
    for from in universe.world.endpoints(from) {
        for to in universe.world.endpoints(to) {
            let same_family = match (from.address(), to.address()) {
                (Some(from), Some(to)) => from.is_ipv4() == to.is_ipv4(),
                (None, _) | (_, None) => true,
            };
            if same_family {
                routes.push((from, to));
            }
        }
    }
    routes
}

const fn connection<'a>(from: Endpoint<'a>, to: Endpoint<'a>, protocol: Protocol, port: u16) -> Connection<'a> {
    Connection {
        from,
        to,
        protocol,
        port,
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

const fn transport(protocol: Protocol) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::TCP,
        Protocol::Udp => Transport::UDP,
        Protocol::Sctp => Transport::SCTP,
    }
}

/// The numbers of a rule's ports at this destination.
fn ports_of(ports: &Ports, protocol: Protocol, to: Option<&Pod>) -> PortSet {
    let Ports::Of(listed) = ports else {
        return PortSet::all();
    };
    let matches = listed.iter().filter(|port| port.protocol == protocol);
    let ranges = matches.flat_map(|port| match &port.port {
        PortMatch::Any => vec![PortRange::ALL],
        PortMatch::Range(range) => vec![*range],
        PortMatch::Named(name) => numbers(name, protocol, to),
    });
    ranges.collect()
}

/// The numbers of a named port at this destination.
fn numbers(name: &str, protocol: Protocol, to: Option<&Pod>) -> Vec<PortRange> {
    let ports = to.into_iter().flat_map(|pod| &pod.ports);
    let named = ports.filter(|port| port.name == name && port.protocol == protocol);
    named.filter_map(|port| PortRange::single(port.port)).collect()
}

/// Ports at which the answer of these policies may change: the first of each range they name, and the one behind it.
fn cuts(set: &PolicySet, direction: Direction, protocol: Protocol, to: &Pod) -> BTreeSet<u16> {
    let rules = set.iter().filter_map(|policy| policy.rules(direction)).flatten();
    let mut cuts = ends(rules.map(|rule| &rule.ports), protocol, Some(to));
    cuts.extend(cuts_of_cluster(set, direction, protocol, Some(to)));
    cuts
}

/// The same for the policies of the cluster alone.
fn cuts_of_cluster(set: &PolicySet, direction: Direction, protocol: Protocol, to: Option<&Pod>) -> BTreeSet<u16> {
    let rules = set.of_cluster().iter().flat_map(|policy| policy.rules(direction));
    ends(rules.map(|rule| &rule.ports), protocol, to)
}

fn ends<'p>(ports: impl Iterator<Item = &'p Ports>, protocol: Protocol, to: Option<&Pod>) -> BTreeSet<u16> {
    let ranges = ports.flat_map(|ports| ports_of(ports, protocol, to).ranges().to_vec());
    let ends = ranges.flat_map(|range| [Some(range.first()), range.last().checked_add(1)]);
    ends.flatten().collect()
}

/// A block, cut along the prefixes and nodes that policies of the cluster name, which may decide otherwise about a part.
fn along((cidr, except): Block, direction: Direction, set: &PolicySet, world: &World) -> Vec<Block> {
    let mut inner: BTreeSet<Cidr> = BTreeSet::new();
    for rule in set.of_cluster().iter().flat_map(|policy| policy.rules(direction)) {
        for peer in &rule.peers {
            match peer {
                ClusterPeer::Plain(ModelPeer::Block { cidr, except: _ }) => {
                    inner.insert(*cidr);
                }
                ClusterPeer::Nodes(_) => inner.extend(world.nodes().values().flatten().map(|node| Cidr::host(*node))),
                ClusterPeer::Plain(ModelPeer::Pods { .. } | ModelPeer::Entity(_)) | ClusterPeer::Domains(_) => {}
            }
        }
    }
    inner.retain(|part| cidr != *part && cidr.covers(*part));
    let whole = std::iter::once(cidr).chain(inner.iter().copied());
    let cut = whole.map(|part| {
        let holes = except.iter().chain(&inner).copied();
        let holes: BTreeSet<Cidr> = holes.filter(|hole| *hole != part && part.covers(*hole)).collect();
        (part, holes.into_iter().collect())
    });
    let outside = |part: &Block| !except.iter().any(|hole| hole.covers(part.0));
    cut.filter(outside).collect()
}

/// The ranges of a set, cut so that each lies between two cuts.
fn cut(ports: &PortSet, cuts: &BTreeSet<u16>) -> Vec<PortRange> {
    let mut pieces = Vec::new();
    for range in ports.ranges() {
        let inside = cuts.range(range.first()..=range.last()).copied();
        let starts: BTreeSet<u16> = inside.chain([range.first()]).collect();
        let mut ends = starts.iter().skip(1).map(|start| start - 1).chain([range.last()]);
        for start in &starts {
            pieces.extend(ends.next().and_then(|end| PortRange::new(*start, end)));
        }
    }
    pieces
}
