//! What rules match in one direction, over classes.

use crate::policy::model::{Direction, PortMatch, PortRule, Ports};
use crate::policy::ports::{PortRange, PortSet, Protocol};

use super::bits::Bits;
use super::class::Classes;
use super::row::Row;
use super::traffic::Traffic;

/// What some rules match in one direction.
#[derive(Default)]
pub(super) struct Section<'s> {
    row: Row,
    /// Ports that each selected pod reads as its own: the protocol, the name and the peers.
    named: Vec<(Protocol, &'s str, Bits)>,
}

impl<'s> Section<'s> {
    /// Adds a rule.
    pub(super) fn add(&mut self, classes: &Classes<'_>, peers: &Bits, ports: &'s Ports, direction: Direction) {
        let listed = match ports {
            Ports::Any => {
                self.row.allow(&Traffic::all(), peers);
                return;
            }
            Ports::Of(listed) => listed,
        };
        let numbers = listed.iter().filter_map(Traffic::of_rule);
        let numbers = numbers.fold(Traffic::none(), |all, one| all.union(&one));
        self.row.allow(&numbers, peers);
        for PortRule { protocol, port } in listed {
            let PortMatch::Named(name) = port else { continue };
            match direction {
                Direction::Ingress => self.named.push((*protocol, name, peers.clone())),
                Direction::Egress => {
                    for (number, with) in classes.with_port(*protocol, name) {
                        let ports = PortRange::single(number).into_iter().collect();
                        self.row.allow(&Traffic::of(*protocol, ports), &with.common(peers));
                    }
                }
            }
        }
    }

    /// Whether pods may read some of it as another port than others do.
    pub(super) fn has_names(&self) -> bool {
        !self.named.is_empty()
    }

    /// The peers of which exactly this traffic is matched.
    pub(super) fn peers_of(&self, traffic: &Traffic) -> Option<&Bits> {
        let mut parts = self.row.parts();
        parts.find(|(known, _)| *known == traffic).map(|(_, peers)| peers)
    }

    /// All that is matched; ports by name as a class reads them, if one is given.
    pub(super) fn row(&self, classes: &Classes<'_>, class: Option<usize>) -> Row {
        let mut row = self.row.clone();
        for (protocol, name, peers) in &self.named {
            let ports = class
                .iter()
                .flat_map(|&class| classes.list()[class].ports_named(*protocol, name));
            let ports: PortSet = ports.filter_map(PortRange::single).collect();
            row.allow(&Traffic::of(*protocol, ports), peers);
        }
        row
    }
}
