//! What records add up to: connections that are followed, sockets that may begin to listen, and the rows of each node.

use std::collections::BTreeMap;

use flowtape_schemas::metadata::ClusterRows;

use super::cast::{Cast, NodeId};
use super::record::{Listener, Record, Reject};
use super::rows::{NodeRows, ROWS, Rows, Waiting};
use super::track::Tracker;

/// Sockets that got a port and do not listen yet.
const BOUND: usize = 1 << 16;

/// Bytes of what tells such a socket from others.
const SOCKET_BYTES: usize = 1_024;

/// Keeps account of records.
#[derive(Debug)]
pub(super) struct Ledger {
    cast: Cast,
    rows: Rows,
    tracker: Tracker,
    /// Sockets that may begin to listen.
    bound: BTreeMap<String, Waiting>,
    /// The node of records that name none, where they are not of the cast's.
    node: NodeId,
}

/// What became of a record.
pub(super) enum Taken {
    /// It counts.
    Used,
    /// It says nothing about connections: which kind it is.
    PassedOver(&'static str),
    /// The source counts one of so many.
    Sampling(u64),
}

impl Ledger {
    /// Of pods that this metadata knows, on this node where a record names none.
    pub(super) fn new(node: String, metadata: &ClusterRows) -> Self {
        Self {
            cast: Cast::new(node, metadata),
            rows: Rows::with_room(ROWS),
            tracker: Tracker::default(),
            bound: BTreeMap::new(),
            node: NodeId::UNTOLD,
        }
    }

    /// From here on, what names no node is of this one, or of the one that it was of at first. What another node saw of the same
    /// connections is told where it is meant.
    pub(super) fn turn_to(&mut self, node: Option<&str>) {
        self.end_connections();
        self.node = node.and_then(|node| self.cast.node(node)).unwrap_or(NodeId::UNTOLD);
    }

    /// Takes a record in.
    pub(super) fn take(&mut self, record: Record) -> Result<Taken, Reject> {
        let has_room = match record {
            Record::Packet(packet) => {
                let node = self.node(packet.node.as_deref())?;
                self.tracker.packet(*packet, node, &mut self.cast)?;
                self.add_ended()
            }
            Record::Contact(contact) => {
                let node = self.node(contact.node.as_deref())?;
                let known = self.cast.known(*contact, node).ok_or(Reject::TOO_MANY)?;
                self.rows.contact(&mut self.cast, &known)
            }
            Record::Listener(listener) => {
                let waiting = self.waiting(listener)?;
                self.rows.listener(&mut self.cast, &waiting)
            }
            Record::Bound(socket, listener) => {
                let waiting = self.waiting(listener)?;
                let room = self.bound.len() < BOUND && socket.len() <= SOCKET_BYTES;
                if room {
                    self.bound.insert(socket, waiting);
                }
                room
            }
            Record::Listens(socket) => match self.bound.remove(&socket) {
                Some(waiting) => self.rows.listener(&mut self.cast, &waiting),
                None => true,
            },
            Record::Name(name) => {
                let node = self.node(name.node.as_deref())?;
                self.rows.name(node, &name)
            }
            Record::Loss { node, time, count } => {
                let node = self.node(node.as_deref())?;
                self.rows.loss(node, time, count);
                true
            }
            Record::Sampling(one_of) => return Ok(Taken::Sampling(one_of)),
            Record::PassedOver(what) => return Ok(Taken::PassedOver(what)),
        };
        has_room.then_some(Taken::Used).ok_or(Reject::TOO_MANY)
    }

    fn node(&mut self, name: Option<&str>) -> Result<NodeId, Reject> {
        match name {
            Some(name) => self.cast.node(name).ok_or(Reject::TOO_MANY),
            None => Ok(self.node),
        }
    }

    fn waiting(&mut self, listener: Listener) -> Result<Waiting, Reject> {
        let Listener {
            since,
            node,
            protocol,
            end,
        } = listener;
        Ok(Waiting {
            since,
            node: self.node(node.as_deref())?,
            protocol,
            end: self.cast.end(end).ok_or(Reject::TOO_MANY)?,
        })
    }

    /// Adds the connections that have ended; false if there was no room for one.
    fn add_ended(&mut self) -> bool {
        let mut has_room = true;
        for contact in self.tracker.ended() {
            has_room &= self.rows.contact(&mut self.cast, &contact);
        }
        has_room
    }

    fn end_connections(&mut self) {
        std::mem::take(&mut self.tracker).finish(|contact| {
            // The row that says what was lost is made where there is no room.
            self.rows.contact(&mut self.cast, contact);
        });
    }

    /// The rows of every node, and the pods that the metadata does not know added to it, with their number.
    pub(super) fn finish(mut self, cluster: &mut ClusterRows) -> (Vec<NodeRows>, u64) {
        self.end_connections();
        let rows = self.rows.finish(&self.cast);
        (rows, self.cast.join(cluster))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use flowtape_schemas::address::Address;
    use flowtape_schemas::metadata::ClusterRows;
    use flowtape_schemas::time::Time;

    use super::super::record::{End, Packet, Record, View, Way, Who};
    use super::super::rows::Rows;
    use super::Ledger;

    fn datagram(server: u8) -> Record {
        let end = |host: u8, port: u16| End {
            address: Some(Address::from(IpAddr::from(Ipv4Addr::new(10, 0, 0, host)))),
            port: Some(port),
            who: Who::Untold,
        };
        Record::Packet(Box::new(Packet {
            time: Time(0),
            node: None,
            protocol: 17,
            from: end(1, 40_000),
            to: end(server, 53),
            flags: None,
            way: Way::Forward,
            view: View::Client,
            point: 0,
            count: 3,
            dropped: false,
            asked: None,
            sequence: None,
        }))
    }

    #[test]
    fn what_ends_with_the_source_and_has_no_room_is_a_loss() {
        let mut ledger = Ledger::new("n1".to_owned(), &ClusterRows::default());
        ledger.rows = Rows::with_room(1);
        for server in [2, 3] {
            assert!(ledger.take(datagram(server)).is_ok());
        }
        let (nodes, _) = ledger.finish(&mut ClusterRows::default());
        let told: Vec<(usize, u64)> = nodes.iter().map(|node| (node.flows.len(), node.lost)).collect();
        assert_eq!(told, [(1, 3)]);
    }
}
