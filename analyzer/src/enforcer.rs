//! Which rules of a policy set network plugins read differently from the API's text.
//!
//! What each plugin reads differently is in [`crate::policy::profile`], with sources in `analyzer/CNI.md`.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::ParallelIterator as _;
use rayon::slice::ParallelSlice as _;

use crate::flow::edge::Edge;
use crate::flow::governed::{Governed, governed};
use crate::identity::cluster::Cluster;
use crate::policy::model::{Direction, Peer, Peers, Policy, PolicySet, PortMatch, Ports, Rule};
use crate::policy::ports::Protocol;
use crate::policy::profile::{Aspect, Profile};
use crate::replay::soundness::connections;
use crate::semantics::eval::{Connection, RuleId};
use crate::semantics::index::{Index, Part};
use crate::semantics::world::{Endpoint, World};
use crate::synthesis::enforcer::{Front, fronts};

/// Edges that are asked for at a time.
const CHUNK: usize = 1_024;

/// Rules that a plugin reads differently, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The plugin.
    pub profile: Profile,
    /// What it reads differently.
    pub aspect: Aspect,
    /// The rules, by policy and position: `shop/web egress/0`.
    pub rules: Vec<String>,
}

/// What plugins read differently, by plugin and aspect.
#[must_use]
pub fn differences(set: &PolicySet, edges: &[Edge], cluster: &Cluster, world: &World) -> Vec<Difference> {
    let mut found: BTreeMap<Aspect, BTreeSet<(usize, RuleId)>> = BTreeMap::new();
    for (position, policy) in set.iter().enumerate() {
        for (rule_id, rule) in rules(policy) {
            for aspect in of_rule(rule, world) {
                found.entry(aspect).or_default().insert((position, rule_id));
            }
        }
    }
    found.insert(Aspect::ServiceAddress, through_services(set, edges, cluster, world));
    let name = |(position, rule): &(usize, RuleId)| {
        let policy = set.policies().get(*position)?;
        Some(format!("{}/{} {rule}", policy.namespace, policy.name))
    };
    let mut differences = Vec::new();
    for profile in Profile::ALL {
        for &aspect in profile.differs() {
            let rules: Vec<String> = found.get(&aspect).into_iter().flatten().filter_map(name).collect();
            if !rules.is_empty() {
                differences.push(Difference { profile, aspect, rules });
            }
        }
    }
    differences
}

fn rules(policy: &Policy) -> impl Iterator<Item = (RuleId, &Rule)> {
    let both = [Direction::Ingress, Direction::Egress].into_iter();
    both.flat_map(|direction| {
        let rules = policy.rules(direction).unwrap_or_default().iter().enumerate();
        rules.map(move |(index, rule)| (RuleId { direction, index }, rule))
    })
}

/// What in a rule itself is read differently.
fn of_rule(rule: &Rule, world: &World) -> BTreeSet<Aspect> {
    let mut aspects = BTreeSet::new();
    if let Peers::Of(listed) = &rule.peers {
        let is_node = |peer: &Peer| match peer {
            Peer::Block { cidr, except: _ } => {
                let mut addresses = world.nodes().values().flatten();
                cidr.length() > 0 && addresses.any(|address| cidr.contains(*address))
            }
            Peer::Pods { .. } | Peer::Entity(_) => false,
        };
        aspects.extend(listed.iter().any(is_node).then_some(Aspect::NodeBlock));
    }
    if let Ports::Of(listed) = &rule.ports {
        for port in listed {
            match &port.port {
                PortMatch::Range(range) if range.first() != range.last() => {
                    aspects.insert(Aspect::EndPort);
                }
                PortMatch::Named(_) => {
                    aspects.extend([Aspect::NamedPort, Aspect::AnyPort]);
                }
                PortMatch::Range(_) | PortMatch::Any => {}
            }
            if port.protocol == Protocol::Sctp {
                aspects.extend([Aspect::Sctp, Aspect::UnprovenSctp]);
            }
        }
    }
    aspects
}

