//! An edge: the unit policies are made of.

use std::borrow::Cow;
use std::fmt;

use flowtape_schemas::address::Address;
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

use crate::findings::Samples;
use crate::identity::service::ServiceHit;
use crate::identity::{Identity, Names, Role};
use crate::sorted::Sorted;

/// One side of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// What it was.
    pub identity: Identity,
    /// What part it played, if a special one.
    pub role: Option<Role>,
}

/// IANA protocol number of a transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transport(pub u8);

impl Transport {
    /// Transmission Control Protocol, RFC 9293.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol, RFC 768.
    pub const UDP: Self = Self(17);
    /// Stream Control Transmission Protocol, RFC 9260.
    pub const SCTP: Self = Self(132);
}

impl Transport {
    /// Its name, as Kubernetes spells it.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::TCP => "TCP".into(),
            Self::UDP => "UDP".into(),
            Self::SCTP => "SCTP".into(),
            Self(number) => format!("IP-{number}").into(),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.name())
    }
}

/// What an edge is identified by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeKey {
    /// The client.
    pub from: Peer,
    /// The server.
    pub to: Peer,
    /// The protocol.
    pub protocol: Transport,
    /// The server's own port: of a Service the targetPort, never the client's port.
    pub port: u16,
    /// How the attempts ended. Attempts of different outcome are different edges.
    pub outcome: Outcome,
}

/// A client, a server, a port, and what supports that they talked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What identifies it.
    pub key: EdgeKey,
    /// What supports it.
    pub evidence: Evidence,
}

/// What supports an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Connections or datagrams; where both sides saw them, the larger of the two numbers. 0 for one that only predates the window.
    pub count: u64,
    /// The first of them.
    pub first_seen: Time,
    /// The last of them.
    pub last_seen: Time,
    /// Whose sockets were recorded.
    pub seen_by: Sorted<Side>,
    /// Whether one was open before the window began.
    pub predates_window: bool,
    /// Nodes whose recorder saw it.
    pub nodes: Sorted<String>,
    /// Services through which the client went; empty for a direct connection.
    pub services: Sorted<ServiceUse>,
    /// Those of them of which that is supposed, because something else that a client asked for explains it as well.
    pub rivalled: Sorted<ServiceUse>,
    /// Ports of nodes through which the client went to them.
    pub node_ports: Sorted<u16>,
    /// What nodes did to the addresses of some of them on the way.
    pub translated: Sorted<Translation>,
    /// Name of the server's port, where its pod declares one.
    pub port_name: Option<String>,
    /// Whether a named finding supposed the server rather than seeing it.
    pub assumed: bool,
    /// The pods or addresses that talked, client first.
    pub pairs: Sorted<(Endpoint, Endpoint)>,
    /// The first rows it was counted in.
    pub samples: Samples,
}

impl Evidence {
    /// Adds what supports the same edge as well.
    pub(super) fn absorb(&mut self, other: Self) {
        let Self {
            count,
            first_seen,
            last_seen,
            seen_by,
            predates_window,
            nodes,
            services,
            rivalled,
            node_ports,
            translated,
            port_name,
            assumed,
            pairs,
            samples,
        } = other;
        self.count = self.count.saturating_add(count);
        self.first_seen = self.first_seen.min(first_seen);
        self.last_seen = self.last_seen.max(last_seen);
        self.seen_by.extend(seen_by);
        self.predates_window |= predates_window;
        self.nodes.extend(nodes);
        // Where the server is supposed, every Service is, and none is said to be.
        let certain = |is_supposed: bool, all: &Sorted<ServiceUse>, doubted: &Sorted<ServiceUse>| -> Vec<ServiceUse> {
            let seen = all.iter().filter(|_| !is_supposed);
            seen.filter(|service| !doubted.contains(service)).cloned().collect()
        };
        let mut known = certain(self.assumed, &self.services, &self.rivalled);
        known.extend(certain(assumed, &services, &rivalled));
        self.services.extend(services);
        let doubted = self.services.iter().filter(|service| !known.contains(service));
        self.rivalled = doubted.filter(|_| !(self.assumed && assumed)).cloned().collect();
        self.node_ports.extend(node_ports);
        self.translated.extend(translated);
        // Ports that are named differently leave no single name.
        self.port_name = self.port_name.take().filter(|name| port_name.as_ref() == Some(name));
        self.assumed &= assumed;
        self.pairs.extend(pairs);
        self.samples.merge(&samples);
    }
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Who opened it.
    Client,
    /// Who accepted it.
    Server,
}

