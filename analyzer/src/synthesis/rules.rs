//! Collects peers and ports of one direction, and groups them into the fewest rules that say exactly that.

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::edge::Transport;
use crate::policy::model::{Peer, Peers, PortMatch, PortRule, Ports, Rule};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::{PortRange, Protocol};

/// Peers of one direction of one policy, each with its ports.
#[derive(Debug, Default)]
pub(super) struct RuleMap {
    peers: BTreeMap<Peer, BTreeMap<(Protocol, u16), Basis>>,
}

/// Why a port of a peer is allowed.
#[derive(Debug, Default)]
struct Basis {
    notes: BTreeSet<String>,
    observed: bool,
}

impl RuleMap {
    /// Allows a peer a port. `observed` says that a recorded edge needs it; otherwise it is an addition.
    pub(super) fn add(&mut self, peer: Peer, protocol: Protocol, port: u16, note: &str, observed: bool) {
        let basis = self.peers.entry(peer).or_default().entry((protocol, port)).or_default();
        basis.notes.insert(note.to_owned());
        basis.observed |= observed;
    }

    /// What is allowed without a recorded edge that needs it.
    pub(super) fn additions(&self) -> impl Iterator<Item = String> {
        self.peers.values().flat_map(|ports| {
            let added = ports.iter().filter(|(_, basis)| !basis.observed);
            added.flat_map(|((protocol, port), basis)| {
                basis
                    .notes
                    .iter()
                    .map(move |note| format!("{port}/{} for: {note}", protocol.name()))
            })
        })
    }

    /// One rule for all peers that have exactly the same ports.
    pub(super) fn into_rules(self) -> Vec<Rule> {
        let mut groups: BTreeMap<PortList, Members> = BTreeMap::new();
        for (peer, ports) in self.peers {
            let (peers, notes) = groups.entry(ports.keys().copied().collect()).or_default();
            peers.insert(peer);
            notes.extend(ports.into_values().flat_map(|basis| basis.notes));
        }
        let mut rules: Vec<Rule> = groups.into_iter().filter_map(rule).collect();
        rules.sort_by(|a, b| (&a.peers, &a.ports).cmp(&(&b.peers, &b.ports)));
        rules
    }
}

type PortList = Vec<(Protocol, u16)>;

/// The peers of a rule, and what a reader should know of them.
type Members = (BTreeSet<Peer>, BTreeSet<String>);

/// A rule without peers or without ports would allow everybody or everything, so there is none: `None` instead.
fn rule((ports, (peers, notes)): (PortList, Members)) -> Option<Rule> {
    let port = |(protocol, port): (Protocol, u16)| {
        Some(PortRule {
            protocol,
            port: PortMatch::Range(PortRange::single(port)?),
        })
    };
    let ports = OneOrMore::new(ports.into_iter().filter_map(port))?;
    let mut rule = Rule::new(Peers::Of(OneOrMore::new(peers)?), Ports::Of(ports));
    rule.notes = notes.into_iter().collect();
    Some(rule)
}

/// The protocol as policies name it.
pub(super) fn protocol_of(transport: Transport) -> Option<Protocol> {
    Protocol::from_number(transport.0)
}
