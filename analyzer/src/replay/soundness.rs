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
    let mut allowing = None;
    for connection in connections(key, pair, world) {
        let verdict = eval(set, world, &connection);
        if !verdict.allowed() {
            return Some(verdict);
        }
        allowing = Some(verdict);
    }
    allowing
}

/// What policies are asked about one pair of an edge: a connection for each two of their addresses of one family. Where the
/// metadata lacks the address that a pod used, the pod stands there without one: no `ipBlock` matches it then. None if an
/// end of the pair is not in the world or the protocol is not one of policies.
#[must_use]
pub fn connections<'a>(key: &EdgeKey, pair: &(Seen, Seen), world: &'a World) -> Vec<Connection<'a>> {
    let Some(protocol) = Protocol::from_number(key.protocol.0) else {
        return Vec::new();
    };
    let (clients, servers) = (endpoints(&pair.0, world), endpoints(&pair.1, world));
    let mut routes = routes(&clients, &servers);
    if routes.is_empty() {
        let clients: Vec<_> = clients.into_iter().map(without_address).collect();
        let servers: Vec<_> = servers.into_iter().map(without_address).collect();
        routes = self::routes(&clients, &servers);
    }
    let connection = |(from, to)| Connection {
        from,
        to,
        protocol,
        port: key.port,
    };
    routes.into_iter().map(connection).collect()
}

/// Every way between two sets of endpoints that keeps to one address family.
#[must_use]
pub fn routes<'a>(clients: &[Endpoint<'a>], servers: &[Endpoint<'a>]) -> Vec<(Endpoint<'a>, Endpoint<'a>)> {
    let pairs = clients
        .iter()
        .flat_map(|from| servers.iter().map(move |to| (*from, *to)));
    pairs.filter(|(from, to)| same_family(*from, *to)).collect()
}

const fn without_address(end: Endpoint<'_>) -> Endpoint<'_> {
    match end {
        Endpoint::Pod { pod, address: _ } => Endpoint::Pod { pod, address: None },
        Endpoint::Address(_) => end,
    }
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

/// Whether a connection between two endpoints is possible: an address that is not known may be of either family.
#[must_use]
pub fn same_family(from: Endpoint<'_>, to: Endpoint<'_>) -> bool {
    match (from.address(), to.address()) {
        (Some(from), Some(to)) => from.is_ipv4() == to.is_ipv4(),
        (None, _) | (_, None) => true,
    }
}
