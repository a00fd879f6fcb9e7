//! The edges of a recording, judged by a policy set.

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::Flows;
use crate::flow::edge::{Edge, Endpoint};
use crate::flow::governed::{Governed, governed};
use crate::identity::cluster::Cluster;
use crate::identity::{Identity, Workload};
use crate::policy::model::Direction;
use crate::policy::ports::PortSet;
use crate::replay::soundness::pair_verdict;
use crate::semantics::eval::By;

use super::change::{Pair, Reason};
use super::connections::{Absence, Connections, one, pair};
use super::peer::Peer;
use super::universe::Universe;

/// Adds the recorded connections that the set allows, and takes out those that it denies.
pub(super) fn judge(flows: &Flows, universe: &Universe<'_>, allowed: &mut Connections) {
    for edge in flows.edges.iter().filter(|edge| governed(&edge.key) == Governed::Yes) {
        let (pair, ports) = (pair(&edge.key), one(edge.key.port));
        match verdict(edge, universe) {
            None => {
                let known = allowed.known.entry(pair).or_default();
                known.ports = known.ports.union(&ports);
            }
            Some((reason, by)) => absent(allowed.absent.entry(pair).or_default(), ports, reason, by),
        }
    }
    // What is denied between some pods of two workloads and allowed between others is a loss.
    for (pair, absences) in &allowed.absent {
        if let Some(known) = allowed.known.get_mut(pair) {
            for absence in absences {
                known.ports = known.ports.difference(&absence.ports);
            }
        }
    }
    allowed.known.retain(|_, known| !known.ports.is_empty());
}

/// Why an edge does not work under the policies; `None` if it does.
fn verdict(edge: &Edge, universe: &Universe<'_>) -> Option<(Reason, Vec<By>)> {
    let (mut egress, mut ingress, mut unjudged) = (false, false, edge.evidence.pairs.is_empty());
    let mut by = BTreeSet::new();
    for pair in &edge.evidence.pairs {
        let Some(verdict) = pair_verdict(&edge.key, pair, universe.set, universe.world) else {
            unjudged = true;
            continue;
        };
        for (side, denied) in [(verdict.egress, &mut egress), (verdict.ingress, &mut ingress)] {
            if !side.allowed {
                *denied = true;
                by.extend(side.by);
            }
        }
    }
    let reason = match (egress, ingress, unjudged) {
        (true, true, _) => Reason::BothDenied,
        (true, false, _) => Reason::EgressDenied,
        (false, true, _) => Reason::IngressDenied,
        (false, false, true) => Reason::NotJudged,
        (false, false, false) => return None,
    };
    Some((reason, by.into_iter().collect()))
}

fn absent(absences: &mut Vec<Absence>, ports: PortSet, reason: Reason, by: Vec<By>) {
    match absences
        .iter_mut()
        .find(|known| known.reason == reason && known.by == by)
    {
        Some(known) => known.ports = known.ports.union(&ports),
        None => absences.push(Absence { ports, reason, by }),
    }
}

/// The recorded connections of pods on the network of their node, under the name of the node: a rule can only name
/// its addresses.
pub(super) fn aliases(flows: &Flows, cluster: &Cluster) -> BTreeMap<Pair, PortSet> {
    let mut aliases: BTreeMap<Pair, PortSet> = BTreeMap::new();
    for edge in flows.edges.iter().filter(|edge| governed(&edge.key) == Governed::Yes) {
        let own = pair(&edge.key);
        for (from, to) in &edge.evidence.pairs {
            let name = |identity: &Identity, endpoint: &Endpoint, own: &Peer| match identity {
                Identity::Workload(Workload { host_network: true, .. }) => {
                    node_of(endpoint, cluster).map_or_else(|| own.clone(), |name| Peer::Node { name })
                }
                Identity::Workload(_)
                | Identity::Service { .. }
                | Identity::Node { .. }
                | Identity::External { .. }
                | Identity::Unknown { .. } => own.clone(),
            };
            let alias = Pair {
                from: name(&edge.key.from.identity, from, &own.from),
                to: name(&edge.key.to.identity, to, &own.to),
                protocol: own.protocol,
            };
            if alias != own {
                let ports = aliases.entry(alias).or_default();
                *ports = ports.union(&one(edge.key.port));
            }
        }
    }
    aliases
}

fn node_of(endpoint: &Endpoint, cluster: &Cluster) -> Option<String> {
    match endpoint {
        Endpoint::Pod { namespace, name } => {
            let mut pods = cluster.pods.values();
            let pod = pods.find(|pod| pod.host_network && pod.namespace == *namespace && pod.name == *name)?;
            pod.node.clone()
        }
        Endpoint::Address(address) => cluster.node_of(*address).map(str::to_owned),
        Endpoint::Unknown => None,
    }
}

/// The workloads with recorded connections that no policy isolates in a direction.
pub(super) fn unbounded(flows: &Flows, universe: &Universe<'_>) -> BTreeSet<(Workload, Direction)> {
    let mut found = BTreeSet::new();
    for edge in flows.edges.iter().filter(|edge| governed(&edge.key) == Governed::Yes) {
        for peer in [&edge.key.from, &edge.key.to] {
            let Identity::Workload(workload) = &peer.identity else {
                continue;
            };
            for direction in [Direction::Ingress, Direction::Egress] {
                let mut members = universe.members(workload).iter();
                if members.any(|member| universe.is_unbounded(member, direction)) {
                    found.insert((workload.clone(), direction));
                }
            }
        }
    }
    found
}
