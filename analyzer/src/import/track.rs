//! Packets to connections: which end is the client, how often it was seen, and how it ended.
//!
//! The same packet is told of by several points and both nodes, and counts once. Who is the client follows from what the
//! source says, from the first packet of a handshake, or from the order of packets; never from the number of a port.

mod talk;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use flowtape_schemas::address::Address;
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

use self::talk::Talks;
use super::record::{Contact, End, Flags, Packet, View, Way, Who};

/// Connections that are followed at once. Beyond it the oldest are taken for ended.
const OPEN: usize = 1 << 18;

/// How long packets of a handshake may be sent again: Linux gives up after 127 s (`tcp_syn_retries`, ip-sysctl.rst, v6.12).
const HANDSHAKE_NANOS: i64 = 130_000_000_000;

/// Within how long a handshake is seen on both sides of a translation: what passes a router does so in far less, and a
/// client that uses a port again needs longer to come to the same sequence number.
const TRANSLATION_NANOS: i64 = 1_000_000_000;

/// Datagrams between two ends within this time are one row, as a recorder's interval is.
const TALK_NANOS: i64 = 60_000_000_000;

/// Points at which one connection is told apart.
const POINTS: usize = 16;

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

/// What was seen of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Signs(u8);

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
    /// Something of it was not dropped.
    const PASSED: u8 = 128;

    const fn has(self, sign: u8) -> bool {
        self.0 & sign != 0
    }

    fn note(&mut self, sign: u8, seen: bool) {
        self.0 |= if seen { sign } else { 0 };
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
    ended: Vec<Contact>,
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

#[derive(Debug)]
struct Connection {
    client: Option<Which>,
    /// Whether the source, or a handshake, said who the client is.
    told: bool,
    first: Time,
    last: Time,
    signs: Signs,
    /// What passed each point.
    points: BTreeMap<u64, Passed>,
    who: [Who; 2],
    /// The node at which the client's, the server's, and no end's view was seen.
    views: BTreeMap<View, Option<String>>,
    asked: Option<Socket>,
}

/// What passed a point.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    /// Packets from the first and second end.
    counts: [u64; 2],
    /// The digests of their content, added up.
    digests: [u64; 2],
}

impl Tracker {
    /// Takes in a packet; false where it has no ends that could be told apart.
    pub(super) fn packet(&mut self, packet: Packet) -> bool {
        let Packet {
            time,
            node,
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
            return false;
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
            return true;
        }
        let mut asked = asked;
        if let Some(sequence) = sequence.filter(|_| begins) {
            asked = asked.or_else(|| self.translated(key, sender, sequence, time));
        }
        if self.before_translation.contains(&key) {
            return true;
        }
        self.end_if_over(&key, time, begins && !dropped);
        if self.open.len() >= OPEN && !self.open.contains_key(&key) {
            self.make_room();
        }
        let connection = self.open.entry(key).or_insert_with(|| Connection::new(time));
        connection.first = connection.first.min(time);
        connection.last = connection.last.max(time);
        connection.learn_client(sender, way, flags, protocol, dropped);
        let places = connection.points.len();
        if places < POINTS || connection.points.contains_key(&point) {
            let passed = connection.points.entry(point).or_default();
            let (counts, digests) = (&mut passed.counts, &mut passed.digests);
            counts[sender as usize] = counts[sender as usize].saturating_add(count);
            digests[sender as usize] = digests[sender as usize].wrapping_add(u64::from(sequence.unwrap_or_default()));
        }
        connection.learn_state(sender, flags, dropped);
        for (place, end) in [(sender, from), (sender.other(), to)] {
            let known = &mut connection.who[place as usize];
            if *known == Who::Untold {
                *known = end.who;
            }
        }
        let known = connection.views.entry(view).or_insert_with(|| node.clone());
        if known.is_none() {
            *known = node;
        }
        connection.asked = connection.asked.or(asked);
        let certain = if protocol == TCP {
            connection.told && connection.signs.has(Signs::BEGAN)
        } else {
            connection.told || !connection.is_only_dropped()
        };
        if let Some(client) = connection.client.filter(|_| certain) {
            let server = if client == Which::First { key.2 } else { key.1 };
            if self.servers.len() < OPEN {
                self.servers.insert((protocol, server));
            }
        }
        true
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
    pub(super) fn ended(&mut self) -> Vec<Contact> {
        mem::take(&mut self.ended)
    }

    /// Everything that is still open, which ends with the source.
    pub(super) fn finish(mut self) -> Vec<Contact> {
        for (key, connection) in mem::take(&mut self.open) {
            self.end(key, connection);
        }
        self.end_talks();
        self.ended
    }

    /// A handshake on ends whose connection is over begins another one; datagrams are divided by time.
    fn end_if_over(&mut self, key: &Key, time: Time, begins: bool) {
        let Some(known) = self.open.get(key) else { return };
        let since = time.0.saturating_sub(known.last.0);
        let over = if key.0 == TCP {
            begins && (known.signs.has(Signs::CLOSED) || since > HANDSHAKE_NANOS)
        } else {
            time.0.saturating_sub(known.first.0) > TALK_NANOS
        };
        if over && let Some(connection) = self.open.remove(key) {
            let (client, told) = (connection.client, connection.told);
            // Who began a talk stays its client.
            let next = (key.0 != TCP).then(|| Connection {
                client,
                told,
                who: connection.who.clone(),
                ..Connection::new(time)
            });
            self.end(*key, connection);
            if let Some(next) = next {
                self.open.insert(*key, next);
            }
        }
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
            self.ended.extend(connection.contacts(protocol, [first, second]));
            return;
        }
        self.talks.add(key, connection);
        if self.talks.len() >= OPEN {
            self.end_talks();
        }
    }

