//! Which rules of a policy set a recording needs, which parts of them, and when last.

use std::collections::BTreeMap;

use flowtape_schemas::time::Time;

use super::part::{peer_text, port_text};
use crate::flow::edge::{Edge, EdgeKey};
use crate::policy::model::{Direction, Peers, Policy, PolicySet, Ports, Rule};
use crate::policy::one_or_more::OneOrMore;
use crate::semantics::eval::{Basis, By, Connection, RuleId, side};
use crate::semantics::world::World;

/// How a recording used one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleUse {
    /// The rule.
    pub by: By,
    /// Recorded edges that it allows.
    pub edges: u64,
    /// When the last of them was seen; `None` for a dead rule.
    pub last_seen: Option<Time>,
    /// Its peers that nothing recorded needs, in words; none for a dead rule, which needs no list.
    pub unused_peers: Vec<String>,
    /// Its ports that nothing recorded needs, such as `53/TCP`.
    pub unused_ports: Vec<String>,
}

impl RuleUse {
    /// Whether all of the rule was used.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.last_seen.is_some() && self.unused_peers.is_empty() && self.unused_ports.is_empty()
    }

    /// For how many nanoseconds the rule was not used when a recording ended; of a dead rule how long the recording was.
    #[must_use]
    pub fn age(&self, start: Time, end: Time) -> i64 {
        let since = self.last_seen.unwrap_or(start);
        end.0.saturating_sub(since.0).max(0)
    }
}

/// The connections that each rule allowed.
pub(super) struct Usage<'w> {
    used: BTreeMap<(String, String, RuleId), Used<'w>>,
}

struct Used<'w> {
    edges: u64,
    last_edge: Option<EdgeKey>,
    last_seen: Time,
    connections: Vec<Connection<'w>>,
}

impl<'w> Usage<'w> {
    pub(super) const fn new() -> Self {
        Self { used: BTreeMap::new() }
    }

    /// Notes that these rules allow a connection of an edge. Connections of one edge come one after the other.
    pub(super) fn add(&mut self, edge: &Edge, connection: &Connection<'w>, by: &[By]) {
        for one in by {
            let Some(rule) = one.rule else { continue };
            let key = (one.namespace.clone(), one.name.clone(), rule);
            let used = self.used.entry(key).or_insert_with(|| Used {
                edges: 0,
                last_edge: None,
                last_seen: Time::MIN,
                connections: Vec::new(),
            });
            if used.last_edge.as_ref() != Some(&edge.key) {
                used.edges += 1;
                used.last_edge = Some(edge.key.clone());
            }
            used.last_seen = used.last_seen.max(edge.evidence.last_seen);
            used.connections.push(*connection);
        }
    }

    /// Every rule of the policies of these namespaces; of all if there are none.
    pub(super) fn rules(&self, set: &PolicySet, world: &World, namespaces: &[String]) -> Vec<RuleUse> {
        let asked = |policy: &&Policy| namespaces.is_empty() || namespaces.contains(&policy.namespace);
        let mut rules = Vec::new();
        for policy in set.iter().filter(asked) {
            for direction in [Direction::Ingress, Direction::Egress] {
                for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                    rules.push(self.rule(policy, RuleId { direction, index }, rule, world));
                }
            }
        }
        rules
    }

    fn rule(&self, policy: &Policy, id: RuleId, rule: &Rule, world: &World) -> RuleUse {
        let by = By {
            kind: "NetworkPolicy",
            namespace: policy.namespace.clone(),
            name: policy.name.clone(),
            rule: Some(id),
            source: rule.source.clone().or_else(|| policy.source.clone()),
        };
        let Some(used) = self.used.get(&(policy.namespace.clone(), policy.name.clone(), id)) else {
            return RuleUse {
                by,
                edges: 0,
                last_seen: None,
                unused_peers: Vec::new(),
                unused_ports: Vec::new(),
            };
        };
        let is_unused = |part: &Rule| {
            let alone = alone(policy, id.direction, part);
            let matches = |connection| side(&alone, world, connection, id.direction).basis == Basis::Rule;
            !used.connections.iter().any(matches)
        };
        let mut unused_peers = Vec::new();
        if let Peers::Of(peers) = &rule.peers {
            for peer in peers {
                let part = Rule::new(Peers::Of(OneOrMore::one(peer.clone())), rule.ports.clone());
                unused_peers.extend(is_unused(&part).then(|| peer_text(peer)));
            }
        }
        let mut unused_ports = Vec::new();
        if let Ports::Of(ports) = &rule.ports {
            for port in ports {
                let part = Rule::new(rule.peers.clone(), Ports::Of(OneOrMore::one(port.clone())));
                unused_ports.extend(is_unused(&part).then(|| port_text(port)));
            }
        }
        RuleUse {
            by,
            edges: used.edges,
            last_seen: Some(used.last_seen),
            unused_peers,
            unused_ports,
        }
    }
}

/// A policy with nothing but one rule.
fn alone(policy: &Policy, direction: Direction, rule: &Rule) -> PolicySet {
    let rules = Some(vec![rule.clone()]);
    let (ingress, egress) = match direction {
        Direction::Ingress => (rules, None),
        Direction::Egress => (None, rules),
    };
    let policy = Policy {
        ingress,
        egress,
        ..policy.clone()
    };
    PolicySet::new([policy]).expect("one policy that isolates one direction is a set")
}
