//! The proof of soundness: every recorded connection that policies govern is allowed by the set, judged by the naive
//! evaluator, pod by pod and address by address.

use std::collections::BTreeSet;

use crate::flow::edge::{Edge, EdgeKey, Endpoint as Seen};
use crate::flow::governed::{Governed, governed};
use crate::policy::model::PolicySet;
use crate::policy::ports::Protocol;
use crate::semantics::eval::{Connection, Verdict, eval};
use crate::semantics::world::{Endpoint, World};

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
    let protocol = Protocol::from_number(key.protocol.0)?;
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
