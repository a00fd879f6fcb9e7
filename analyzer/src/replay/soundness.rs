//! The proof of soundness: every recorded connection that policies govern is allowed by the set, judged by the naive
//! evaluator, pod by pod and address by address.

use std::collections::BTreeSet;

use flowtape_schemas::node::Outcome;

use crate::flow::edge::{Edge, EdgeKey, Endpoint as Seen, Transport};
use crate::identity::{Identity, Role};
use crate::policy::model::PolicySet;
use crate::policy::ports::Protocol;
use crate::semantics::eval::{Connection, Verdict, eval};
use crate::semantics::world::{Endpoint, World};

/// What policies have to do with an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Governed {
    /// Policies decide whether it works, and a generated set must allow it.
    Yes,
    /// No policy can deny it: it comes from the node of the server's pod.
    Exempt,
    /// It was not established, so no policy is asked to allow it.
    NotEstablished,
    /// It cannot be decided: a peer is unknown, or a Service without known backends.
    Undecided,
}

/// What policies have to do with an edge.
#[must_use]
pub fn governed(key: &EdgeKey) -> Governed {
    let EdgeKey {
        from,
        to,
        protocol,
        port: _,
        outcome,
    } = key;
    let established = match outcome {
        Outcome::Established => true,
        // Nothing tells a lost datagram from a received one, so both need a rule.
        Outcome::Unknown => *protocol == Transport::UDP,
        Outcome::Refused | Outcome::Timeout | Outcome::Unreachable => false,
    };
    if !established {
        return Governed::NotEstablished;
    }
    if matches!(from.role, Some(Role::OwnNode | Role::Kubelet)) {
        return Governed::Exempt;
    }
    let unknown = |identity: &Identity| matches!(identity, Identity::Unknown { .. } | Identity::Service { .. });
    if unknown(&from.identity) || unknown(&to.identity) || transport(*protocol).is_none() {
        return Governed::Undecided;
    }
    Governed::Yes
}

/// The protocol as policies know it; `None` for one that they cannot name.
#[must_use]
pub fn transport(protocol: Transport) -> Option<Protocol> {
    match protocol {
        Transport::TCP => Some(Protocol::Tcp),
        Transport::UDP => Some(Protocol::Udp),
        Transport::SCTP => Some(Protocol::Sctp),
        Transport(_) => None,
    }
}

/// A recorded connection that a policy set would deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Its edge.
    pub edge: EdgeKey,
    /// Who would be denied whom.
    pub pair: (Seen, Seen),
    /// Why.
    pub verdict: Verdict,
}

/// Every recorded connection of these edges that the set would deny; of several pairs of one edge the first.
/// `left_out` are edges that the caller knows to be denied and has reported.
#[must_use]
pub fn denied(edges: &[Edge], set: &PolicySet, world: &World, left_out: &BTreeSet<EdgeKey>) -> Vec<Denied> {
    let asked = |edge: &&Edge| governed(&edge.key) == Governed::Yes && !left_out.contains(&edge.key);
    edges
        .iter()
        .filter(asked)
        .filter_map(|edge| denied_pair(edge, set, world))
        .collect()
}

fn denied_pair(edge: &Edge, set: &PolicySet, world: &World) -> Option<Denied> {
    edge.evidence.pairs.iter().find_map(|pair| {
        let verdict = pair_verdict(&edge.key, pair, set, world)?;
        (!verdict.allowed()).then(|| Denied {
            edge: edge.key.clone(),
            pair: pair.clone(),
            verdict,
        })
    })
}

/// The verdict on one pair of an edge: the first that denies over all addresses in use, otherwise one that allows.
/// `None` if an end of the pair is not in the world or the protocol is not one of policies.
#[must_use]
pub fn pair_verdict(key: &EdgeKey, pair: &(Seen, Seen), set: &PolicySet, world: &World) -> Option<Verdict> {
    let protocol = transport(key.protocol)?;
    let mut allowing = None;
    for from in endpoints(&pair.0, world) {
        for to in endpoints(&pair.1, world) {
            if !same_family(from, to) {
                continue;
            }
            let verdict = eval(
                set,
                world,
                &Connection {
                    from,
                    to,
                    protocol,
                    port: key.port,
                },
            );
            if !verdict.allowed() {
                return Some(verdict);
            }
            allowing = Some(verdict);
        }
    }
    allowing
}

fn endpoints<'a>(seen: &Seen, world: &'a World) -> Vec<Endpoint<'a>> {
    match seen {
        Seen::Pod { namespace, name } => world
            .pod(namespace, name)
            .map_or_else(Vec::new, |pod| world.endpoints(pod)),
        Seen::Address(address) => vec![Endpoint::Address(address.ip())],
        Seen::Unknown => Vec::new(),
    }
}

fn same_family(from: Endpoint<'_>, to: Endpoint<'_>) -> bool {
    match (from.address(), to.address()) {
        (Some(from), Some(to)) => from.is_ipv4() == to.is_ipv4(),
        (None, _) | (_, None) => true,
    }
}
