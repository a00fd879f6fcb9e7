//! Names of ports whose number no pod tells. Which number a name is, each pod says, so what such a rule allows is not known; but two
//! sets that allow the same under any number do not differ by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::model::{Direction, Peer, Peers, PolicySet, PortMatch, PortRule, Ports, Rule};
use crate::policy::ports::{PortRange, PortSet, Protocol};
use crate::policy::select::Selector;
use crate::semantics::representative::is_made_up;
use crate::semantics::world::{NamedPort, World};

use super::change::{Change, Pair, Side};
use super::policies::{Owners, compare};

/// The name of a port, and its protocol.
type Name = (Protocol, String);

/// Names by which the sets differ for pods of which none says what number they are: for those that are made up, and for every pod
/// where none has such a port. `changes` are those of the sets as they stand.
pub(super) fn unresolved(
    before: &PolicySet,
    after: &PolicySet,
    changes: &[Change],
    world: &World,
    owners: &Owners,
) -> BTreeSet<Name> {
    let (old, new) = (places(before), places(after));
    let differs = |name: &&Name| old.get(*name) != new.get(*name);
    let mut names: BTreeSet<Name> = old.keys().chain(new.keys()).filter(differs).cloned().collect();
    if before.bare() != after.bare() {
        // What a name means in a rule of the cluster depends on every rule before it.
        names.extend(of_cluster(before).chain(of_cluster(after)));
    }
    if names.is_empty() {
        return names;
    }
    // Each name stands for a number of its own, which no rule and no pod names. Where there are not enough of them, no name is compared.
    let free = numbers(before)
        .union(&numbers(after))
        .union(&of_pods(world))
        .complement();
    let free: Vec<u16> = free
        .ranges()
        .iter()
        .flat_map(|range| range.first()..=range.last())
        .take(names.len())
        .collect();
    if free.len() < names.len() {
        return names;
    }
    let stand_ins: BTreeMap<Name, u16> = names.into_iter().zip(free).collect();
    let diff = compare(before, after, &with_ports(world, &stand_ins), owners);
    let at = |changes: &[Change], (protocol, _): &Name, number: u16| -> BTreeSet<(Pair, Side)> {
        let here =
            |change: &&Change| change.pair.protocol.to_string() == protocol.name() && change.ports.contains(number);
        let here = changes.iter().filter(here);
        here.map(|change| (change.pair.clone(), change.side)).collect()
    };
    let differing = stand_ins
        .into_iter()
        .filter(|(name, number)| at(changes, name, *number) != at(&diff.changes, name, *number));
    differing.map(|(name, _)| name).collect()
}

/// The numbers of ports that pods have a name for.
fn of_pods(world: &World) -> PortSet {
    let ports = world.pods().flat_map(|pod| &pod.ports);
    ports.filter_map(|port| PortRange::single(port.port)).collect()
}

/// The world in which pods that do not say so have these ports.
fn with_ports(world: &World, stand_ins: &BTreeMap<Name, u16>) -> World {
    let known: BTreeSet<(Protocol, &str)> = world
        .pods()
        .flat_map(|pod| &pod.ports)
        .map(|port| (port.protocol, port.name.as_str()))
        .collect();
    let pods = world.pods().map(|pod| {
        let missing = stand_ins
            .iter()
            .filter(|((protocol, name), _)| is_made_up(&pod.name) || !known.contains(&(*protocol, name)));
        let stand_in = |((protocol, name), number): (&Name, &u16)| NamedPort {
            name: name.clone(),
            protocol: *protocol,
            port: *number,
        };
        let mut pod = pod.clone();
        pod.ports.extend(missing.map(stand_in));
        pod
    });
    world
        .with_pods(world.namespaces().clone(), pods)
        .expect("the pods are those of a world")
}

/// Where a name stands: namespace and subject of the policy, the direction, and one peer; nothing for everybody.
type Place<'s> = (&'s str, &'s Selector, Direction, Option<&'s Peer>);

fn places(set: &PolicySet) -> BTreeMap<Name, BTreeSet<Place<'_>>> {
    let mut places: BTreeMap<Name, BTreeSet<Place<'_>>> = BTreeMap::new();
    for policy in set {
        for direction in [Direction::Ingress, Direction::Egress] {
            for rule in policy.rules(direction).unwrap_or_default() {
                let peers: Vec<Option<&Peer>> = match &rule.peers {
                    Peers::Any => vec![None],
                    Peers::Of(peers) => peers.iter().map(Some).collect(),
                };
                for port in listed(rule) {
                    if let PortMatch::Named(name) = &port.port {
                        let place = |peer| (policy.namespace.as_str(), &policy.subject, direction, peer);
                        let of_name = places.entry((port.protocol, name.clone())).or_default();
                        of_name.extend(peers.iter().copied().map(place));
                    }
                }
            }
        }
    }
    places
}

/// The names in policies of the cluster.
fn of_cluster(set: &PolicySet) -> impl Iterator<Item = Name> {
    let ports = set.rules_of_cluster().flat_map(|(_, rule)| of(&rule.ports));
    ports.filter_map(|port| match &port.port {
        PortMatch::Named(name) => Some((port.protocol, name.clone())),
        PortMatch::Any | PortMatch::Range(_) => None,
    })
}

/// The numbers that the rules of a set have. All ports are no number: they hold every one, on whichever side they stand.
fn numbers(set: &PolicySet) -> PortSet {
    let ports_of_cluster = set.rules_of_cluster().flat_map(|(_, rule)| of(&rule.ports));
    let ranges = set
        .rules()
        .flat_map(|(_, rule)| listed(rule))
        .chain(ports_of_cluster)
        .filter_map(|port| match port.port {
            PortMatch::Range(range) if range != PortRange::ALL => Some(range),
            PortMatch::Range(_) | PortMatch::Any | PortMatch::Named(_) => None,
        });
    ranges.collect()
}

fn listed(rule: &Rule) -> impl Iterator<Item = &PortRule> {
    of(&rule.ports)
}

fn of(ports: &Ports) -> impl Iterator<Item = &PortRule> {
    let listed = match ports {
        Ports::Any => None,
        Ports::Of(ports) => Some(ports),
    };
    listed.into_iter().flatten()
}
