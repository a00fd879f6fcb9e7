//! Names of ports that no pod has. Which number a name is, each pod says, so what such a rule allows is not known; but two sets
//! that allow the same under any number do not differ by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::model::{Direction, Peer, Peers, Policy, PolicySet, PortMatch, PortRule, Ports, Rule};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::{PortRange, PortSet, Protocol};
use crate::policy::select::Selector;
use crate::semantics::world::World;

use super::change::Change;
use super::policies::{Owners, compare};

/// The name of a port, and its protocol.
type Name = (Protocol, String);

/// Names that no pod has and by which the sets differ.
pub(super) fn unresolved(before: &PolicySet, after: &PolicySet, world: &World, owners: &Owners) -> BTreeSet<Name> {
    let known: BTreeSet<Name> = world
        .pods()
        .flat_map(|pod| &pod.ports)
        .map(|port| (port.protocol, port.name.clone()))
        .collect();
    let (old, new) = (places(before), places(after));
    let differs = |name: &&Name| old.get(*name) != new.get(*name) && !known.contains(*name);
    let names: BTreeSet<Name> = old.keys().chain(new.keys()).filter(differs).cloned().collect();
    if names.is_empty() {
        return names;
    }
    // Each name stands for a number of its own, which no rule names. Where there are not enough of them, no name is compared.
    let free = numbers(before).union(&numbers(after)).complement();
    let free: Vec<PortRange> = free
        .ranges()
        .iter()
        .flat_map(|range| range.first()..=range.last())
        .filter_map(PortRange::single)
        .take(names.len())
        .collect();
    if free.len() < names.len() {
        return names;
    }
    let stand_ins: BTreeMap<Name, PortRange> = names.into_iter().zip(free).collect();
    let [old, new] = [before, after].map(|set| numbered(set, &stand_ins));
    let diff = compare(&old, &new, world, owners);
    let changes = |(protocol, _): &Name, number: PortRange| {
        let here = |change: &Change| {
            change.pair.protocol.to_string() == protocol.name() && change.ports.contains(number.first())
        };
        diff.changes.iter().any(here)
    };
    let differing = stand_ins.into_iter().filter(|(name, number)| changes(name, *number));
    differing.map(|(name, _)| name).collect()
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

/// The numbers that the rules of a set have. All ports are no number: they hold every one, on whichever side they stand.
fn numbers(set: &PolicySet) -> PortSet {
    let ranges = set
        .rules()
        .flat_map(|(_, rule)| listed(rule))
        .filter_map(|port| match port.port {
            PortMatch::Range(range) if range != PortRange::ALL => Some(range),
            PortMatch::Range(_) | PortMatch::Any | PortMatch::Named(_) => None,
        });
    ranges.collect()
}

fn listed(rule: &Rule) -> impl Iterator<Item = &PortRule> {
    let listed = match &rule.ports {
        Ports::Any => None,
        Ports::Of(ports) => Some(ports),
    };
    listed.into_iter().flatten()
}

/// The set with numbers in the place of names.
fn numbered(set: &PolicySet, numbers: &BTreeMap<Name, PortRange>) -> PolicySet {
    let port = |port: &PortRule| {
        let number = match &port.port {
            PortMatch::Named(name) => numbers.get(&(port.protocol, name.clone())),
            PortMatch::Any | PortMatch::Range(_) => None,
        };
        number.map_or_else(
            || port.clone(),
            |number| PortRule {
                protocol: port.protocol,
                port: PortMatch::Range(*number),
            },
        )
    };
    let rule = |rule: &Rule| {
        let ports = match &rule.ports {
            Ports::Any => Ports::Any,
            Ports::Of(listed) => {
                Ports::Of(OneOrMore::new(listed.iter().map(port)).expect("a list that is never empty"))
            }
        };
        Rule::new(rule.peers.clone(), ports)
    };
    let rules = |rules: &[Rule]| rules.iter().map(rule).collect::<Vec<_>>();
    let policies = set.iter().map(|policy| Policy {
        ingress: policy.ingress.as_deref().map(rules),
        egress: policy.egress.as_deref().map(rules),
        ..policy.clone()
    });
    PolicySet::new(policies).expect("the names are those of a set")
}