    fn end_talks(&mut self) {
        for ((protocol, first, second), talk) in mem::take(&mut self.talks).united() {
            self.ended.extend(talk.contacts(protocol, [first, second]));
        }
    }
}

impl Connection {
    fn new(time: Time) -> Self {
        Self {
            client: None,
            told: false,
            first: time,
            last: time,
            signs: Signs::default(),
            points: BTreeMap::new(),
            who: [Who::Untold, Who::Untold],
            views: BTreeMap::new(),
            asked: None,
        }
    }

    /// Nothing of it got through, as far as was seen.
    const fn is_only_dropped(&self) -> bool {
        self.signs.has(Signs::DROPPED) && !self.signs.has(Signs::PASSED)
    }

    fn learn_client(&mut self, sender: Which, way: Way, flags: Option<Flags>, protocol: u8, dropped: bool) {
        let syn = flags.filter(|flags| flags.has(Flags::SYN));
        let told = match (way, syn) {
            (Way::Reply, _) => Some(sender.other()),
            (Way::Untold, Some(flags)) if flags.has(Flags::ACK) => Some(sender.other()),
            (Way::Forward, _) | (Way::Untold, Some(_)) => Some(sender),
            (Way::Untold, None) => None,
        };
        if let Some(client) = told.filter(|_| !self.told) {
            self.client = Some(client);
            self.told = true;
        }
        // Who sends the first datagram asks. Of TCP, a first segment without a handshake says nothing; where a source has no
        // flags, what is dropped was most likely sent by who asks, until somebody is told to.
        if self.client.is_none() && (protocol != TCP || (dropped && flags.is_none())) {
            self.client = Some(sender);
        }
    }

    fn learn_state(&mut self, sender: Which, flags: Option<Flags>, dropped: bool) {
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
    fn contacts(self, protocol: u8, sockets: [Socket; 2]) -> Vec<Contact> {
        let outcome = self.outcome(protocol);
        let Some(client) = self.client else {
            // The caller counts what has no direction.
            return vec![self.undirected(protocol, sockets)];
        };
        let forward = self
            .points
            .values()
            .map(|passed| passed.counts[client as usize])
            .max()
            .unwrap_or(0);
        if forward == 0 && protocol != TCP {
            // Only answers were seen: whom they answer was counted elsewhere, or is a datagram that nobody saw.
            return Vec::new();
        }
        let count = if protocol == TCP {
            u64::from(self.signs.has(Signs::BEGAN))
        } else {
            forward
        };
        let (Some(from), Some(to)) = (sockets.get(client as usize), sockets.get(client.other() as usize)) else {
            return Vec::new();
        };
        let end = |which: Which, socket: &Socket| End {
            address: Some(socket.0),
            port: Some(socket.1),
            who: self.who.get(which as usize).cloned().unwrap_or_default(),
        };
        // A connection is counted when it is made, datagrams are as long as they come.
        let last = if protocol == TCP { self.first } else { self.last };
        let contact = |view: View, node: Option<String>| Contact {
            first: self.first,
            last,
            node,
            protocol,
            client: end(client, from),
            server: end(client.other(), to),
            asked: self.asked,
            view,
            outcome,
            count,
            retold: false,
        };
        let at_ends = self.views.iter().filter(|(view, _)| **view != View::Between);
        let mut contacts: Vec<Contact> = at_ends.map(|(view, node)| contact(*view, node.clone())).collect();
        if contacts.is_empty() {
            let node = self.views.get(&View::Between).cloned().flatten();
            contacts.push(contact(View::Between, node));
        }
        contacts
    }

    /// A connection of which nothing says who began it: no port of a server is known.
    fn undirected(self, protocol: u8, [first, second]: [Socket; 2]) -> Contact {
        let [one, other] = self.who;
        let end = |socket: Socket, who: Who| End {
            address: Some(socket.0),
            port: None,
            who,
        };
        Contact {
            first: self.first,
            last: self.last,
            node: self.views.into_values().flatten().next(),
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

fn socket(end: &End) -> Option<Socket> {
    Some((end.address?, end.port?))
}
