//! Collects peers and ports of one direction, and groups them into the fewest rules that say exactly that.

use std::collections::{BTreeMap, BTreeSet};

use super::additions::{Beyond, Kind};
use super::note::{Note, lines};
use super::widen::{Widen, ranges};
use crate::identity::Workload;
use crate::policy::model::{Peer, Peers, PortRule, Ports, Rule};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::Protocol;

/// Peers of one direction of one policy, each with its ports.
#[derive(Debug, Default)]
pub(super) struct RuleMap {
    peers: BTreeMap<Peer, Allowed>,
}

/// What one peer is allowed.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    /// What it stands for.
    pub(super) origins: BTreeSet<Origin>,
    /// Its ports.
    pub(super) ports: BTreeMap<(Protocol, u16), Basis>,
    /// How much it is wider than what was recorded.
    pub(super) widened: BTreeSet<(Kind, Beyond)>,
}

/// What a peer of a rule stands for, as far as that decides how it may be widened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// Pods of a workload.
    Workload(Workload),
    /// A node, or what runs on its network.
    Node,
    /// An address outside the cluster.
    External,
    /// Anything else, which is what it is.
    Fixed,
}

/// Why a port of a peer is allowed.
#[derive(Clone, Debug, Default)]
pub(super) struct Basis {
    notes: BTreeSet<Note>,
    observed: bool,
    additions: BTreeSet<Kind>,
    edges: BTreeSet<usize>,
}

/// A rule, what it allows beyond the recording, and which edges are behind it, by their places in the list.
pub(super) struct Grouped {
    pub(super) rule: Rule,
    pub(super) additions: BTreeSet<Added>,
    pub(super) edges: BTreeSet<usize>,
}

/// For which peer of a rule, on which of its ports, why, and how much that is.
pub(super) type Added = (Kind, Peer, PortRule, Option<Beyond>);

impl RuleMap {
    /// Allows a peer a port that a recorded edge needs.
    pub(super) fn observe(&mut self, peer: (Peer, Origin), port: (Protocol, u16), note: &Note, edge: usize) {
        let basis = self.basis(peer, port);
        basis.notes.insert(note.clone());
        basis.observed = true;
        basis.edges.insert(edge);
    }

    /// Allows a peer a port on purpose, whether or not a recorded edge needs it.
    pub(super) fn add(
        &mut self,
        peer: (Peer, Origin),
        port: (Protocol, u16),
        note: &Note,
        kind: Kind,
        edges: impl IntoIterator<Item = usize>,
    ) {
        let basis = self.basis(peer, port);
        basis.notes.insert(note.clone());
        basis.additions.insert(kind);
        basis.edges.extend(edges);
    }

    fn basis(&mut self, (peer, origin): (Peer, Origin), port: (Protocol, u16)) -> &mut Basis {
        let allowed = self.peers.entry(peer).or_default();
        allowed.origins.insert(origin);
        allowed.ports.entry(port).or_default()
    }

    /// A map for each peer and port.
    pub(super) fn apart(self) -> Vec<Self> {
        let each = |(peer, allowed): (Peer, Allowed)| {
            let Allowed {
                origins,
                ports,
                widened,
            } = allowed;
            ports.into_iter().map(move |(port, basis)| {
                let one = Allowed {
                    origins: origins.clone(),
                    ports: BTreeMap::from([(port, basis)]),
                    widened: widened.clone(),
                };
                Self {
                    peers: BTreeMap::from([(peer.clone(), one)]),
                }
            })
        };
        self.peers.into_iter().flat_map(each).collect()
    }

    /// One rule for all peers that have exactly the same ports; everybody is a rule apart, for whoever looks for it.
    pub(super) fn into_rules(self, widen: &Widen<'_>) -> Vec<Grouped> {
        let mut groups: BTreeMap<(PortList, bool), Members> = BTreeMap::new();
        for (peer, allowed) in widen.peers(self.peers) {
            let Allowed {
                origins: _,
                ports,
                widened,
            } = allowed;
            let ranges = ranges(ports.keys().copied(), widen.port_budget(), widen.rows());
            let list: PortList = ranges.iter().map(|(port, _)| port.clone()).collect();
            let members = groups.entry((list, is_everybody(&peer))).or_default();
            for (port, beyond) in &ranges {
                let part = |kind, beyond| (kind, peer.clone(), port.clone(), Some(beyond));
                members.additions.extend(beyond.map(|beyond| part(Kind::Ports, beyond)));
                members
                    .additions
                    .extend(widened.iter().map(|(kind, beyond)| part(*kind, *beyond)));
            }
            for ((protocol, port), basis) in ports {
                if let Some((range, _)) = ranges.iter().find(|(range, _)| range.takes(protocol, port))
                    && !basis.observed
                {
                    // No edge speaks for this one.
                    let as_well = || Note::Text(format!("{port}/{protocol} as well: name resolution is one unit"));
                    members.notes.extend(basis.additions.contains(&Kind::Dns).then(as_well));
                    let what = |kind: Kind| (kind, peer.clone(), range.clone(), None);
                    members.additions.extend(basis.additions.into_iter().map(what));
                }
                members.notes.extend(basis.notes);
                members.edges.extend(basis.edges);
            }
            members.peers.insert(peer);
        }
        let mut rules: Vec<Grouped> = groups.into_iter().filter_map(grouped).collect();
        rules.sort_by(|a, b| (&a.rule.peers, &a.rule.ports).cmp(&(&b.rule.peers, &b.rule.ports)));
        rules
    }
}

impl Allowed {
    /// Adds what another peer is allowed that this one now stands for as well.
    pub(super) fn absorb(&mut self, other: Self) {
        let Self {
            origins,
            ports,
            widened,
        } = other;
        self.origins.extend(origins);
        self.widened.extend(widened);
        for (port, basis) in ports {
            let Basis {
                notes,
                observed,
                additions,
                edges,
            } = basis;
            let own = self.ports.entry(port).or_default();
            own.notes.extend(notes);
            own.observed |= observed;
            own.additions.extend(additions);
            own.edges.extend(edges);
        }
    }
}

/// Ports of one rule, in ascending order.
type PortList = Vec<PortRule>;

/// What the peers of one rule have in common besides their ports.
#[derive(Default)]
struct Members {
    peers: BTreeSet<Peer>,
    notes: BTreeSet<Note>,
    additions: BTreeSet<Added>,
    edges: BTreeSet<usize>,
}

/// Whether a peer is every address of a family, but for some.
fn is_everybody(peer: &Peer) -> bool {
    match peer {
        Peer::Block { cidr, except: _ } => cidr.length() == 0,
        Peer::Pods { .. } | Peer::Entity(_) => false,
    }
}

/// A rule without peers or without ports would allow everybody or everything, so there is none: `None` instead.
fn grouped(((ports, _), members): ((PortList, bool), Members)) -> Option<Grouped> {
    let Members {
        peers,
        notes,
        additions,
        edges,
    } = members;
    let ports = OneOrMore::new(ports)?;
    let mut rule = Rule::new(Peers::Of(OneOrMore::new(peers)?), Ports::Of(ports));
    rule.notes = lines(&notes);
    Some(Grouped { rule, additions, edges })
}