/// Egress rules for connections through a Service whose address no rule allows, and which no plugin finds by itself.
fn through_services(set: &PolicySet, edges: &[Edge], cluster: &Cluster, world: &World) -> BTreeSet<(usize, RuleId)> {
    let index = Index::new(set, world);
    let through = |edge: &&Edge| governed(&edge.key) == Governed::Yes && !edge.evidence.services.is_empty();
    let asked: Vec<&Edge> = edges.iter().filter(through).collect();
    let hidden = asked.par_chunks(CHUNK).map(|edges| {
        let of_edge = |edge: &&Edge| hidden(edge, set, &index, cluster, world);
        edges.iter().flat_map(of_edge).collect::<BTreeSet<_>>()
    });
    hidden.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// Those for the connections of one edge.
fn hidden(
    edge: &Edge,
    set: &PolicySet,
    index: &Index<'_>,
    cluster: &Cluster,
    world: &World,
) -> BTreeSet<(usize, RuleId)> {
    let mut hidden = BTreeSet::new();
    let fronts = fronts(edge, cluster);
    let pairs = edge.evidence.pairs.iter().take(1);
    for connection in pairs.flat_map(|pair| connections(&edge.key, pair, world)) {
        let parts = index.side(&connection, Direction::Egress).parts;
        for front in &fronts {
            let at_front = Connection {
                to: Endpoint::Address(front.address),
                port: front.port,
                ..connection
            };
            let allowed = || index.side(&at_front, Direction::Egress).basis.allows();
            let found = |part: &Part| is_found(set, *part, front);
            if !parts.iter().any(found) && !allowed() {
                hidden.extend(parts.iter().map(|part| (part.policy, part.rule)));
            }
        }
    }
    hidden
}

/// Whether the Service is found by the selector of this part's peer.
fn is_found(set: &PolicySet, part: Part, front: &Front<'_>) -> bool {
    let policy = set.policies().get(part.policy);
    let rule = policy.and_then(|policy| policy.rules(part.rule.direction)?.get(part.rule.index));
    rule.is_some_and(|rule| match &rule.peers {
        Peers::Any => true,
        Peers::Of(listed) => match listed.iter().nth(part.peer) {
            Some(Peer::Pods { namespaces: _, pods }) => front.is_found_by(pods),
            Some(Peer::Block { .. } | Peer::Entity(_)) | None => false,
        },
    })
}

#[cfg(test)]
mod tests {
    use flowtape_schemas::metadata::ClusterRows;

    use super::differences;
    use crate::findings::Findings;
    use crate::identity::cluster::Cluster;
    use crate::parse::kubernetes::parse;
    use crate::semantics::world::World;

    /// Which plugins read a rule with this port differently, and why.
    fn told(port: &str) -> Vec<(&'static str, &'static str)> {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: web, namespace: shop}}\n\
             spec: {{podSelector: {{}}, ingress: [{{from: [{{podSelector: {{}}}}], ports: [{port}]}}]}}\n"
        );
        let set = parse([("p.yaml", text.as_str())]).map(|parsed| parsed.set);
        let set = set.unwrap_or_else(|problems| panic!("{problems}"));
        let cluster = Cluster::new(&ClusterRows::default(), &mut Findings::default());
        let found = differences(&set, &[], &cluster, &World::default());
        assert!(found.iter().all(|one| one.rules == ["shop/web ingress/0"]));
        found
            .iter()
            .map(|one| (one.profile.word(), one.aspect.word()))
            .collect()
    }

    #[test]
    fn names_ranges_and_protocols_are_read_differently_and_plain_ports_are_not() {
        assert_eq!(told("{port: 80}"), []);
        assert_eq!(told("{port: 80, endPort: 80}"), []);
        assert_eq!(
            told("{port: http}"),
            [
                ("aws-vpc-cni", "named-port"),
                ("weave", "named-port"),
                ("ovn-kubernetes", "any-port")
            ]
        );
        assert_eq!(
            told("{port: 80, endPort: 82}"),
            [("cilium", "end-port"), ("weave", "end-port")]
        );
        assert_eq!(
            told("{port: 3868, protocol: SCTP}"),
            [("cilium", "sctp"), ("kube-router", "unproven-sctp")]
        );
    }
}
