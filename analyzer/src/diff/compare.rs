//! Two sides against each other.
//!
//! For every pair of known peers the ports of one side are taken from those of the other. What is left is a change,
//! unless something on the other side may explain it: then it is undecided, port by port, and says why.

use std::collections::BTreeSet;

use super::change::{Change, Class, Diff, Kind, Pair, Reason, Side, Unidentified};
use super::connections::{Absence, Connections, Known, one};
use super::peer::Peer;
use crate::identity;
use crate::policy::ports::PortSet;
use crate::semantics::eval::By;

/// What differs between two sides.
pub(super) fn compare(before: &Connections, after: &Connections) -> Diff {
    let mut changes = Vec::new();
    for (this, other, side) in [(before, after, Side::Before), (after, before, Side::After)] {
        for (pair, known) in &this.known {
            known_changes(this, other, side, pair, known, &mut changes);
        }
        open_changes(this, other, side, &mut changes);
    }
    let sides = [(Side::Before, before), (Side::After, after)];
    let unidentified = sides.into_iter().flat_map(|(side, connections)| {
        let pairs = connections.open.keys().cloned();
        pairs.map(move |pair| Unidentified { side, pair })
    });
    let diff = Diff {
        changes,
        incomplete: sides
            .into_iter()
            .filter(|(_, connections)| !connections.complete)
            .map(|(side, _)| side)
            .collect(),
        unidentified: unidentified.collect(),
        ..Diff::default()
    };
    diff.sorted()
}

/// The changes of one pair of known peers: what `this` side has and the other has not.
fn known_changes(
    this: &Connections,
    other: &Connections,
    side: Side,
    pair: &Pair,
    known: &Known,
    changes: &mut Vec<Change>,
) {
    let mut rest = known.ports.difference(&other.ports(pair));
    let mut take = |ports: &PortSet, reason: Reason, by: &[By]| {
        let taken = rest.intersection(ports);
        rest = rest.difference(ports);
        if !taken.is_empty() {
            changes.push(Change {
                class: class(reason, side, other.ports(pair).is_empty()),
                pair: pair.clone(),
                by: if by.is_empty() {
                    rules(known, &taken)
                } else {
                    by.to_vec()
                },
                ports: taken,
                side,
                kind: this.kind,
                reason,
                cause: None,
            });
        }
    };
    for Absence { ports, reason, by } in other.absent.get(pair).into_iter().flatten() {
        take(ports, *reason, by);
    }
    if !other.complete {
        take(&PortSet::all(), Reason::Incomplete, &[]);
    }
    take(&known.assumed, Reason::BackendsAssumed, &[]);
    take(&maybe(this.kind, other, pair, known), Reason::MaybeUnidentified, &[]);
    take(&PortSet::all(), Reason::NotSeen, &[]);
}

const fn class(reason: Reason, side: Side, other_has_none: bool) -> Class {
    match (reason.undecided(), side, other_has_none) {
        (true, _, _) => Class::Undecided,
        (false, Side::After, true) => Class::Added,
        (false, Side::After, false) => Class::Widened,
        (false, Side::Before, true) => Class::Removed,
        (false, Side::Before, false) => Class::Narrowed,
    }
}

/// The rules that name any of these ports.
fn rules(known: &Known, ports: &PortSet) -> Vec<By> {
    let naming = known
        .by
        .iter()
        .filter(|(_, named)| !named.intersection(ports).is_empty());
    naming.map(|(by, _)| by.clone()).collect()
}

/// Ports of a pair that the other side has perhaps, with a peer that it cannot identify.
fn maybe(kind: Kind, other: &Connections, pair: &Pair, known: &Known) -> PortSet {
    let none = BTreeSet::new();
    let mut ports = PortSet::empty();
    for (open, open_ports) in other.open.iter().filter(|(open, _)| open.protocol == pair.protocol) {
        if !open.from.may_be(&pair.from, &none) {
            continue;
        }
        if let (Kind::Policies, Peer::Service { namespace, name: _ }) = (kind, &open.to) {
            // Rules do not say which Service leads to the pods they name.
            if pair.to.namespace() == Some(namespace) {
                ports = ports.union(&known.ports);
            }
        } else if let Peer::Service { .. } = open.to {
            // The Service's own port says nothing of its backends' port.
            for (port, services) in &known.services {
                if open.to.may_be(&pair.to, services) {
                    ports = ports.union(&one(*port));
                }
            }
        } else if open.to.may_be(&pair.to, &none) {
            let unknown_port = open_ports.is_empty();
            ports = ports.union(if unknown_port { &known.ports } else { open_ports });
        }
    }
    ports
}

/// Connections with a peer that is not known are never changes that are decided, and the same on both sides is none.
fn open_changes(this: &Connections, other: &Connections, side: Side, changes: &mut Vec<Change>) {
    for (pair, ports) in &this.open {
        let there = other.open.get(pair);
        let ports = ports.difference(there.unwrap_or(&PortSet::empty()));
        if there.is_some() && ports.is_empty() {
            continue;
        }
        changes.push(Change {
            class: Class::Undecided,
            pair: pair.clone(),
            reason: open_reason(pair, &ports),
            ports,
            side,
            kind: Kind::Tape,
            cause: None,
            by: Vec::new(),
        });
    }
}

fn open_reason(pair: &Pair, ports: &PortSet) -> Reason {
    let reason = |peer: &Peer| match peer {
        Peer::Unknown {
            reason: identity::Reason::Ambiguous,
            address: _,
        } => Some(Reason::AmbiguousPeer),
        Peer::Unknown { .. } => Some(Reason::UnknownPeer),
        Peer::Service { .. } => Some(Reason::ServiceUnresolved),
        Peer::Everybody | Peer::EveryPod | Peer::Workload(_) | Peer::Node { .. } | Peer::Addresses { .. } => None,
    };
    let unknown = reason(&pair.from).or_else(|| reason(&pair.to));
    unknown.unwrap_or_else(|| {
        debug_assert!(ports.is_empty(), "known peers and ports are not open");
        Reason::NotJudged
    })
}
