//! Collects peers and ports of one direction, and groups them into the fewest rules that say exactly that.

use std::collections::{BTreeMap, BTreeSet};

use super::additions::Kind;
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
    additions: BTreeSet<Kind>,
}

/// A rule, and what it allows beyond the recording: for which peer, on which port, and why.
pub(super) struct Grouped {
    pub(super) rule: Rule,
    pub(super) additions: BTreeSet<(Kind, Peer, PortRule)>,
}

impl RuleMap {
    /// Allows a peer a port that a recorded edge needs.
    pub(super) fn observe(&mut self, peer: Peer, protocol: Protocol, port: u16, note: &str) {
        let basis = self.basis(peer, protocol, port);
        basis.notes.insert(note.to_owned());
        basis.observed = true;
    }

    /// Allows a peer a port on purpose, whether or not a recorded edge needs it.
    pub(super) fn add(&mut self, peer: Peer, protocol: Protocol, port: u16, note: &str, kind: Kind) {
        let basis = self.basis(peer, protocol, port);
        basis.notes.insert(note.to_owned());
        basis.additions.insert(kind);
    }

    fn basis(&mut self, peer: Peer, protocol: Protocol, port: u16) -> &mut Basis {
        self.peers.entry(peer).or_default().entry((protocol, port)).or_default()
    }

    /// One rule for all peers that have exactly the same ports.
    pub(super) fn into_rules(self) -> Vec<Grouped> {
        let mut groups: BTreeMap<PortList, Members> = BTreeMap::new();
        for (peer, ports) in self.peers {
            let members = groups.entry(ports.keys().copied().collect()).or_default();
            for ((protocol, port), basis) in ports {
                if let Some(port) = port_rule(protocol, port).filter(|_| !basis.observed) {
                    let what = |kind: Kind| (kind, peer.clone(), port.clone());
                    members.additions.extend(basis.additions.into_iter().map(what));
                }
                members.notes.extend(basis.notes);
            }
            members.peers.insert(peer);
        }
        let mut rules: Vec<Grouped> = groups.into_iter().filter_map(grouped).collect();
        rules.sort_by(|a, b| (&a.rule.peers, &a.rule.ports).cmp(&(&b.rule.peers, &b.rule.ports)));
        rules
    }
}

type PortList = Vec<(Protocol, u16)>;

/// What the peers of one rule have in common besides their ports.
#[derive(Default)]
struct Members {
    peers: BTreeSet<Peer>,
    notes: BTreeSet<String>,
    additions: BTreeSet<(Kind, Peer, PortRule)>,
}

/// A rule without peers or without ports would allow everybody or everything, so there is none: `None` instead.
fn grouped((ports, members): (PortList, Members)) -> Option<Grouped> {
    let Members {
        peers,
        notes,
        additions,
    } = members;
    let ports = ports
        .into_iter()
        .filter_map(|(protocol, port)| port_rule(protocol, port));
    let ports = OneOrMore::new(ports)?;
    let mut rule = Rule::new(Peers::Of(OneOrMore::new(peers)?), Ports::Of(ports));
    rule.notes = notes.into_iter().collect();
    Some(Grouped { rule, additions })
}

/// One port of a protocol; `None` for port 0, which no rule can name.
fn port_rule(protocol: Protocol, port: u16) -> Option<PortRule> {
    Some(PortRule {
        protocol,
        port: PortMatch::Range(PortRange::single(port)?),
    })
}
