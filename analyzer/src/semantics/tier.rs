//! What policies of the cluster say to one connection: nested loops straight from the API text.
//!
//! Source: kubernetes-sigs/network-policy-api, field docs of `apis/v1alpha2/clusternetworkpolicy_types.go` (v0.2.0) and
//! `apis/v1alpha1/adminnetworkpolicy_types.go` (v0.1.7). Where they leave room, these are the properties:
//!
//! 1. Of a tier the first rule that matches decides: by the priority of policies, then by the order of rules in one. Policies of
//!    equal priority, for which the API has no order, are asked by kind and name.
//! 2. `Pass` ends a tier. Behind the tier `Admin` come NetworkPolicies, which always decide for pods that they isolate, and
//!    behind those the tier `Baseline`. What no tier decides is allowed.
//! 3. Pods on the network of their node are neither subject nor peers. `networks` match whatever has the address, pods
//!    included, and `nodes` whatever has the address of a node.
//! 4. A port by name is that of any protocol in a ClusterNetworkPolicy, whose field has none.

use crate::policy::cluster::{Action, ClusterPeer, ClusterPolicy, ClusterRule, Tier};
use crate::policy::model::{Direction, PolicySet};

use super::eval::{By, Connection, RuleId, plain_peer_matches, ports_match};
use super::world::{Endpoint, Pod, World};

/// A rule of a policy of the cluster, the first that matches in its tier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision<'s> {
    pub(super) policy: &'s ClusterPolicy,
    pub(super) rule: &'s ClusterRule,
    pub(super) id: RuleId,
}

impl Decision<'_> {
    pub(super) fn by(&self) -> By {
        By {
            kind: self.policy.kind.name(),
            namespace: String::new(),
            name: self.policy.name.clone(),
            rule: Some(self.id),
            source: self.rule.source.clone().or_else(|| self.policy.source.clone()),
        }
    }
}

/// The rule of a tier that decides for a pod; `None` if none matches.
pub(super) fn decision<'s>(
    set: &'s PolicySet,
    tier: Tier,
    world: &World,
    (subject, peer): (&Pod, Endpoint<'_>),
    connection: &Connection<'_>,
    direction: Direction,
) -> Option<Decision<'s>> {
    for policy in set.of_cluster() {
        if policy.tier != tier || !selects(policy, world, subject) {
            continue;
        }
        for (index, rule) in policy.rules(direction).iter().enumerate() {
            if matches(rule, world, peer, connection) {
                let id = RuleId { direction, index };
                return Some(Decision { policy, rule, id });
            }
        }
    }
    None
}

/// Whether a policy is about a pod, which policies can select.
#[must_use]
pub fn selects(policy: &ClusterPolicy, world: &World, subject: &Pod) -> bool {
    let labels = world.namespace_labels(&subject.namespace);
    labels.is_some_and(|labels| policy.subject.namespaces.matches(labels))
        && policy.subject.pods.matches(&subject.labels)
}

/// The policies of the cluster that deny a pod something in a direction, with every rule that does.
#[must_use]
pub fn denying(set: &PolicySet, world: &World, subject: &Pod, direction: Direction) -> Vec<By> {
    let mut denying = Vec::new();
    for policy in set.of_cluster().iter().filter(|policy| selects(policy, world, subject)) {
        let rules = policy.rules(direction).iter().enumerate();
        for (index, rule) in rules.filter(|(_, rule)| rule.action == Action::Deny) {
            let id = RuleId { direction, index };
            denying.push(Decision { policy, rule, id }.by());
        }
    }
    denying
}

/// Whether a rule is about a connection.
pub(super) fn matches(rule: &ClusterRule, world: &World, peer: Endpoint<'_>, connection: &Connection<'_>) -> bool {
    let mut peers = rule.peers.iter();
    peers.any(|listed| peer_matches(listed, rule, world, peer)) && ports_match(&rule.ports, connection)
}

fn peer_matches(listed: &ClusterPeer, rule: &ClusterRule, world: &World, peer: Endpoint<'_>) -> bool {
    match listed {
        ClusterPeer::Plain(listed) => plain_peer_matches(listed, None, world, peer),
        ClusterPeer::Nodes(nodes) => {
            rule.takes_every_node(nodes) && peer.address().is_some_and(|address| world.is_node(address))
        }
        ClusterPeer::Domains(_) => false,
    }
}
