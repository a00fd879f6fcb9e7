//! Packets to connections: which end is the client, how often it was seen, and how it ended.
//!
//! The same packet is told of by several points and both nodes, and counts once. Who is the client follows from what the
//! source says, from the first packet of a handshake, or from the order of packets; never from the number of a port.

mod connection;
mod talk;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use flowtape_schemas::address::Address;
use flowtape_schemas::time::Time;

use self::connection::Connection;
use self::talk::Talks;
use super::cast::{Cast, Known, NodeId, Party};
use super::record::{End, Flags, Packet, Reject, Way};

/// Connections that are followed at once. Beyond it the oldest are taken for ended.
const OPEN: usize = 1 << 18;

/// How long packets of a handshake may be sent again: Linux gives up after 127 s (`tcp_syn_retries`, ip-sysctl.rst, v6.12).
const HANDSHAKE_NANOS: i64 = 130_000_000_000;

/// Within how long a handshake is seen on both sides of a translation: what passes a router does so in far less, and a
/// client that uses a port again needs longer to come to the same sequence number.
const TRANSLATION_NANOS: i64 = 1_000_000_000;

const TCP: u8 = 6;

/// Address and port of an end.
type Socket = (Address, u16);

/// What connections are told apart by: the protocol and both ends, in the order of their bytes.
type Key = (u8, Socket, Socket);

/// Which of the two ends of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    First,
    Second,
}

impl Which {
    const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Follows connections.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    open: BTreeMap<Key, Connection>,
    /// Ports that were asked for by whoever began: servers, for connections whose beginning was not seen.
    servers: BTreeSet<(u8, Socket)>,
    /// Of a client and a sequence number, where its handshake was read to go first.
    handshakes: BTreeMap<(Socket, u32), Handshake>,
    /// Connections that were seen again with another server's address.
    before_translation: BTreeSet<Key>,
    /// Talks of datagrams that are over, and may be one before and after a translation.
    talks: Talks,
    ended: Vec<Known>,
}

/// Where a handshake went, and from when to when it was sent.
#[derive(Clone, Copy, Debug)]
struct Handshake {
    server: Socket,
    first: Time,
    last: Time,
}

impl Handshake {
    /// Whether it was on its way at a time, or as long before or after as this.
    fn is_near(&self, time: Time, nanos: i64) -> bool {
        (self.first.0.saturating_sub(nanos)..=self.last.0.saturating_add(nanos)).contains(&time.0)
    }
}

impl Tracker {
    /// Takes in a packet between members of the cast, as it was seen on a node.
    pub(super) fn packet(&mut self, packet: Packet, seen_on: NodeId, cast: &mut Cast) -> Result<(), Reject> {
        let Packet {
            time,
            node: _,
            protocol,
            from,
            to,
            flags,
            way,
            view,
            point,
            count,
            dropped,
            asked,
            sequence,
        } = packet;
        let (Some(source), Some(target)) = (socket(&from), socket(&to)) else {
            return Err(Reject::incomplete("an end has no address or no port"));
        };
        let (key, sender) = if source <= target {
            ((protocol, source, target), Which::First)
        } else {
            ((protocol, target, source), Which::Second)
        };
        let is_server = |socket| self.servers.contains(&(protocol, socket));
        let begins = flags.is_some_and(|flags| flags.has(Flags::SYN) && !flags.has(Flags::ACK)) && way != Way::Reply;
        // Between equal ports, either end may ask.
        let may_answer = dropped && way == Way::Untold && !begins && source.1 != target.1;
        if may_answer && is_server(source) && !is_server(target) {
            // An answer to a connection that whoever dropped it knew no more.
            return Ok(());
        }
        let mut asked = asked;
        if let Some(sequence) = sequence.filter(|_| begins) {
            asked = asked.or_else(|| self.translated(key, sender, sequence, time));
        }
        if self.before_translation.contains(&key) {
            return Ok(());
        }
        let (connection, before) = self.connection(key, time, begins && !dropped);
        connection.first = connection.first.min(time);
        connection.last = connection.last.max(time);
        connection.learn_client(sender, way, flags, protocol, dropped);
        if protocol != TCP {
            connection.pass(point, sender, count, sequence);
        }
        connection.learn_state(sender, flags, dropped);
        connection.asked = connection.asked.or(asked);
        let mut has_room = true;
        for (place, end) in [(sender, from), (sender.other(), to)] {
            let known = &mut connection.who[place as usize];
            if *known == Party::Untold {
                let party = cast.party(end.who);
                has_room &= party.is_some();
                *known = party.unwrap_or_default();
            }
        }
        let node = connection.views[view as usize].get_or_insert(seen_on);
        if *node == NodeId::UNTOLD {
            *node = seen_on;
        }
        if let Some(server) = connection.new_server(&key).filter(|_| self.servers.len() < OPEN) {
            self.servers.insert((protocol, server));
        }
        if let Some(before) = before {
            self.end(key, before);
        }
        has_room.then_some(()).ok_or(Reject::TOO_MANY)
    }

