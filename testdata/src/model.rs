//! What a scenario says: a toy cluster and its traffic, as declared in the text.
//!
//! Nothing here is derived: pod names, addresses and identifiers that the text leaves open are chosen by
//! [`crate::layout`], connections are resolved by [`crate::connection`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

mod cluster;
mod traffic;

pub use cluster::{
    CgroupDriver, ContainerPort, CustomKind, External, HostName, Kind, Metadata, Namespace, Node, Policy, PortRef,
    Probe, ProbeKind, ProbeRole, Proxy, Replica, Service, ServicePort, ServiceTraffic, Workload,
};
pub use traffic::{
    Client, ClientSocket, FoldedSide, Folding, Gap, Loss, Outcome, Samples, SeenBy, Server, Sockets, Traffic,
    WorkloadRef,
};

/// Labels in their canonical order.
pub type Labels = BTreeMap<String, String>;

/// A toy cluster and what its sockets did in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Length of the window.
    pub window: Offset,
    /// Nodes, in the order of the text.
    pub nodes: Vec<Node>,
    /// Namespaces, declared or used, in the order of the text.
    pub namespaces: Vec<Namespace>,
    /// Workloads, in the order of the text.
    pub workloads: Vec<Workload>,
    /// Services, in the order of the text.
    pub services: Vec<Service>,
    /// Addresses outside the cluster.
    pub externals: Vec<External>,
    /// NetworkPolicy objects that existed during the window.
    pub policies: Vec<Policy>,
    /// How the metadata of the cluster was obtained.
    pub metadata: Metadata,
    /// What the sockets did.
    pub traffic: Vec<Traffic>,
    /// Sockets besides those of the traffic.
    pub sockets: Vec<Sockets>,
    /// Events the recorder says it could not keep.
    pub losses: Vec<Loss>,
    /// Intervals in which a node's recorder saw nothing.
    pub gaps: Vec<Gap>,
}

impl Scenario {
    /// The name of an external that is a server, if it is declared with one.
    #[must_use]
    pub fn name_of(&self, server: &Server) -> Option<&str> {
        let Server::External(address, ..) = server else {
            return None;
        };
        let external = self.externals.iter().find(|external| external.address == *address)?;
        external.name.as_deref()
    }
}

/// A point in time: nanoseconds since the start of the window; negative before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Offset(pub i64);

impl Offset {
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);

    /// A whole number of seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(Self::SECOND.0))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, nanos) in [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)] {
            if self.0 != 0 && self.0 % nanos == 0 {
                return write!(f, "{}{unit}", self.0 / nanos);
            }
        }
        match self.0 {
            0 => f.write_str("0s"),
            nanos if nanos % 1_000_000 == 0 => write!(f, "{}ms", nanos / 1_000_000),
            nanos if nanos % 1_000 == 0 => write!(f, "{}us", nanos / 1_000),
            nanos => write!(f, "{nanos}ns"),
        }
    }
}

/// Part of the window, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First instant.
    pub first: Offset,
    /// Last instant, not before the first.
    pub last: Offset,
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, IANA protocol number 6.
    Tcp,
    /// UDP, IANA protocol number 17.
    Udp,
    /// SCTP, IANA protocol number 132.
    Sctp,
}

impl Protocol {
    /// The IANA protocol number, as in the IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// An address range; the address has no bits beyond the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    /// First address of the range.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub prefix: u8,
}

impl Cidr {
    /// Whether `address` is in the range; never for an address of the other family.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(base), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The address `nth` places after the first, if it is still in the range.
    #[must_use]
    pub fn nth(self, nth: u32) -> Option<IpAddr> {
        let address = match self.address {
            IpAddr::V4(base) => IpAddr::V4(base.to_bits().checked_add(nth)?.into()),
            IpAddr::V6(base) => IpAddr::V6(base.to_bits().checked_add(nth.into())?.into()),
        };
        self.contains(address).then_some(address)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A namespaced name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Namespace.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
