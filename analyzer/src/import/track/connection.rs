//! One connection, or a talk of datagrams: what was seen of it, and what it comes to.

use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

use super::{HANDSHAKE_NANOS, Key, Socket, TCP, Which};
use crate::import::cast::{Known, NodeId, Party};
use crate::import::record::{End, Flags, View, Way};

/// Points at which one connection is told apart.
const POINTS: usize = 16;

/// Datagrams between two ends within this time are one row, as a recorder's interval is.
const TALK_NANOS: i64 = 60_000_000_000;

/// A connection, of which there may be as many as [`super::OPEN`].
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Option<Which>,
    /// Whether the source, or a handshake, said who the client is.
    pub(super) told: bool,
    pub(super) signs: Signs,
    pub(super) first: Time,
    pub(super) last: Time,
    /// What passed each point, of datagrams.
    pub(super) points: Vec<(u64, Passed)>,
    pub(super) who: [Party; 2],
    /// At which node each view was seen, if it was.
    pub(super) views: [Option<NodeId>; 3],
    pub(super) asked: Option<Socket>,
}

/// What passed a point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// Packets from the first and second end.
    pub(super) counts: [u64; 2],
    /// The digests of their content, added up.
    pub(super) digests: [u64; 2],
}

/// What was seen of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs(u8);

impl Signs {
    /// A handshake began.
    const BEGAN: u8 = 1;
    /// The server sent something that refused nothing.
    const ANSWERED: u8 = 2;
    /// The client sent more than the beginning.
    const WENT_ON: u8 = 4;
    /// The server refused before anything else.
    const REFUSED: u8 = 8;
    /// Something of it was dropped on the way.
    const DROPPED: u8 = 16;
    /// One end said that it has no more to send, or ended it at once.
    const CLOSED: u8 = 32;
    /// Its server is among those that serve.
    const SERVED: u8 = 64;
    /// Something of it was not dropped.
    const PASSED: u8 = 128;

    const fn has(self, sign: u8) -> bool {
        self.0 & sign != 0
    }

    fn note(&mut self, sign: u8, seen: bool) {
        self.0 |= if seen { sign } else { 0 };
    }
}

impl Connection {
    pub(super) fn new(time: Time) -> Self {
        Self {
            client: None,
            told: false,
            first: time,
            last: time,
            signs: Signs::default(),
            points: Vec::new(),
            who: [Party::Untold; 2],
            views: [None; 3],
            asked: None,
        }
    }

    /// Whether what is told next is another one: a handshake on ends whose connection is over, or datagrams after a time.
    pub(super) fn is_over(&self, protocol: u8, next: Time, begins: bool) -> bool {
        if protocol == TCP {
            let since = next.0.saturating_sub(self.last.0);
            begins && (self.signs.has(Signs::CLOSED) || since > HANDSHAKE_NANOS)
        } else {
            next.0.saturating_sub(self.first.0) > TALK_NANOS
        }
    }

    /// The one after it between the same sockets. Who began a talk stays the client of the next.
    pub(super) fn next(&self, protocol: u8, time: Time) -> Self {
        if protocol == TCP {
            return Self::new(time);
        }
        Self {
            client: self.client,
            told: self.told,
            who: self.who,
            ..Self::new(time)
        }
    }

    /// Counts what passed a point.
    pub(super) fn pass(&mut self, point: u64, sender: Which, count: u64, digest: Option<u32>) {
        let place = self.points.iter().position(|(known, _)| *known == point);
        let place = place.or_else(|| {
            (self.points.len() < POINTS).then(|| {
                // A vector makes room for four at first, and most are seen at one point.
                self.points.reserve_exact(1);
                self.points.push((point, Passed::default()));
                self.points.len() - 1
            })
        });
        let Some((_, passed)) = place.and_then(|place| self.points.get_mut(place)) else {
            return;
        };
        let (counts, digests) = (&mut passed.counts, &mut passed.digests);
        counts[sender as usize] = counts[sender as usize].saturating_add(count);
        digests[sender as usize] = digests[sender as usize].wrapping_add(u64::from(digest.unwrap_or_default()));
    }

    /// The server, if it is known for certain only now that it is one.
    pub(super) fn new_server(&mut self, (protocol, first, second): &Key) -> Option<Socket> {
        let certain = if *protocol == TCP {
            self.told && self.signs.has(Signs::BEGAN)
        } else {
            self.told || !self.is_only_dropped()
        };
        let client = self.client.filter(|_| certain && !self.signs.has(Signs::SERVED))?;
        self.signs.note(Signs::SERVED, true);
        Some(if client == Which::First { *second } else { *first })
    }

    /// Nothing of it got through, as far as was seen.
    pub(super) const fn is_only_dropped(&self) -> bool {
        self.signs.has(Signs::DROPPED) && !self.signs.has(Signs::PASSED)
    }