    /// What is known of a connection, which begins here if it was not known, or if it is over.
    fn connection(&mut self, key: Key, time: Time, begins: bool) -> (&mut Connection, Option<Connection>) {
        if self.open.len() >= OPEN && !self.open.contains_key(&key) {
            self.make_room();
        }
        match self.open.entry(key) {
            Entry::Vacant(place) => (place.insert(Connection::new(time)), None),
            Entry::Occupied(known) => {
                let known = known.into_mut();
                let is_over = known.is_over(key.0, time, begins);
                let before = is_over.then(|| {
                    let next = known.next(key.0, time);
                    mem::replace(known, next)
                });
                (known, before)
            }
        }
    }

    /// What the client had asked for, if the handshake of this sequence number is also on its way to another server: then an
    /// address was translated in between, and both are one connection. The one before the translation is the earlier one,
    /// whichever was read first.
    fn translated(&mut self, key: Key, sender: Which, sequence: u32, time: Time) -> Option<Socket> {
        let (client, server) = if sender == Which::First {
            (key.1, key.2)
        } else {
            (key.2, key.1)
        };
        if self.handshakes.len() >= OPEN || self.before_translation.len() >= OPEN {
            self.handshakes.clear();
            self.before_translation.clear();
        }
        let near = |known: &&mut Handshake| {
            let nanos = if known.server == server {
                HANDSHAKE_NANOS
            } else {
                TRANSLATION_NANOS
            };
            known.is_near(time, nanos)
        };
        let Some(known) = self.handshakes.get_mut(&(client, sequence)).filter(near) else {
            let (first, last) = (time, time);
            self.handshakes
                .insert((client, sequence), Handshake { server, first, last });
            // Its ports may have been used for another connection before.
            self.before_translation.remove(&key);
            return None;
        };
        if known.server == server {
            (known.first, known.last) = (known.first.min(time), known.last.max(time));
            return None;
        }
        let other = if client <= known.server {
            (key.0, client, known.server)
        } else {
            (key.0, known.server, client)
        };
        let is_before =
            !self.before_translation.contains(&other) && (self.before_translation.contains(&key) || time < known.first);
        if is_before {
            self.open.remove(&key);
            self.before_translation.insert(key);
            if let Some(after) = self.open.get_mut(&other) {
                after.asked = after.asked.or(Some(server));
            }
            return None;
        }
        self.open.remove(&other);
        self.before_translation.insert(other);
        Some(known.server)
    }

    /// What has ended since it was asked last.
    pub(super) fn ended(&mut self) -> Vec<Known> {
        mem::take(&mut self.ended)
    }

    /// Everything that is still open, which ends with the source.
    pub(super) fn finish(mut self, mut each: impl FnMut(&Known)) {
        while let Some((key, connection)) = self.open.pop_first() {
            self.end(key, connection);
            self.ended.drain(..).for_each(|contact| each(&contact));
        }
        self.end_talks();
        self.ended.iter().for_each(each);
    }

    /// Takes the older half of all connections for ended.
    fn make_room(&mut self) {
        let mut times: Vec<Time> = self.open.values().map(|connection| connection.last).collect();
        times.sort_unstable();
        let Some(middle) = times.get(times.len() / 2).copied() else {
            return;
        };
        let old = |connection: &Connection| connection.last <= middle;
        let keys: Vec<Key> = self
            .open
            .iter()
            .filter(|(_, open)| old(open))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            if let Some(connection) = self.open.remove(&key) {
                self.end(key, connection);
            }
        }
    }

    fn end(&mut self, key: Key, mut connection: Connection) {
        let (protocol, first, second) = key;
        if !connection.told {
            let serves = |socket| self.servers.contains(&(protocol, socket));
            let asker = match (serves(first), serves(second)) {
                (true, false) => Some(Which::Second),
                (false, true) => Some(Which::First),
                (true, true) | (false, false) => None,
            };
            let guess = connection.client;
            if guess.is_none() || !connection.is_only_dropped() {
                connection.client = asker.or(guess);
            } else if asker.is_some_and(|asker| Some(asker) != guess) && first.1 != second.1 {
                // An answer to a connection that whoever dropped it knew no more.
                return;
            }
        }
        if protocol == TCP {
            connection.contacts(key, &mut self.ended);
            return;
        }
        self.talks.add(key, connection);
        if self.talks.len() >= OPEN {
            self.end_talks();
        }
    }

    fn end_talks(&mut self) {
        for (key, talk) in mem::take(&mut self.talks).united() {
            talk.contacts(key, &mut self.ended);
        }
    }
}

fn socket(end: &End) -> Option<Socket> {
    Some((end.address?, end.port?))
}
