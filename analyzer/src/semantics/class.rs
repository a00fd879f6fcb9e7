//! Who is alike to policies: pods that no selector, prefix or port name of a set tells apart are one class, and so are the
//! addresses between the prefixes that rules name.
//!
//! There are as many classes as policies tell apart, however many pods there are, and what policies say is said of classes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::policy::cidr::Cidr;
use crate::policy::cluster::{ClusterPeer, ClusterRule};
use crate::policy::model::{Entity, Peer, Peers, PolicySet};
use crate::policy::ports::Protocol;
use crate::policy::select::Selector;

use super::bits::Bits;
use super::label::Labelled;
use super::mentioned::{Mentioned, Told};
use super::space::{Cell, Space, of_nodes};
use super::world::{Endpoint, NamedPort, Pod, World};

/// Ends of connections that no policy tells apart.
#[derive(Debug)]
pub struct Class<'a> {
    /// The pods, each under one of its addresses. Those on the network of their node are alike to the addresses around
    /// theirs.
    pub pods: Vec<(&'a Pod, Option<IpAddr>)>,
    /// Addresses that no pod with a network of its own holds.
    pub addresses: Option<Cell>,
    /// Whether policies can select the pods.
    pub subject: bool,
    /// Whether it is known that all of them are nodes, or on the network of one. Where no rule names nodes, others are among them.
    pub node: bool,
    /// Whether the addresses are IPv4; `None` where there are none, which goes with both families.
    pub is_ipv4: Option<bool>,
    ports: Vec<&'a NamedPort>,
}

/// What tells a pod from others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    namespace: &'a str,
    labels: Told<'a>,
    ports: Vec<&'a NamedPort>,
    cell: Option<usize>,
}

/// The classes of a world under one or several policy sets.
pub struct Classes<'a> {
    classes: Vec<Class<'a>>,
    space: Space,
    /// Of each cell, the classes whose addresses are in its prefix.
    inside: Vec<Bits>,
    labelled: Labelled<'a>,
    /// Of each namespace, its number and the classes of its pods.
    namespaces: BTreeMap<&'a str, Bits>,
    labelled_namespaces: Labelled<'a>,
    world: &'a World,
    subjects: Bits,
    nodes: Bits,
    ipv4: Bits,
    ipv6: Bits,
}

impl<'a> Classes<'a> {
    /// Tells apart what any of these sets tells apart.
    #[must_use]
    pub fn new(world: &'a World, sets: &[&PolicySet]) -> Self {
        let mentioned = Mentioned::new(sets);
        let space = Space::new(world, sets);
        let nodes_apart = names_entities(sets);
        let mut by_key: BTreeMap<Key<'a>, Vec<(&'a Pod, Option<IpAddr>)>> = BTreeMap::new();
        // Pods on the network of their node, by the cell of its address; the last are those without one.
        let mut on_nodes: BTreeMap<Option<usize>, Vec<(&'a Pod, Option<IpAddr>)>> = BTreeMap::new();
        for pod in world.pods() {
            for endpoint in world.endpoints(pod) {
                let address = endpoint.address();
                let cell = address.map(|address| space.of_address(address));
                if pod.host_network {
                    on_nodes.entry(cell).or_default().push((pod, address));
                    continue;
                }
                let key = Key {
                    namespace: &pod.namespace,
                    labels: mentioned.told(&pod.labels),
                    ports: mentioned.told_ports(pod),
                    cell,
                };
                by_key.entry(key).or_default().push((pod, address));
            }
        }
        let mut made = Made::default();
        for (key, pods) in by_key {
            made.pods(key, pods, &space);
        }
        for (at, cell) in space
            .cells()
            .iter()
            .enumerate()
            .filter(|(_, cell)| cell.lowest().is_some())
        {
            let pods = on_nodes.remove(&Some(at)).unwrap_or_default();
            let is_node = cell.cidr.is_host() && world.is_node(cell.cidr.network());
            if nodes_apart && !is_node && !pods.is_empty() {
                made.on_unknown_node(at, cell, pods);
                made.addresses(at, cell, Vec::new(), false);
            } else {
                made.addresses(at, cell, pods, is_node);
            }
        }
        if let Some(pods) = on_nodes.remove(&None) {
            made.unplaced(pods);
        }
        Self::arranged(made, space, world)
    }

