//! Who is meant by what NetworkPolicy has no word for: nodes, the API server, everybody outside, and DNS names.
//!
//! Source: cilium/cilium `pkg/policy/api/entity.go` and `Documentation/security/policy/language.rst` (v1.18): a prefix or a name
//! matches what is outside the cluster only, and nodes and the API server are known by what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::policy::kind::PolicyKind;
use crate::policy::model::{Entity, Peer, Peers, Policy, PolicySet, Rule};

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

/// How many rules of NetworkPolicies name addresses by prefix, however that is read.
#[must_use]
pub fn rules_by_prefix(set: &PolicySet) -> u64 {
    let by_prefix = |(policy, rule): &(&Policy, &Rule)| match &rule.peers {
        Peers::Of(listed) if policy.kind == PolicyKind::NetworkPolicy => listed
            .iter()
            .any(|peer| matches!(peer, Peer::Block { .. } | Peer::Entity(Entity::Outside { .. }))),
        Peers::Any | Peers::Of(_) => false,
    };
    set.rules().filter(by_prefix).count() as u64
}

/// Whether some prefix of a rule holds the address of a pod with a network of its own, so that it matters whether it matches that.
#[must_use]
pub fn a_prefix_holds_a_pod(set: &PolicySet, world: &World) -> bool {
    let pods = world.pods().filter(|pod| !pod.host_network);
    let held: BTreeSet<IpAddr> = pods.flat_map(|pod| pod.addresses.iter().copied()).collect();
    set.rules().any(|(_, rule)| match &rule.peers {
        Peers::Any => false,
        Peers::Of(listed) => listed.iter().any(|peer| match peer {
            Peer::Block { cidr, except } => held
                .range(cidr.network()..=cidr.last())
                .any(|address| !except.iter().any(|hole| hole.contains(*address))),
            Peer::Pods { .. } | Peer::Entity(_) => false,
        }),
    })
}

/// The single addresses that an entity is; none of prefixes.
#[must_use]
pub fn hosts(entity: &Entity, world: &World) -> Vec<IpAddr> {
    match entity {
        Entity::Nodes => world.nodes().values().flatten().copied().collect(),
        Entity::ApiServer => world.api_server().iter().copied().collect(),
        Entity::Name(name) => world.addresses_of(name).collect(),
        Entity::Outside { .. } => Vec::new(),
    }
}

/// The single addresses that an entity tells apart from those around them: its own, and where it leaves nodes out, theirs.
pub(super) fn addresses(entity: &Entity, world: &World) -> Vec<IpAddr> {
    let mut addresses = hosts(entity, world);
    match entity {
        Entity::Nodes | Entity::ApiServer => {}
        Entity::Outside { .. } | Entity::Name(_) => addresses.extend(hosts(&Entity::Nodes, world)),
    }
    addresses
}
