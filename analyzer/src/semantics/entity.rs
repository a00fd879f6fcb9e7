//! Who is meant by what NetworkPolicy has no word for: nodes, the API server, everybody outside, and DNS names.
//!
//! Source: cilium/cilium `pkg/policy/api/entity.go` and `Documentation/security/policy/language.rst` (v1.18): a prefix or a name
//! matches what is outside the cluster only, and nodes and the API server are known by what they are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::policy::model::{Entity, Peer, Peers, PolicySet};

use super::world::{Endpoint, World};

/// Whether an end of a connection is meant.
pub(super) fn matches(entity: &Entity, world: &World, peer: Endpoint<'_>) -> bool {
    if peer.selectable_pod().is_some() {
        return false;
    }
    let address = peer.address();
    match entity {
        Entity::Nodes => is_node(world, peer),
        Entity::ApiServer => address.is_some_and(|address| world.api_server().contains(&address)),
        Entity::Outside { cidr, except } => {
            let inside = |address: IpAddr| cidr.contains(address) && !except.iter().any(|hole| hole.contains(address));
            !is_node(world, peer) && address.is_some_and(inside)
        }
        Entity::Name(name) => {
            let known = |address: IpAddr| world.addresses_of(name).any(|one| one == address);
            !is_node(world, peer) && address.is_some_and(known)
        }
    }
}

/// Whether an end is a node, or is on the network of one.
fn is_node(world: &World, peer: Endpoint<'_>) -> bool {
    match peer {
        Endpoint::Pod { pod, address: _ } => pod.host_network,
        Endpoint::Address(address) => world.is_node(address),
    }
}

/// Whom rules of a set name although nobody in the world is known to be that, each with the number of such rules.
#[must_use]
pub fn not_known<'s>(set: &'s PolicySet, world: &World) -> BTreeMap<&'s Entity, u64> {
    let mut found = BTreeMap::new();
    for (_, rule) in set.rules() {
        let Peers::Of(listed) = &rule.peers else { continue };
        for peer in listed {
            let Peer::Entity(entity) = peer else { continue };
            let known = match entity {
                Entity::Outside { .. } => true,
                Entity::Nodes => !world.nodes().is_empty() || world.pods().any(|pod| pod.host_network),
                Entity::ApiServer => !world.api_server().is_empty(),
                Entity::Name(name) => world.addresses_of(name).next().is_some(),
            };
            if !known {
                *found.entry(entity).or_default() += 1;
            }
        }
    }
    found
}

/// The single addresses that an entity tells apart from those around them.
pub(super) fn addresses(entity: &Entity, world: &World) -> Vec<IpAddr> {
    let nodes = world.nodes().values().flatten().copied();
    match entity {
        Entity::Nodes | Entity::Outside { .. } => nodes.collect(),
        Entity::ApiServer => world.api_server().iter().copied().collect(),
        Entity::Name(name) => nodes.chain(world.addresses_of(name)).collect(),
    }
}