impl Side {
    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// What a node did to the addresses of a connection, so that the server saw another client than the one that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Translation {
    /// It put its own address in the client's place.
    Source,
    /// The same, for a client that a Service led back to itself.
    Hairpin,
}

impl Translation {
    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Source => "snat",
            Self::Hairpin => "hairpin",
        }
    }
}

/// A Service as the client addressed it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceUse {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// The port that the client addressed.
    pub port: u16,
}

impl From<ServiceHit<'_>> for ServiceUse {
    fn from(hit: ServiceHit<'_>) -> Self {
        Self {
            namespace: hit.namespace.to_owned(),
            name: hit.name.to_owned(),
            port: hit.port,
        }
    }
}

impl fmt::Display for ServiceUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}:{}", self.namespace, self.name, self.port)
    }
}

/// A single pod or address behind an identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// A pod, by namespace and name.
    Pod {
        /// Namespace of the pod.
        namespace: String,
        /// Name of the pod.
        name: String,
    },
    /// An address that is no pod's own.
    Address(Address),
    /// Not known.
    Unknown,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } => write!(formatter, "{namespace}/{name}"),
            Self::Address(address) => address.fmt(formatter),
            Self::Unknown => formatter.write_str("unknown"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identity {
            Identity::Workload(workload) => workload.fmt(formatter)?,
            Identity::Service { namespace, name } => write!(formatter, "{namespace}/Service/{name}")?,
            Identity::Node { name } => write!(formatter, "node:{name}")?,
            Identity::External { address, names } => {
                address.fmt(formatter)?;
                known_as(names, formatter)?;
            }
            Identity::Unknown {
                address: Some(address),
                reason,
            } => {
                write!(formatter, "unknown:{address} ({})", reason.word())?;
            }
            Identity::Unknown { address: None, reason } => write!(formatter, "unknown ({})", reason.word())?,
        }
        match self.role {
            Some(role) => write!(formatter, " [{}]", role.word()),
            None => Ok(()),
        }
    }
}

/// The first names of an address, as many as a line has room for.
fn known_as(names: &Names, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    const SHOWN: usize = 2;
    for (place, name) in names.iter().take(SHOWN).enumerate() {
        write!(formatter, "{}{name}", if place == 0 { " (" } else { ", " })?;
    }
    match names.len() {
        0 => Ok(()),
        1..=SHOWN => formatter.write_str(")"),
        more => write!(formatter, ", and {} more)", more - SHOWN),
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EdgeKey {
            from,
            to,
            protocol,
            port,
            outcome: _,
        } = &self.key;
        write!(formatter, "{from} -> {to} {port}/{protocol}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, ServiceUse};
    use crate::findings::Samples;
    use flowtape_schemas::time::Time;

    /// What supports an edge to which Services led, some of them supposed.
    fn evidence(services: &[&str], rivalled: &[&str], assumed: bool) -> Evidence {
        let used = |names: &[&str]| {
            let service = |name: &&str| ServiceUse {
                namespace: "shop".to_owned(),
                name: (*name).to_owned(),
                port: 80,
            };
            names.iter().map(service).collect()
        };
        Evidence {
            count: 1,
            first_seen: Time(0),
            last_seen: Time(1),
            seen_by: [].into(),
            predates_window: false,
            nodes: [].into(),
            services: used(services),
            rivalled: used(rivalled),
            node_ports: [].into(),
            translated: [].into(),
            port_name: None,
            assumed,
            pairs: [].into(),
            samples: Samples::default(),
        }
    }

    #[test]
    fn a_service_is_certain_where_a_side_that_was_seen_says_so() {
        let seen = evidence(&["all", "own"], &["all"], false);
        for (other, rivalled) in [
            (evidence(&["all"], &[], true), &["all"][..]),
            (evidence(&["more"], &[], true), &["all", "more"]),
            (evidence(&["own"], &["own"], false), &["all"]),
            (evidence(&["all"], &[], false), &[]),
        ] {
            for (one, other) in [(&seen, &other), (&other, &seen)] {
                let mut both = one.clone();
                both.absorb(other.clone());
                let names: Vec<&str> = both.rivalled.iter().map(|service| service.name.as_str()).collect();
                assert_eq!(names, rivalled, "{one:?} and {other:?}");
                assert!(!both.assumed);
            }
        }
        let mut supposed = evidence(&["all"], &[], true);
        supposed.absorb(evidence(&["more"], &[], true));
        assert!(
            supposed.assumed && supposed.rivalled.is_empty(),
            "where the server is supposed, everything is"
        );
    }
}
