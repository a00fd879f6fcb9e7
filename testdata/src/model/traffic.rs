//! The declared traffic.

use std::fmt;
use std::net::IpAddr;

use flowtape_schemas::node::{Counter, Hook, SocketFamily, SocketType};

use super::{Kind, Name, Offset, PortRef, Protocol, Span};

/// One line of traffic: a number of connections (TCP) or datagrams (UDP).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Line of the text.
    pub line: usize,
    /// Who opens the connections.
    pub client: Client,
    /// What they are opened to.
    pub server: Server,
    /// How many.
    pub count: u32,
    /// When: spread evenly over the span, its ends included.
    pub at: Span,
    /// What became of them.
    pub outcome: Outcome,
    /// Whether the IPv6 addresses are used.
    pub ipv6: bool,
    /// Which sides' recorders saw it.
    pub seen_by: SeenBy,
    /// Whether the connections were there before the window.
    pub predates: bool,
    /// Whether it is never made live.
    pub synthetic: bool,
    /// How the client's sockets reach the server.
    pub socket: ClientSocket,
    /// Name of the client's process, as samples tell it.
    pub process: Option<String>,
    /// Whose recorder folded the peers of it, and how far.
    pub folded: Option<(FoldedSide, Folding)>,
    /// Which samples tell of it, besides the counts.
    pub samples: Samples,
}

/// Which samples there are of connections that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// One of each.
    All,
    /// None.
    None,
}

/// How a client's socket reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientSocket {
    /// It connects.
    Connected,
    /// It sends each datagram to an address, and never connects.
    Unconnected,
    /// It asks for the server by its name, which is recorded with the answer, and connects.
    Named,
    /// It connects, and a load balancer in it puts the backend in place.
    Balanced,
    /// It connects past the proxies of both pods.
    Past,
    /// It connects, and the proxy of its pod takes the connection and carries it nowhere.
    Taken,
    /// It connects, and the proxy of the server's pod takes the connection and hands it to nobody.
    TurnedAway,
    /// It is a socket of the proxy, for no connection of the application.
    Proxy,
    /// It connects, and the proxies of both pods speak to each other on the port of the server's.
    Tunnelled,
}

/// Whose recorder folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldedSide {
    /// The client's: it talked to more servers than its quota allows, as a scanner does.
    Client,
    /// The server's: more clients came than its quota allows.
    Server,
}

/// What was folded beyond a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folding {
    /// The peers.
    Peers,
    /// The peers and the ports.
    PeersAndPorts,
}

/// A workload, or one of its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadRef {
    /// Kind, where the text gives one.
    pub kind: Option<Kind>,
    /// Namespace and name.
    pub name: Name,
    /// Place of the pod; all pods in turn where not given.
    pub replica: Option<u32>,
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "{} ", kind.word())?;
        }
        write!(f, "{}", self.name)?;
        self.replica.map_or(Ok(()), |replica| write!(f, "/{replica}"))
    }
}

/// Who opens a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// Pods of a workload.
    Workload(WorkloadRef),
    /// A process of a node that is in no pod.
    Node(String),
    /// A declared address outside the cluster.
    External(IpAddr),
    /// An address nothing in the cluster's metadata explains.
    Address(IpAddr),
}

/// What a connection is opened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// A cluster address of a Service.
    Service(Name, PortRef, Protocol),
    /// A load balancer's address of a Service.
    LoadBalancer(Name, PortRef, Protocol),
    /// The addresses of a workload's pods.
    Workload(WorkloadRef, PortRef, Protocol),
    /// A node's address; a node port leads on to its Service.
    Node(String, u16, Protocol),
    /// A declared address outside the cluster.
    External(IpAddr, u16, Protocol),
    /// Any address.
    Address(IpAddr, u16, Protocol),
}

impl Server {
    /// Protocol spoken.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Service(_, _, protocol)
            | Self::LoadBalancer(_, _, protocol)
            | Self::Workload(_, _, protocol)
            | Self::Node(_, _, protocol)
            | Self::External(_, _, protocol)
            | Self::Address(_, _, protocol) => *protocol,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(workload) => write!(f, "{workload}"),
            Self::Node(node) => write!(f, "node {node}"),
            Self::External(address) => write!(f, "external {address}"),
            Self::Address(address) => write!(f, "address {address}"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literal = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        match self {
            Self::Service(name, port, protocol) => write!(f, "service {name}:{port}/{protocol}"),
            Self::LoadBalancer(name, port, protocol) => write!(f, "load-balancer {name}:{port}/{protocol}"),
            Self::Workload(workload, port, protocol) => write!(f, "{workload}:{port}/{protocol}"),
            Self::Node(node, port, protocol) => write!(f, "node {node}:{port}/{protocol}"),
            Self::External(address, port, protocol) => {
                write!(f, "external {}:{port}/{protocol}", literal(address))
            }
            Self::Address(address, port, protocol) => write!(f, "address {}:{port}/{protocol}", literal(address)),
        }
    }
}

/// What became of a connection attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The server took it.
    Established,
    /// Nobody listened.
    Refused,
    /// No answer until the client gave up.
    Timeout,
    /// A router or the client's own host had no way there.
    Unreachable,
    /// Open at the end of the window, or a datagram nobody is known to have received.
    Unknown,
}

impl Outcome {
    /// The word of the text.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

/// Which sides' recorders saw a connection; a side without recorder never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenBy {
    /// Both.
    Both,
    /// The client's only.
    Client,
    /// The server's only.
    Server,
}

/// Sockets whose traffic no other line tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// Line of the text.
    pub line: usize,
    /// Whose pods have them.
    pub owner: WorkloadRef,
    /// Address family.
    pub family: SocketFamily,
    /// Type.
    pub socket_type: SocketType,
    /// Protocol, as `socket()` is asked for it.
    pub protocol: u16,
    /// How many each pod made; 0 for what was there before the window.
    pub count: u64,
    /// When.
    pub at: Offset,
}

/// Events that a recorder counted but could not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Line of the text.
    pub line: usize,
    /// Node.
    pub node: String,
    /// Hook.
    pub hook: Hook,
    /// Why.
    pub counter: Counter,
    /// How many.
    pub count: u64,
    /// When.
    pub at: Offset,
}

/// An interval in which a node's recorder saw nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Line of the text.
    pub line: usize,
    /// Node.
    pub node: String,
    /// Interval.
    pub at: Span,
}
