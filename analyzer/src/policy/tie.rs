//! Policies of the cluster for which the API has no order, and which decide otherwise.
//!
//! It is looked for in what rules say, whatever pods there are: two selectors meet unless one label tells that they cannot.

use super::cluster::{ClusterKind, ClusterPeer, ClusterPolicy, ClusterRule, Subject};
use super::model::{Direction, Peer, PolicySet, PortMatch, PortRule, Ports};
use super::select::{Requirement, Selector, Test};

/// Pairs of policies of one tier and priority with rules that may match one connection and do otherwise with it; the one that is
/// asked first comes first.
#[must_use]
pub fn ties(set: &PolicySet) -> Vec<(&ClusterPolicy, &ClusterPolicy)> {
    let policies = set.of_cluster();
    let mut ties = Vec::new();
    for (at, first) in policies.iter().enumerate() {
        let behind = policies[at + 1..].iter();
        // They stand in the order of their tiers.
        let beside = behind.take_while(|second| second.tier == first.tier);
        ties.extend(
            beside
                .filter(|second| has_no_order(first, second) && disagree(first, second))
                .map(|second| (first, second)),
        );
    }
    ties
}

/// A BaselineAdminNetworkPolicy has no priority, so that it has no order with any other.
fn has_no_order(first: &ClusterPolicy, second: &ClusterPolicy) -> bool {
    let baseline = |policy: &ClusterPolicy| policy.kind == ClusterKind::BaselineAdmin;
    first.priority == second.priority || baseline(first) || baseline(second)
}

fn disagree(first: &ClusterPolicy, second: &ClusterPolicy) -> bool {
    let of_direction = |direction| {
        let mut pairs = first
            .rules(direction)
            .iter()
            .flat_map(|one| second.rules(direction).iter().map(move |other| (one, other)));
        pairs.any(|(one, other)| rules_disagree(one, other))
    };
    let Subject { namespaces, pods } = &first.subject;
    [Direction::Ingress, Direction::Egress].into_iter().any(of_direction)
        && meet(namespaces, &second.subject.namespaces)
        && meet(pods, &second.subject.pods)
}

fn rules_disagree(one: &ClusterRule, other: &ClusterRule) -> bool {
    let mut peers = one
        .peers
        .iter()
        .flat_map(|one| other.peers.iter().map(move |other| (one, other)));
    one.action != other.action
        && ports_meet(&one.ports, &other.ports)
        && peers.any(|(one, other)| peers_meet(one, other))
}

fn peers_meet(one: &ClusterPeer, other: &ClusterPeer) -> bool {
    match (one, other) {
        (
            ClusterPeer::Plain(Peer::Pods { namespaces, pods }),
            ClusterPeer::Plain(Peer::Pods {
                namespaces: others,
                pods: other_pods,
            }),
        ) => {
            let namespaces = namespaces.as_ref().zip(others.as_ref());
            namespaces.is_none_or(|(one, other)| meet(one, other)) && meet(pods, other_pods)
        }
        (
            ClusterPeer::Plain(Peer::Block { cidr, except: _ }),
            ClusterPeer::Plain(Peer::Block { cidr: other, except: _ }),
        ) => cidr.covers(*other) || other.covers(*cidr),
        // A pod or a node may have any address, and a name may be anybody's.
        (ClusterPeer::Plain(_) | ClusterPeer::Nodes(_) | ClusterPeer::Domains(_), _) => true,
    }
}

fn ports_meet(one: &Ports, other: &Ports) -> bool {
    let (Ports::Of(one), Ports::Of(other)) = (one, other) else {
        return true;
    };
    one.iter().any(|one| other.iter().any(|other| port_meets(one, other)))
}

fn port_meets(one: &PortRule, other: &PortRule) -> bool {
    let numbers = match (&one.port, &other.port) {
        (PortMatch::Range(one), PortMatch::Range(other)) => one.first() <= other.last() && other.first() <= one.last(),
        // A pod may have any number under a name.
        (PortMatch::Any | PortMatch::Range(_) | PortMatch::Named(_), _) => true,
    };
    one.protocol == other.protocol && numbers
}

/// Whether labels may meet both selectors.
fn meet(one: &Selector, other: &Selector) -> bool {
    let mut pairs = one
        .requirements()
        .iter()
        .flat_map(|one| other.requirements().iter().map(move |other| (one, other)));
    pairs.all(|(one, other)| requirements_meet(one, other))
}

fn requirements_meet(one: &Requirement, other: &Requirement) -> bool {
    if one.key != other.key {
        return true;
    }
    match (&one.test, &other.test) {
        (Test::In(one), Test::In(other)) => one.iter().any(|value| other.contains(value)),
        (Test::In(taken), Test::NotIn(refused)) | (Test::NotIn(refused), Test::In(taken)) => {
            taken.iter().any(|value| !refused.contains(value))
        }
        (Test::In(_) | Test::Exists, Test::DoesNotExist) | (Test::DoesNotExist, Test::In(_) | Test::Exists) => false,
        (Test::In(_) | Test::NotIn(_) | Test::Exists | Test::DoesNotExist, _) => true,
    }
}