    fn arranged(made: Made<'a>, space: Space, world: &'a World) -> Self {
        let Made {
            classes,
            labels,
            cells,
            namespaces: named,
        } = made;
        let size = classes.len();
        let mut inside = vec![Bits::none(size); space.cells().len()];
        for (class, cell) in cells.iter().enumerate() {
            if let Some(cell) = *cell {
                inside[cell].insert(class);
            }
        }
        // A cell stands after the one around it, so that going back gives each what is inside of all inside of it.
        for cell in (0..inside.len()).rev() {
            if let Some(parent) = space.parent(cell) {
                let within = inside[cell].clone();
                inside[parent].unite(&within);
            }
        }
        let mut namespaces: BTreeMap<&str, Bits> = world
            .namespaces()
            .keys()
            .map(|name| (name.as_str(), Bits::none(size)))
            .collect();
        for (class, namespace) in named.iter().enumerate() {
            if let Some(of) = namespace.and_then(|namespace| namespaces.get_mut(namespace)) {
                of.insert(class);
            }
        }
        let every_label = world.namespaces().values().map(|labels| {
            labels
                .iter()
                .map(|(key, value)| (key.as_str(), Some(value.as_str())))
                .collect::<Told<'_>>()
        });
        let those = |wanted: &dyn Fn(&Class<'a>) -> bool| {
            let matching = classes.iter().enumerate().filter(|(_, class)| wanted(class));
            Bits::of(size, matching.map(|(at, _)| at))
        };
        Self {
            labelled: Labelled::new(labels.into_iter()),
            labelled_namespaces: Labelled::new(every_label),
            subjects: those(&|class| class.subject),
            nodes: those(&|class| class.node),
            world,
            ipv4: those(&|class| class.is_ipv4 != Some(false)),
            ipv6: those(&|class| class.is_ipv4 != Some(true)),
            classes,
            space,
            inside,
            namespaces,
        }
    }

    /// The classes; everywhere else they are called by their place in this list.
    #[must_use]
    pub fn list(&self) -> &[Class<'a>] {
        &self.classes
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The pods that a policy of this namespace selects.
    pub(super) fn selected(&self, namespace: &str, subject: &Selector) -> Bits {
        match self.namespaces.get(namespace) {
            Some(of) => {
                let mut selected = self.labelled.selected(subject);
                selected.keep(of);
                selected
            }
            None => Bits::none(self.len()),
        }
    }

    /// The peers that a rule of a policy of this namespace names.
    pub(super) fn peers(&self, peers: &Peers, namespace: &str) -> Bits {
        match peers {
            Peers::Any => Bits::all(self.len()),
            Peers::Of(listed) => {
                let mut united = Bits::none(self.len());
                for peer in listed {
                    united.unite(&self.peer(peer, namespace));
                }
                united
            }
        }
    }

    fn peer(&self, peer: &Peer, namespace: &str) -> Bits {
        match peer {
            Peer::Pods { namespaces: None, pods } => self.selected(namespace, pods),
            Peer::Pods {
                namespaces: Some(namespaces),
                pods,
            } => self.pods(namespaces, pods),
            Peer::Block { cidr, except } => self.block(*cidr, except),
            Peer::Entity(entity) => self.entity(entity),
        }
    }

    fn block(&self, cidr: Cidr, except: &[Cidr]) -> Bits {
        let inside = |cidr| self.space.of_prefix(cidr).map(|cell| &self.inside[cell]);
        let mut matching = inside(cidr).cloned().unwrap_or_else(|| Bits::none(self.len()));
        for hole in except.iter().filter_map(|hole| inside(*hole)) {
            matching.remove(hole);
        }
        matching
    }

    fn entity(&self, entity: &Entity) -> Bits {
        let hosts = |addresses: &mut dyn Iterator<Item = IpAddr>| {
            let mut matching = Bits::none(self.len());
            for address in addresses {
                matching.unite(&self.block(Cidr::host(address), &[]));
            }
            matching
        };
        let (mut matching, with_nodes) = match entity {
            Entity::Nodes => (self.nodes.clone(), true),
            Entity::ApiServer => (hosts(&mut self.world.api_server().iter().copied()), true),
            Entity::Outside { cidr, except } => (self.block(*cidr, except), false),
            Entity::Name(name) => (hosts(&mut self.world.addresses_of(name)), false),
        };
        matching.remove(&self.subjects);
        if !with_nodes {
            matching.remove(&self.nodes);
        }
        matching
    }

    /// The pods of some namespaces.
    pub(super) fn pods(&self, namespaces: &Selector, pods: &Selector) -> Bits {
        let within = self.labelled_namespaces.selected(namespaces);
        let mut selected = Bits::none(self.len());
        for (_, of) in self
            .namespaces
            .values()
            .enumerate()
            .filter(|(at, _)| within.contains(*at))
        {
            selected.unite(of);
        }
        selected.keep(&self.labelled.selected(pods));
        selected
    }

    /// The peers that a rule of a policy of the cluster names.
    pub(super) fn peers_of_cluster(&self, rule: &ClusterRule) -> Bits {
        let mut united = Bits::none(self.len());
        for peer in &rule.peers {
            match peer {
                // It is in no namespace, and each of its peers says in which to look.
                ClusterPeer::Plain(peer) => united.unite(&self.peer(peer, "")),
                ClusterPeer::Nodes(nodes) if rule.takes_every_node(nodes) => {
                    for cell in of_nodes(self.world).filter_map(|node| self.space.of_prefix(node)) {
                        united.unite(&self.inside[cell]);
                    }
                }
                ClusterPeer::Nodes(_) | ClusterPeer::Domains(_) => {}
            }
        }
        united
    }

    /// The pods that policies can select.
    pub(super) const fn subjects(&self) -> &Bits {
        &self.subjects
    }

    /// The destinations on which a port of this name is this number.
    pub(super) fn with_port(&self, protocol: Protocol, name: &str) -> BTreeMap<u16, Bits> {
        let mut by_number: BTreeMap<u16, Bits> = BTreeMap::new();
        for (at, class) in self.classes.iter().enumerate() {
            for port in class.ports_named(protocol, name) {
                by_number
                    .entry(port)
                    .or_insert_with(|| Bits::none(self.len()))
                    .insert(at);
            }
        }
        by_number
    }

    /// Whom a class can have connections with that policies decide about: one end is a pod they can select, and both have
    /// a family of addresses in common.
    #[must_use]
    pub fn governed(&self, class: usize) -> Bits {
        let Class { subject, is_ipv4, .. } = &self.classes[class];
        let mut governed = match is_ipv4 {
            Some(true) => self.ipv4.clone(),
            Some(false) => self.ipv6.clone(),
            None => Bits::all(self.len()),
        };
        if !subject {
            governed.keep(&self.subjects);
        }
        governed
    }

    /// One end of each kind that a class holds, for asking the naive evaluator: every pod, and the lowest of the addresses
    /// that is in none left out.
    pub fn ends(&self, class: usize) -> impl Iterator<Item = Endpoint<'a>> {
        let Class { pods, addresses, .. } = &self.classes[class];
        let pods = pods.iter().map(|&(pod, address)| Endpoint::Pod { pod, address });
        pods.chain(addresses.as_ref().and_then(Cell::lowest).map(Endpoint::Address))
    }
}

