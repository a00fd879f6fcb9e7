//! What addresses stand for, where a policy set can only say addresses.
//!
//! The model names nodes, the API server and everybody outside by address, as NetworkPolicy does. Other kinds of policies
//! have words of their own for them; what is known here lets them use those.

use std::collections::{BTreeMap, BTreeSet};

use super::cidr::Cidr;
use super::model::Peer;
use super::ports::Protocol;

/// What is known of the addresses and servers that rules name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landmarks {
    /// The endpoints of the API server.
    pub api_server: BTreeSet<Cidr>,
    /// The nodes of the cluster, and what listens on their network.
    pub nodes: BTreeSet<Cidr>,
    /// Where pods have their addresses.
    pub pods: BTreeSet<Cidr>,
    /// Addresses outside, with the DNS names that clients asked for to reach them.
    pub names: BTreeMap<Cidr, BTreeSet<String>>,
    /// Who answers name queries, as the rules of a namespace name them: namespace, peer and port.
    pub name_servers: BTreeSet<(String, Peer, Protocol, u16)>,
}

/// Whether some address of `parts` is in `block` and in none of `holes`, judged by whole parts.
#[must_use]
pub fn meets(parts: &BTreeSet<Cidr>, block: Cidr, holes: &[Cidr]) -> bool {
    parts.iter().any(|&part| {
        let common = if part.covers(block) { block } else { part };
        block.covers(common) && !holes.iter().any(|hole| hole.covers(common))
    })
}
