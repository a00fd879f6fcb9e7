//! Changes that somebody accepted. A change of several ports is accepted port by port.

use flowtape_schemas::address::Address;
use flowtape_schemas::time::Time;

use super::change::{Change, Diff, Pair};
use super::peer::Peer;
use crate::baseline::{Accepted, Baseline, Excused};
use crate::findings::Findings;
use crate::flow::filter::PeerPattern;
use crate::identity::{Identity, Names};

/// Takes the changes out of a diff that are accepted at `now`.
pub fn part(baseline: &Baseline, diff: &mut Diff, now: Option<Time>, findings: &mut Findings) -> Vec<Excused<Change>> {
    let mut pieces = std::mem::take(&mut diff.changes);
    for entry in baseline.entries() {
        pieces = pieces.into_iter().flat_map(|change| split(entry, change)).collect();
    }
    let (counting, excused) = baseline.part(pieces, now, is_about, "changed", findings);
    // What was split and not accepted is one change again.
    for change in counting {
        match diff.changes.last_mut().filter(|last| is_same_but_ports(last, &change)) {
            Some(last) => last.ports = last.ports.union(&change.ports),
            None => diff.changes.push(change),
        }
    }
    excused
}

/// A change cut into the ports that an entry is about and the others.
fn split(entry: &Accepted, change: Change) -> Vec<Change> {
    let asked = entry.ports(change.pair.protocol);
    let (within, beyond) = (change.ports.intersection(&asked), change.ports.difference(&asked));
    if !names(entry, &change) || within.is_empty() || beyond.is_empty() {
        return vec![change];
    }
    [within, beyond]
        .map(|ports| Change {
            ports,
            ..change.clone()
        })
        .to_vec()
}

fn is_about(entry: &Accepted, change: &Change) -> bool {
    let asked = entry.ports(change.pair.protocol);
    // Ports that are not known are accepted only with every other port.
    let every = asked.complement().is_empty();
    names(entry, change) && (every || !change.ports.is_empty() && change.ports.difference(&asked).is_empty())
}

fn names(entry: &Accepted, change: &Change) -> bool {
    let Pair { from, to, protocol: _ } = &change.pair;
    let [client, server] = entry.ends();
    entry.is_about_class(change.class.word()) && is_asked(client, from) && is_asked(server, to)
}

/// Whether a pattern means a peer; of a prefix all of it.
fn is_asked(pattern: &PeerPattern, peer: &Peer) -> bool {
    match peer {
        // An address is one outside, and everybody is every pod as well.
        Peer::Everybody => *pattern == PeerPattern::Type("any"),
        Peer::EveryPod => matches!(pattern, PeerPattern::Type("any" | "any-pod")),
        Peer::Workload(workload) => pattern.names(workload),
        Peer::Service { namespace, name } => pattern.means(&Identity::Service {
            namespace: namespace.clone(),
            name: name.clone(),
        }),
        Peer::Node { name } => pattern.means(&Identity::Node { name: name.clone() }),
        Peer::Addresses { cidr, except: _ } => {
            let (first, last) = (Address::from(cidr.network()), Address::from(cidr.last()));
            let names = Names::default();
            pattern.means(&Identity::External { address: first, names }) || pattern.holds(first) && pattern.holds(last)
        }
        Peer::Unknown { address, reason } => {
            pattern.means(&Identity::Unknown {
                address: *address,
                reason: *reason,
            }) || address.is_some_and(|address| pattern.holds(address))
        }
    }
}

fn is_same_but_ports(left: &Change, right: &Change) -> bool {
    let ports = right.ports.clone();
    Change { ports, ..left.clone() } == *right
}
