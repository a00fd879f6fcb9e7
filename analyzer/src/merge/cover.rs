//! Which rules visibly allow what others allow. Judged by what is written alone, without any pods: a selector covers
//! another that asks for the same and more. What is not seen here is not taken to be covered.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::model::{Peer, Peers, PortMatch, PortRule, Ports, Rule};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::PortRange;
use crate::policy::select::Selector;

/// One peer and one port of a rule; `None` is every one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) peer: Option<Peer>,
    pub(super) port: Option<PortRule>,
}

/// Every peer of a rule with every port of it.
pub(super) fn parts(rule: &Rule) -> Vec<Part> {
    let peers: Vec<Option<&Peer>> = match &rule.peers {
        Peers::Any => vec![None],
        Peers::Of(listed) => listed.iter().map(Some).collect(),
    };
    let ports: Vec<Option<&PortRule>> = match &rule.ports {
        Ports::Any => vec![None],
        Ports::Of(listed) => listed.iter().map(Some).collect(),
    };
    let part = |peer: Option<&Peer>, port: Option<&PortRule>| Part {
        peer: peer.cloned(),
        port: port.cloned(),
    };
    peers
        .iter()
        .flat_map(|peer| ports.iter().map(move |port| part(*peer, *port)))
        .collect()
}

/// Whether everything that `narrow` allows, `wide` visibly allows.
pub(super) fn covers(wide: &Part, narrow: &Part) -> bool {
    let peer = match (&wide.peer, &narrow.peer) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => peer_covers(wide, narrow),
    };
    let port = match (&wide.port, &narrow.port) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => port_covers(wide, narrow),
    };
    peer && port
}

fn peer_covers(wide: &Peer, narrow: &Peer) -> bool {
    match (wide, narrow) {
        (
            Peer::Pods { namespaces, pods },
            Peer::Pods {
                namespaces: narrow_namespaces,
                pods: narrow_pods,
            },
        ) => {
            let namespaces = match (namespaces, narrow_namespaces) {
                (None, None) => true,
                (Some(wide), Some(narrow)) => selector_covers(wide, narrow),
                // A selector of all namespaces has the policy's own among them.
                (Some(wide), None) => wide.is_everything(),
                (None, Some(_)) => false,
            };
            namespaces && selector_covers(pods, narrow_pods)
        }
        (
            Peer::Block { cidr, except },
            Peer::Block {
                cidr: narrow,
                except: narrow_except,
            },
        ) => {
            let left_out = |hole| narrow_except.iter().any(|other| other.covers(hole));
            cidr.covers(*narrow)
                && except.iter().all(|hole| {
                    let meets = hole.covers(*narrow) || narrow.covers(*hole);
                    !meets || left_out(*hole)
                })
        }
        (Peer::Entity(wide), Peer::Entity(narrow)) => wide == narrow,
        (Peer::Pods { .. } | Peer::Block { .. } | Peer::Entity(_), _) => false,
    }
}

/// Whether everything that `narrow` selects, `wide` visibly selects: it asks for a part of the same.
#[must_use]
pub(super) fn selector_covers(wide: &Selector, narrow: &Selector) -> bool {
    let asked = narrow.requirements();
    wide.requirements()
        .iter()
        .all(|requirement| asked.binary_search(requirement).is_ok())
}

fn port_covers(wide: &PortRule, narrow: &PortRule) -> bool {
    let range = |port: &PortMatch| match port {
        PortMatch::Any => Some(PortRange::ALL),
        PortMatch::Range(range) => Some(*range),
        PortMatch::Named(_) => None,
    };
    let numbers = match (range(&wide.port), range(&narrow.port)) {
        (Some(wide), Some(narrow)) => wide.contains(narrow.first()) && wide.contains(narrow.last()),
        (Some(wide), None) => wide == PortRange::ALL,
        (None, _) => wide.port == narrow.port,
    };
    wide.protocol == narrow.protocol && numbers
}

/// How much of a rule is needed by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// All of it, as far as it can be told.
    Whole,
    /// A part; these are the others.
    Part(Vec<Part>),
    /// Nothing.
    None,
}

/// How much of `rule` is needed for what `wanted` allow. A port by name may be any, so it counts as needed if its peer is.
pub(super) fn need<'a>(rule: &Rule, wanted: impl IntoIterator<Item = &'a Rule>) -> Need {
    let wanted: Vec<Part> = wanted.into_iter().flat_map(parts).collect();
    let needed = |part: &Part| {
        let named = part
            .port
            .as_ref()
            .is_some_and(|port| matches!(port.port, PortMatch::Named(_)));
        let judged = Part {
            peer: part.peer.clone(),
            port: part.port.clone().filter(|_| !named),
        };
        wanted.iter().any(|wanted| covers(&judged, wanted))
    };
    let all = parts(rule);
    let unused: Vec<Part> = all.iter().filter(|part| !needed(part)).cloned().collect();
    if unused.is_empty() {
        Need::Whole
    } else if unused.len() == all.len() {
        Need::None
    } else {
        Need::Part(unused)
    }
}

/// What `wanted` allow and `have` do not, as rules. A part of a rule has the notes of those `apart` that it covers.
pub(super) fn missing<'a>(wanted: &[Rule], apart: &[Rule], have: impl IntoIterator<Item = &'a Rule>) -> Vec<Rule> {
    let have: Vec<Part> = have.into_iter().flat_map(parts).collect();
    wanted.iter().flat_map(|rule| missing_of(rule, apart, &have)).collect()
}

fn missing_of(rule: &Rule, apart: &[Rule], have: &[Part]) -> Vec<Rule> {
    let all = parts(rule);
    let missing: Vec<&Part> = all
        .iter()
        .filter(|part| !have.iter().any(|have| covers(have, part)))
        .collect();
    if missing.len() == all.len() {
        return vec![rule.clone()];
    }
    let mut by_peer: BTreeMap<Option<Peer>, BTreeSet<Option<PortRule>>> = BTreeMap::new();
    for part in missing {
        by_peer.entry(part.peer.clone()).or_default().insert(part.port.clone());
    }
    let mut by_ports: BTreeMap<BTreeSet<Option<PortRule>>, BTreeSet<Option<Peer>>> = BTreeMap::new();
    for (peer, ports) in by_peer {
        by_ports.entry(ports).or_default().insert(peer);
    }
    let rule_of = |(ports, peers): (BTreeSet<Option<PortRule>>, BTreeSet<Option<Peer>>)| {
        // A rule has either all peers or a list of them, so a mixture of both cannot come up here.
        let peers = match OneOrMore::new(peers.into_iter().flatten()) {
            Some(listed) => Peers::Of(listed),
            None => Peers::Any,
        };
        let ports = match OneOrMore::new(ports.into_iter().flatten()) {
            Some(listed) => Ports::Of(listed),
            None => Ports::Any,
        };
        let part = Rule::new(peers, ports);
        Rule {
            notes: notes_about(&part, apart),
            ..part
        }
    };
    by_ports.into_iter().map(rule_of).collect()
}

/// What is noted of the rules that a rule covers.
fn notes_about(rule: &Rule, apart: &[Rule]) -> Vec<String> {
    let wide = parts(rule);
    let covered = |one: &&Rule| {
        let mut narrow = parts(one).into_iter();
        narrow.all(|narrow| wide.iter().any(|wide| covers(wide, &narrow)))
    };
    let notes: BTreeSet<&String> = apart.iter().filter(covered).flat_map(|one| &one.notes).collect();
    notes.into_iter().cloned().collect()
}
