//! All addresses, cut along the prefixes that a policy set names.
//!
//! Prefixes lie inside one another or apart, so they are a tree, and what is in a prefix but in none below it is not told
//! apart by any rule.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::policy::cidr::Cidr;
use crate::policy::cluster::ClusterPeer;
use crate::policy::model::{Entity, Peer, Peers, PolicySet};

use super::entity;
use super::world::World;

/// Addresses that no rule tells apart: a prefix without those inside it that rules name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The prefix.
    pub cidr: Cidr,
    /// What is left out of it, each strictly inside.
    pub except: Vec<Cidr>,
}

/// The tree. The cells of a prefix and of those inside it stand in a row.
pub(super) struct Space {
    cells: Vec<Cell>,
    parents: Vec<Option<usize>>,
}

impl Space {
    /// Cuts along every prefix that a rule of these sets names or leaves out, and around every address of the world that a rule
    /// means otherwise.
    pub(super) fn new(world: &World, sets: &[&PolicySet]) -> Self {
        let mut prefixes = BTreeSet::from(Cidr::EVERYTHING);
        let mut entities = BTreeSet::new();
        for (_, rule) in sets.iter().flat_map(|set| set.rules()) {
            let Peers::Of(peers) = &rule.peers else { continue };
            for peer in peers {
                match peer {
                    Peer::Block { cidr, except } | Peer::Entity(Entity::Outside { cidr, except }) => {
                        prefixes.insert(*cidr);
                        prefixes.extend(except);
                    }
                    Peer::Entity(_) | Peer::Pods { .. } => {}
                }
                entities.extend(apart(peer));
            }
        }
        for entity in entities {
            prefixes.extend(entity::addresses(entity, world).into_iter().map(Cidr::host));
        }
        for (_, rule) in sets.iter().flat_map(|set| set.rules_of_cluster()) {
            for peer in &rule.peers {
                match peer {
                    ClusterPeer::Plain(Peer::Block { cidr, except }) => {
                        prefixes.insert(*cidr);
                        prefixes.extend(except);
                    }
                    ClusterPeer::Nodes(_) => prefixes.extend(of_nodes(world)),
                    ClusterPeer::Plain(Peer::Pods { .. } | Peer::Entity(_)) | ClusterPeer::Domains(_) => {}
                }
            }
        }
        let mut space = Self {
            cells: Vec::with_capacity(prefixes.len()),
            parents: Vec::with_capacity(prefixes.len()),
        };
        // In ascending order a prefix comes before those inside it.
        let mut around: Vec<usize> = Vec::new();
        for cidr in prefixes {
            while around.last().is_some_and(|&last| !space.cells[last].cidr.covers(cidr)) {
                around.pop();
            }
            let parent = around.last().copied();
            if let Some(parent) = parent {
                space.cells[parent].except.push(cidr);
            }
            around.push(space.cells.len());
            space.parents.push(parent);
            space.cells.push(Cell {
                cidr,
                except: Vec::new(),
            });
        }
        space
    }

    /// The cells, each before those inside its prefix.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cell around the prefix of a cell.
    pub(super) fn parent(&self, cell: usize) -> Option<usize> {
        self.parents[cell]
    }

    /// The cell of a prefix that the sets name.
    pub(super) fn of_prefix(&self, cidr: Cidr) -> Option<usize> {
        self.cells.binary_search_by(|cell| cell.cidr.cmp(&cidr)).ok()
    }

    /// The cell that an address is in.
    pub(super) fn of_address(&self, address: IpAddr) -> usize {
        let host = Cidr::host(address);
        let after = self.cells.partition_point(|cell| cell.cidr <= host);
        let mut at = after.checked_sub(1);
        while let Some(cell) = at {
            if self.cells[cell].cidr.contains(address) {
                return cell;
            }
            at = self.parents[cell];
        }
        unreachable!("every address is in the prefix of its whole family")
    }
}

/// The address of every node, as prefixes.
pub(super) fn of_nodes(world: &World) -> impl Iterator<Item = Cidr> {
    world.nodes().values().flatten().map(|address| Cidr::host(*address))
}

/// What tells single addresses apart. One prefix outside does so as any other does.
fn apart(peer: &Peer) -> Option<&Entity> {
    match peer {
        Peer::Entity(Entity::Outside { .. }) => Some(&Entity::Nodes),
        Peer::Entity(entity) => Some(entity),
        Peer::Block { .. } | Peer::Pods { .. } => None,
    }
}

impl Cell {
    /// The lowest address that is left; `None` if none is.
    #[must_use]
    pub fn lowest(&self) -> Option<IpAddr> {
        let mut lowest = Some(self.cidr.network());
        // What is left out is in ascending order, and does not overlap.
        for hole in &self.except {
            if lowest.is_some_and(|lowest| hole.contains(lowest)) {
                lowest = hole.after();
            }
        }
        lowest.filter(|&lowest| self.cidr.contains(lowest))
    }
}
