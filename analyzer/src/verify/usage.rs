//! Which rules of a policy set a recording needs, which parts of them, and when last.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::time::Time;

use crate::flow::edge::{Edge, EdgeKey};
use crate::policy::cluster::Action;
use crate::policy::model::{Direction, Peer, Peers, Policy, PolicySet, PortRule, Ports, Rule};
use crate::semantics::eval::{By, RuleId};
use crate::semantics::index::{Index, OfCluster, Part};

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
    /// Its peers on those of its ports that only others need, such as `pods app=web on 53/TCP`.
    pub unused_pairs: Vec<String>,
}

impl RuleUse {
    /// Whether all of the rule was used.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.last_seen.is_some()
            && self.unused_peers.is_empty()
            && self.unused_ports.is_empty()
            && self.unused_pairs.is_empty()
    }

    /// For how many nanoseconds the rule was not used when a recording ended; of a dead rule how long the recording was.
    #[must_use]
    pub fn age(&self, start: Time, end: Time) -> i64 {
        let since = self.last_seen.unwrap_or(start);
        end.0.saturating_sub(since.0).max(0)
    }
}

/// The parts of rules that edges needed.
pub(super) struct Usage {
    /// By position of the policy.
    used: BTreeMap<(usize, RuleId), Used>,
    of_cluster: BTreeMap<OfCluster, Used>,
}

struct Used {
    edges: u64,
    last_edge: Option<EdgeKey>,
    last_seen: Time,
    /// Positions of peers and ports.
    parts: BTreeSet<(usize, usize)>,
}

impl Usage {
    pub(super) const fn new() -> Self {
        Self {
            used: BTreeMap::new(),
            of_cluster: BTreeMap::new(),
        }
    }

    /// Notes that these parts allow a connection of an edge. Connections of one edge come one after the other.
    pub(super) fn add(&mut self, edge: &Edge, parts: &[Part]) {
        for part in parts {
            let used = self.used.entry((part.policy, part.rule)).or_insert_with(Used::new);
            used.add(edge);
            used.parts.insert((part.peer, part.port));
        }
    }

    /// Notes that a rule of a policy of the cluster allows a connection of an edge.
    pub(super) fn add_of_cluster(&mut self, edge: &Edge, rule: OfCluster) {
        self.of_cluster.entry(rule).or_insert_with(Used::new).add(edge);
    }

    /// Every rule of the policies of these namespaces; of all if there are none, and then those of the cluster that allow
    /// as well. A rule that denies is not there to be used.
    pub(super) fn rules(&self, set: &PolicySet, index: &Index<'_>, namespaces: &[String]) -> Vec<RuleUse> {
        let asked = |policy: &Policy| namespaces.is_empty() || namespaces.contains(&policy.namespace);
        let mut rules = Vec::new();
        for (position, policy) in set.iter().enumerate().filter(|(_, policy)| asked(policy)) {
            for direction in [Direction::Ingress, Direction::Egress] {
                for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                    let id = RuleId { direction, index };
                    rules.push(rule_use(policy, id, rule, self.used.get(&(position, id))));
                }
            }
        }
        if namespaces.is_empty() {
            rules.extend(self.rules_of_cluster(set, index));
        }
        rules
    }

    fn rules_of_cluster(&self, set: &PolicySet, index: &Index<'_>) -> Vec<RuleUse> {
        let mut rules = Vec::new();
        for (position, policy) in set.of_cluster().iter().enumerate() {
            for direction in [Direction::Ingress, Direction::Egress] {
                let listed = policy.rules(direction).iter().enumerate();
                for (at, _) in listed.filter(|(_, rule)| rule.action == Action::Allow) {
                    let rule = OfCluster {
                        policy: position,
                        rule: RuleId { direction, index: at },
                    };
                    rules.push(unlisted(index.by(rule), self.of_cluster.get(&rule)));
                }
            }
        }
        rules
    }
}

impl Used {
    const fn new() -> Self {
        Self {
            edges: 0,
            last_edge: None,
            last_seen: Time::MIN,
            parts: BTreeSet::new(),
        }
    }

    fn add(&mut self, edge: &Edge) {
        if self.last_edge.as_ref() != Some(&edge.key) {
            self.edges += 1;
            self.last_edge = Some(edge.key.clone());
        }
        self.last_seen = self.last_seen.max(edge.evidence.last_seen);
    }
}

/// How a rule was used, without what of it was not.
fn unlisted(by: By, used: Option<&Used>) -> RuleUse {
    RuleUse {
        by,
        edges: used.map_or(0, |used| used.edges),
        last_seen: used.map(|used| used.last_seen),
        unused_peers: Vec::new(),
        unused_ports: Vec::new(),
        unused_pairs: Vec::new(),
    }
}

fn rule_use(policy: &Policy, id: RuleId, rule: &Rule, used: Option<&Used>) -> RuleUse {
    let mut found = unlisted(By::of(policy, Some((id, rule))), used);
    let Some(Used { parts, .. }) = used else { return found };
    let (peers, ports) = (peers(rule), ports(rule));
    let needed_peers: BTreeSet<usize> = parts.iter().map(|(peer, _)| *peer).collect();
    let needed_ports: BTreeSet<usize> = parts.iter().map(|(_, port)| *port).collect();
    for (at, peer) in peers.iter().enumerate() {
        if !needed_peers.contains(&at) {
            found.unused_peers.push(peer.to_string());
            continue;
        }
        for (beside, port) in ports.iter().enumerate() {
            if needed_ports.contains(&beside) && !parts.contains(&(at, beside)) {
                found.unused_pairs.push(format!("{peer} on {port}"));
            }
        }
    }
    let unused = ports.iter().enumerate().filter(|(at, _)| !needed_ports.contains(at));
    found.unused_ports.extend(unused.map(|(_, port)| port.to_string()));
    found
}

/// The peers that a rule lists, by their positions.
fn peers(rule: &Rule) -> Vec<&Peer> {
    match &rule.peers {
        Peers::Any => Vec::new(),
        Peers::Of(listed) => listed.iter().collect(),
    }
}

/// The ports that a rule lists, by their positions.
fn ports(rule: &Rule) -> Vec<&PortRule> {
    match &rule.ports {
        Ports::Any => Vec::new(),
        Ports::Of(listed) => listed.iter().collect(),
    }
}