    pub(super) fn learn_client(&mut self, sender: Which, way: Way, flags: Option<Flags>, protocol: u8, dropped: bool) {
        let syn = flags.filter(|flags| flags.has(Flags::SYN));
        let told = match (way, syn) {
            (Way::Reply, _) => Some(sender.other()),
            (Way::Untold, Some(flags)) if flags.has(Flags::ACK) => Some(sender.other()),
            (Way::Forward, _) | (Way::Untold, Some(_)) => Some(sender),
            (Way::Untold, None) => None,
        };
        if let Some(client) = told.filter(|_| !self.told) {
            if self.client != Some(client) {
                self.signs.0 &= !Signs::SERVED;
            }
            self.client = Some(client);
            self.told = true;
        }
        // Who sends the first datagram asks. Of TCP, a first segment without a handshake says nothing; where a source has no
        // flags, what is dropped was most likely sent by who asks, until somebody is told to.
        if self.client.is_none() && (protocol != TCP || (dropped && flags.is_none())) {
            self.client = Some(sender);
        }
    }

    pub(super) fn learn_state(&mut self, sender: Which, flags: Option<Flags>, dropped: bool) {
        let forward = self.client == Some(sender);
        let begins = flags.map_or(dropped, |flags| flags.has(Flags::SYN));
        self.signs.note(Signs::BEGAN, begins);
        self.signs.note(Signs::DROPPED, dropped);
        self.signs.note(Signs::PASSED, !dropped);
        if dropped {
            return;
        }
        let Some(flags) = flags else {
            self.signs.note(Signs::ANSWERED, !forward);
            return;
        };
        if flags.has(Flags::RST) {
            let first = !self.signs.has(Signs::ANSWERED | Signs::WENT_ON);
            self.signs.note(Signs::REFUSED, !forward && first);
        } else {
            self.signs.note(Signs::ANSWERED, !forward);
            self.signs
                .note(Signs::WENT_ON, !begins || (forward && flags.has(Flags::ACK)));
        }
        self.signs
            .note(Signs::CLOSED, flags.has(Flags::FIN) || flags.has(Flags::RST));
    }

    fn outcome(&self, protocol: u8) -> Outcome {
        if protocol == TCP && self.signs.has(Signs::REFUSED) && !self.signs.has(Signs::ANSWERED) {
            Outcome::Refused
        } else if self.signs.has(Signs::ANSWERED | Signs::WENT_ON) {
            Outcome::Established
        } else if self.signs.has(Signs::DROPPED) {
            Outcome::Timeout
        } else {
            Outcome::Unknown
        }
    }

    /// The connection as each end saw it; as one between them where nothing says at which end it was seen.
    pub(super) fn contacts(self, (protocol, first, second): Key, each: &mut Vec<Known>) {
        let outcome = self.outcome(protocol);
        let Some(client) = self.client else {
            // The caller counts what has no direction.
            return each.push(self.undirected(protocol, [first, second]));
        };
        let passed = self.points.iter().map(|(_, passed)| passed.counts[client as usize]);
        let forward = passed.max().unwrap_or(0);
        if forward == 0 && protocol != TCP {
            // Only answers were seen: whom they answer was counted elsewhere, or is a datagram that nobody saw.
            return;
        }
        let count = if protocol == TCP {
            u64::from(self.signs.has(Signs::BEGAN))
        } else {
            forward
        };
        let end = |which: Which| {
            let (address, port) = if which == Which::First { first } else { second };
            End {
                address: Some(address),
                port: Some(port),
                who: self.who[which as usize],
            }
        };
        // A connection is counted when it is made, datagrams are as long as they come.
        let last = if protocol == TCP { self.first } else { self.last };
        let contact = |view: View, node: NodeId| Known {
            first: self.first,
            last,
            node,
            protocol,
            client: end(client),
            server: end(client.other()),
            asked: self.asked,
            view,
            outcome,
            count,
            retold: false,
        };
        let at_ends = [View::Client, View::Server].map(|view| (view, self.views[view as usize]));
        let at_ends = at_ends.iter().filter_map(|(view, node)| Some(contact(*view, (*node)?)));
        let before = each.len();
        each.extend(at_ends);
        if each.len() == before {
            let node = self.views[View::Between as usize].unwrap_or(NodeId::UNTOLD);
            each.push(contact(View::Between, node));
        }
    }

    /// A connection of which nothing says who began it: no port of a server is known.
    fn undirected(&self, protocol: u8, [first, second]: [Socket; 2]) -> Known {
        let [one, other] = self.who;
        let end = |socket: Socket, who: Party| End {
            address: Some(socket.0),
            port: None,
            who,
        };
        Known {
            first: self.first,
            last: self.last,
            node: self.views.iter().flatten().next().copied().unwrap_or(NodeId::UNTOLD),
            protocol,
            client: end(first, one),
            server: end(second, other),
            asked: None,
            view: View::Between,
            outcome: Outcome::Unknown,
            count: 0,
            retold: false,
        }
    }
}