impl Class<'_> {
    /// The numbers of the ports of this name.
    pub(super) fn ports_named(&self, protocol: Protocol, name: &str) -> impl Iterator<Item = u16> {
        let named = self
            .ports
            .iter()
            .filter(move |port| port.protocol == protocol && port.name == name);
        named.map(|port| port.port)
    }
}

/// Whether some rule tells nodes from others.
fn names_entities(sets: &[&PolicySet]) -> bool {
    let mut rules = sets.iter().flat_map(|set| set.rules());
    rules.any(|(_, rule)| match &rule.peers {
        Peers::Any => false,
        Peers::Of(listed) => listed.iter().any(|peer| matches!(peer, Peer::Entity(_))),
    })
}

/// Classes, and beside each what it is found by.
#[derive(Default)]
struct Made<'a> {
    classes: Vec<Class<'a>>,
    labels: Vec<Told<'a>>,
    cells: Vec<Option<usize>>,
    namespaces: Vec<Option<&'a str>>,
}

impl<'a> Made<'a> {
    fn pods(&mut self, key: Key<'a>, pods: Vec<(&'a Pod, Option<IpAddr>)>, space: &Space) {
        let Key {
            namespace,
            labels,
            ports,
            cell,
        } = key;
        self.classes.push(Class {
            pods,
            addresses: None,
            subject: true,
            node: false,
            is_ipv4: cell.map(|cell| space.cells()[cell].cidr.network().is_ipv4()),
            ports,
        });
        self.labels.push(labels);
        self.cells.push(cell);
        self.namespaces.push(Some(namespace));
    }

    fn addresses(&mut self, at: usize, cell: &Cell, pods: Vec<(&'a Pod, Option<IpAddr>)>, node: bool) {
        self.no_subject(Class {
            pods,
            addresses: Some(cell.clone()),
            subject: false,
            node,
            is_ipv4: Some(cell.cidr.network().is_ipv4()),
            ports: Vec::new(),
        });
        self.cells.push(Some(at));
    }

    /// Pods on the network of a node whose addresses are not known: it is where they are.
    fn on_unknown_node(&mut self, at: usize, cell: &Cell, pods: Vec<(&'a Pod, Option<IpAddr>)>) {
        self.no_subject(Class {
            pods,
            addresses: None,
            subject: false,
            node: true,
            is_ipv4: Some(cell.cidr.network().is_ipv4()),
            ports: Vec::new(),
        });
        self.cells.push(Some(at));
    }

    fn unplaced(&mut self, pods: Vec<(&'a Pod, Option<IpAddr>)>) {
        self.no_subject(Class {
            pods,
            addresses: None,
            subject: false,
            node: true,
            is_ipv4: None,
            ports: Vec::new(),
        });
        self.cells.push(None);
    }

    /// No selector selects them, whatever their labels.
    fn no_subject(&mut self, class: Class<'a>) {
        self.classes.push(class);
        self.labels.push(Vec::new());
        self.namespaces.push(None);
    }
}
