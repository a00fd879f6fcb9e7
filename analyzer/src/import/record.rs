//! What every format is read into: packets and contacts between two ends, listeners, names and losses.

use std::collections::BTreeMap;

use flowtape_schemas::address::Address;
use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

/// What one record of a source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Something that travelled between two ends, or a part of a connection.
    Packet(Box<Packet>),
    /// A connection, or several, whose client the source knows.
    Contact(Box<Contact>),
    /// A socket that waits at a port.
    Listener(Listener),
    /// A socket got an address and a port, and may begin to wait there; the text tells it from other sockets.
    Bound(String, Listener),
    /// That socket waits there.
    Listens(String),
    /// An address that a name stood for.
    Name(Name),
    /// The source lost this many operations.
    Loss {
        /// Where.
        node: Option<String>,
        /// When.
        time: Time,
        /// How many.
        count: u64,
    },
    /// The source counts one of so many.
    Sampling(u64),
    /// It says nothing about connections, or repeats what another record says: which kind of record it is.
    PassedOver(&'static str),
}

/// Why a record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reject {
    /// The class of it.
    pub reason: QuarantineReason,
    /// What of it; never anything of its content.
    pub detail: &'static str,
}

impl Reject {
    /// It lacks something.
    #[must_use]
    pub const fn incomplete(detail: &'static str) -> Self {
        Self {
            reason: QuarantineReason::Incomplete,
            detail,
        }
    }

    /// It is not written as its format says.
    #[must_use]
    pub const fn malformed(detail: &'static str) -> Self {
        Self {
            reason: QuarantineReason::Malformed,
            detail,
        }
    }

    /// There is no room for it in any recording.
    pub const TOO_MANY: Self = Self {
        reason: QuarantineReason::TooMany,
        detail: "there are more files, nodes, pods, names or edges than any recording has",
    };

    /// It is of a kind that is not known.
    #[must_use]
    pub const fn unknown(detail: &'static str) -> Self {
        Self {
            reason: QuarantineReason::UnknownKind,
            detail,
        }
    }
}

/// A pod as a source names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Those of its labels that the source shows.
    pub labels: BTreeMap<String, String>,
    /// Kind and name of its owner.
    pub owner: Option<(String, String)>,
}

/// Whose end it is, as far as the source says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// It does not say.
    #[default]
    Untold,
    /// A pod.
    Pod(Pod),
    /// A process of the node that the record is of.
    Host,
}

/// One end of a connection, and whose it is, in words of the source or as a member of the cast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End<W = Who> {
    /// Its address.
    pub address: Option<Address>,
    /// Its port.
    pub port: Option<u16>,
    /// Whose it is.
    pub who: W,
}

/// Which end of a connection the source stood at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// At the client's.
    Client,
    /// At the server's.
    Server,
    /// Somewhere between them.
    Between,
}

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Forward,
    /// Back.
    Reply,
    /// The source does not say.
    Untold,
}

/// Flags of a TCP header, or those of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more to send (RFC 9293).
    pub const FIN: u8 = 1;
    /// Begins a connection.
    pub const SYN: u8 = 2;
    /// Ends it at once.
    pub const RST: u8 = 4;
    /// Acknowledges.
    pub const ACK: u8 = 16;

    /// Whether a flag is set.
    #[must_use]
    pub const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// Something that travelled between two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When.
    pub time: Time,
    /// On which node it was seen.
    pub node: Option<String>,
    /// IANA protocol number.
    pub protocol: u8,
    /// Who sent it.
    pub from: End,
    /// Who it was for.
    pub to: End,
    /// Flags of TCP, if the source has them.
    pub flags: Option<Flags>,
    /// Which way it went.
    pub way: Way,
    /// Which end of the connection it was seen at.
    pub view: View,
    /// Where exactly on the node: the same packet is seen at several points.
    pub point: u64,
    /// How many packets it stands for.
    pub count: u64,
    /// Whether it got no further.
    pub dropped: bool,
    /// What the client had asked for, where it was translated.
    pub asked: Option<(Address, u16)>,
    /// What a translation of addresses leaves alone: the sequence number of TCP, a digest of what a datagram holds.
    pub sequence: Option<u32>,
}

/// Connections or datagrams whose client the source knows. The node, and whose the ends are, in words of the source or as members of
/// the cast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact<N = Option<String>, W = Who> {
    /// The first of them.
    pub first: Time,
    /// The last of them.
    pub last: Time,
    /// On which node they were seen.
    pub node: N,
    /// IANA protocol number.
    pub protocol: u8,
    /// Who opened them; of ports only that of the server counts.
    pub client: End<W>,
    /// Who answered.
    pub server: End<W>,
    /// What the client had asked for, where it was translated.
    pub asked: Option<(Address, u16)>,
    /// Which end of them was seen.
    pub view: View,
    /// How they ended.
    pub outcome: Outcome,
    /// How many; 0 for what is older than the window.
    pub count: u64,
    /// Whether they are also among the established ones that the source told of before.
    pub retold: bool,
}

/// A socket that waits at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// When it was seen to begin; none if it was found.
    pub since: Option<Time>,
    /// On which node.
    pub node: Option<String>,
    /// IANA protocol number.
    pub protocol: u8,
    /// Where and whose.
    pub end: End,
}

/// Bytes of the longest name that is looked at: those of DNS (RFC 1035) and of nodes have a quarter of it.
pub const NAME_BYTES: usize = 1_024;

/// An address that a name stood for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// When it was told.
    pub time: Time,
    /// On which node.
    pub node: Option<String>,
    /// The name.
    pub name: String,
    /// The address.
    pub address: Address,
    /// Who asked.
    pub client: Option<Address>,
    /// For how many seconds it may be kept.
    pub ttl_seconds: Option<u32>,
    /// Whether it was an answer that was seen.
    pub answered: bool,
}
