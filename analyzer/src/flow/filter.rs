//! Which edges are asked for.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use flowtape_schemas::address::Address;
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

use super::edge::{Edge, EdgeKey, Endpoint, Peer, Transport};
use crate::identity::prefix::Prefix;
use crate::identity::{Identity, Role, Workload};

/// Which edges are asked for: those that meet every part. A list is met by any of its members, and an empty one by all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Namespaces on either side.
    pub namespaces: Vec<String>,
    /// The client.
    pub from: Vec<PeerPattern>,
    /// The server.
    pub to: Vec<PeerPattern>,
    /// The server's own port.
    pub ports: Vec<PortPattern>,
    /// How the attempts ended.
    pub outcomes: Vec<Outcome>,
    /// Seen at this instant or later.
    pub since: Option<Time>,
    /// Seen before this instant.
    pub until: Option<Time>,
}

impl Filter {
    /// Whether an edge is asked for.
    #[must_use]
    pub fn admits(&self, edge: &Edge) -> bool {
        let Self {
            namespaces,
            from,
            to,
            ports,
            outcomes,
            since,
            until,
        } = self;
        let Edge { key, evidence } = edge;
        let sides = [&key.from, &key.to].map(|peer| namespace(&peer.identity));
        let client = |pattern: &PeerPattern| pattern.matches(&key.from, evidence.pairs.iter().map(|pair| &pair.0));
        let server = |pattern: &PeerPattern| pattern.matches(&key.to, evidence.pairs.iter().map(|pair| &pair.1));
        any(namespaces, |wanted| sides.contains(&Some(wanted.as_str())))
            && any(from, client)
            && any(to, server)
            && any(ports, |pattern| pattern.matches(key))
            && any(outcomes, |outcome| *outcome == key.outcome)
            && since.is_none_or(|since| evidence.last_seen >= since)
            && until.is_none_or(|until| evidence.first_seen < until)
    }
}

fn any<T>(list: &[T], matches: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(matches)
}

fn namespace(identity: &Identity) -> Option<&str> {
    match identity {
        Identity::Workload(Workload { namespace, .. }) | Identity::Service { namespace, name: _ } => Some(namespace),
        Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => None,
    }
}

/// Which peers are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerPattern {
    /// `shop`: what is in a namespace.
    Namespace(String),
    /// `shop/web`: a workload, Service or pod.
    Named {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// `shop/Deployment/web`: a workload of one kind.
    Workload {
        /// Its namespace.
        namespace: String,
        /// Its kind, in any case.
        kind: String,
        /// Its name.
        name: String,
    },
    /// `node:n1`.
    Node(String),
    /// `10.0.0.0/8` or `10.0.0.1`: what had such an address and is no pod.
    Addresses(Prefix),
    /// `type:external`: a type of peer, by its word in JSON.
    Type(&'static str),
    /// `role:dns`: a part that a peer plays, by its word in JSON.
    Role(Role),
}

/// A text that names no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerPatternError {
    /// None of the forms.
    #[error(
        "write NAMESPACE, NAMESPACE/NAME, NAMESPACE/KIND/NAME, node:NAME, an address or prefix, type:TYPE or role:ROLE"
    )]
    Form,
    /// No such type.
    #[error("no type `{word}`; there are {}", TYPES.join(", "))]
    Type {
        /// What was written.
        word: String,
    },
    /// No such role.
    #[error("no role `{word}`; there are {}", Role::ALL.map(Role::word).join(", "))]
    Role {
        /// What was written.
        word: String,
    },
}

/// The types of peers, as JSON has them. That of everybody only a diff of policies has.
const TYPES: [&str; 7] = ["workload", "service", "node", "external", "unknown", "any", "any-pod"];

fn type_of(identity: &Identity) -> &'static str {
    match identity {
        Identity::Workload(_) => "workload",
        Identity::Service { .. } => "service",
        Identity::Node { .. } => "node",
        Identity::External { .. } => "external",
        Identity::Unknown { .. } => "unknown",
    }
}

impl PeerPattern {
    /// Whether the client or the server of an edge is asked for.
    #[must_use]
    pub fn is_end_of(&self, edge: &Edge) -> bool {
        let Edge { key, evidence } = edge;
        self.matches(&key.from, evidence.pairs.iter().map(|pair| &pair.0))
            || self.matches(&key.to, evidence.pairs.iter().map(|pair| &pair.1))
    }

    /// Whether a workload is asked for, whatever pods and part it has.
    #[must_use]
    pub fn names(&self, workload: &Workload) -> bool {
        self.means(&Identity::Workload(workload.clone()))
    }

    /// Whether somebody is asked for, whatever pods, addresses and part it has.
    #[must_use]
    pub fn means(&self, identity: &Identity) -> bool {
        let peer = Peer {
            identity: identity.clone(),
            role: None,
        };
        self.matches(&peer, std::iter::empty())
    }

    /// Whether an address is asked for that is no pod's.
    #[must_use]
    pub fn holds(&self, address: Address) -> bool {
        match self {
            Self::Addresses(prefix) => prefix.contains(address),
            Self::Namespace(_)
            | Self::Named { .. }
            | Self::Workload { .. }
            | Self::Node(_)
            | Self::Type(_)
            | Self::Role(_) => false,
        }
    }

    fn matches<'a>(&self, peer: &Peer, mut endpoints: impl Iterator<Item = &'a Endpoint>) -> bool {
        let identity = &peer.identity;
        match self {
            Self::Namespace(wanted) => namespace(identity) == Some(wanted),
            Self::Named {
                namespace: wanted,
                name,
            } => {
                let owner = match identity {
                    Identity::Workload(workload) => workload.namespace == *wanted && workload.name == *name,
                    Identity::Service { namespace, name: own } => namespace == wanted && own == name,
                    Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => false,
                };
                let is_pod = |endpoint: &Endpoint| match endpoint {
                    Endpoint::Pod { namespace, name: own } => namespace == wanted && own == name,
                    Endpoint::Address(_) | Endpoint::Unknown => false,
                };
                owner || endpoints.any(is_pod)
            }
            Self::Workload { namespace, kind, name } => match identity {
                Identity::Workload(workload) => {
                    workload.namespace == *namespace
                        && workload.kind.eq_ignore_ascii_case(kind)
                        && workload.name == *name
                }
                Identity::Service { .. }
                | Identity::Node { .. }
                | Identity::External { .. }
                | Identity::Unknown { .. } => false,
            },
            Self::Node(wanted) => matches!(identity, Identity::Node { name } if name == wanted),
            Self::Addresses(prefix) => endpoints.any(|endpoint| match endpoint {
                Endpoint::Address(address) => prefix.contains(*address),
                Endpoint::Pod { .. } | Endpoint::Unknown => false,
            }),
            Self::Type(word) => type_of(identity) == *word,
            Self::Role(role) => peer.role == Some(*role),
        }
    }
}

impl fmt::Display for PeerPattern {
    /// As it is asked for.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(namespace) => formatter.write_str(namespace),
            Self::Named { namespace, name } => write!(formatter, "{namespace}/{name}"),
            Self::Workload { namespace, kind, name } => write!(formatter, "{namespace}/{kind}/{name}"),
            Self::Node(name) => write!(formatter, "node:{name}"),
            Self::Addresses(prefix) => prefix.fmt(formatter),
            Self::Type(word) => write!(formatter, "type:{word}"),
            Self::Role(role) => write!(formatter, "role:{}", role.word()),
        }
    }
}

impl FromStr for PeerPattern {
    type Err = PeerPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(addresses) = addresses(text) {
            return Ok(Self::Addresses(addresses));
        }
        match text.split_once(':') {
            Some(("node", name)) if !name.is_empty() => return Ok(Self::Node(name.to_owned())),
            Some(("type", word)) => {
                let known = TYPES.into_iter().find(|known| *known == word);
                let unknown = || PeerPatternError::Type { word: word.to_owned() };
                return known.map(Self::Type).ok_or_else(unknown);
            }
            Some(("role", word)) => {
                let known = Role::ALL.into_iter().find(|role| role.word() == word);
                let unknown = || PeerPatternError::Role { word: word.to_owned() };
                return known.map(Self::Role).ok_or_else(unknown);
            }
            Some(_) => return Err(PeerPatternError::Form),
            None => {}
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(PeerPatternError::Form);
        }
        match *parts.as_slice() {
            [namespace] => Ok(Self::Namespace(namespace.to_owned())),
            [namespace, name] => Ok(Self::Named {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            [namespace, kind, name] => Ok(Self::Workload {
                namespace: namespace.to_owned(),
                kind: kind.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(PeerPatternError::Form),
        }
    }
}

/// The addresses that a text names: one, or a prefix.
fn addresses(text: &str) -> Option<Prefix> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(Prefix::of(Address::from(ip))),
        Err(_) => text.parse().ok(),
    }
}

/// Which ports are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPattern {
    ports: RangeInclusive<u16>,
    protocol: Option<Transport>,
}

/// A text that names no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write PORT, FIRST-LAST, or either with /TCP, /UDP or /SCTP behind it")]
pub struct PortPatternError;

impl PortPattern {
    /// The ports of a protocol that are asked for.
    #[must_use]
    pub fn range(&self, protocol: Transport) -> Option<RangeInclusive<u16>> {
        let here = self.protocol.is_none_or(|own| own == protocol);
        here.then(|| self.ports.clone())
    }

    fn matches(&self, key: &EdgeKey) -> bool {
        self.ports.contains(&key.port) && self.protocol.is_none_or(|protocol| protocol == key.protocol)
    }
}

impl FromStr for PortPattern {
    type Err = PortPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ports, protocol) = match text.split_once('/') {
            Some((ports, word)) => (ports, Some(transport(word).ok_or(PortPatternError)?)),
            None => (text, None),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let (first, last) = (number(first), number(last));
        let (first, last) = first.zip(last).ok_or(PortPatternError)?;
        if first > last {
            return Err(PortPatternError);
        }
        Ok(Self {
            ports: first..=last,
            protocol,
        })
    }
}

fn transport(word: &str) -> Option<Transport> {
    let known = [Transport::TCP, Transport::UDP, Transport::SCTP];
    known
        .into_iter()
        .find(|transport| transport.to_string().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::{Filter, PeerPattern, PortPattern};
    use crate::flow::edge::{Edge, EdgeKey, Endpoint, Evidence, Peer, Transport};
    use crate::identity::{Identity, Names, Role, Workload};
    use flowtape_schemas::address::Address;
    use flowtape_schemas::node::Outcome;
    use flowtape_schemas::time::Time;
    use std::net::IpAddr;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().unwrap())
    }

    /// From pod `web-1` of a Deployment to an address outside, seen from 100 to 200.
    fn edge() -> Edge {
        let (ip, pod) = (address("203.0.113.7"), "web-1".to_owned());
        let workload = Workload {
            namespace: "shop".to_owned(),
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
            host_network: false,
        };
        let peer = |identity, role| Peer { identity, role };
        let namespace = "shop".to_owned();
        let pair = (Endpoint::Pod { namespace, name: pod }, Endpoint::Address(ip));
        Edge {
            key: EdgeKey {
                from: peer(Identity::Workload(workload), None),
                to: peer(
                    Identity::External {
                        address: ip,
                        names: Names::default(),
                    },
                    Some(Role::MetadataService),
                ),
                protocol: Transport::TCP,
                port: 443,
                outcome: Outcome::Established,
            },
            evidence: Evidence {
                count: 1,
                first_seen: Time(100),
                last_seen: Time(200),
                seen_by: [].into(),
                predates_window: false,
                nodes: [].into(),
                node_ports: [].into(),
                translated: [].into(),
                services: [].into(),
                rivalled: [].into(),
                port_name: None,
                assumed: false,
                pairs: [pair].into(),
                samples: crate::findings::Samples::default(),
            },
        }
    }

    #[test]
    fn a_peer_is_named_in_every_form() {
        let from = |text: &str| Filter {
            from: vec![text.parse().unwrap()],
            ..Filter::default()
        };
        for text in ["shop", "shop/web", "shop/web-1", "shop/deployment/web", "type:workload"] {
            assert!(from(text).admits(&edge()), "{text}");
        }
        for text in [
            "sho",
            "shop/web-2",
            "shop/StatefulSet/web",
            "type:node",
            "node:web",
            "203.0.113.7",
        ] {
            assert!(!from(text).admits(&edge()), "{text}");
        }
        let to = |text: &str| Filter {
            to: vec![text.parse().unwrap()],
            ..Filter::default()
        };
        for text in [
            "203.0.113.7",
            "203.0.113.0/24",
            "0.0.0.0/0",
            "type:external",
            "role:metadata-service",
        ] {
            assert!(to(text).admits(&edge()), "{text}");
        }
        for text in ["203.0.113.8", "::/0", "type:unknown", "role:dns", "shop"] {
            assert!(!to(text).admits(&edge()), "{text}");
        }
    }

    #[test]
    fn a_text_that_names_nothing_is_told_so() {
        for (text, says) in [
            ("", "write NAMESPACE, "),
            ("shop/", "write NAMESPACE, "),
            ("a/b/c/d", "write NAMESPACE, "),
            ("pod:web", "write NAMESPACE, "),
            ("type:pod", "no type `pod`; there are workload, service"),
            ("role:boss", "no role `boss`; there are kubelet, own-node"),
        ] {
            let told = text.parse::<PeerPattern>().map_err(|error| error.to_string());
            assert!(
                told.clone().is_err_and(|told| told.starts_with(says)),
                "`{text}`: {told:?}"
            );
        }
    }

    #[test]
    fn ports_have_ranges_and_protocols() {
        let admits = |text: &str| {
            let ports = vec![text.parse().unwrap()];
            Filter {
                ports,
                ..Filter::default()
            }
            .admits(&edge())
        };
        for text in ["443", "443/TCP", "443/tcp", "1-65535", "443-443/TCP"] {
            assert!(admits(text), "{text}");
        }
        for text in ["80", "443/UDP", "444-65535", "1-442/TCP"] {
            assert!(!admits(text), "{text}");
        }
        for text in [
            "", "0", "65536", "https", "443/ICMP", "443/", "9-8", "-1", "1-", "1-2-3",
        ] {
            assert!(text.parse::<PortPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_within_when_something_was_seen_in_it() {
        let admits = |since: Option<i64>, until: Option<i64>| {
            Filter {
                since: since.map(Time),
                until: until.map(Time),
                ..Filter::default()
            }
            .admits(&edge())
        };
        assert!(
            admits(None, None) && admits(Some(200), None) && admits(None, Some(101)) && admits(Some(150), Some(160))
        );
        assert!(!admits(Some(201), None) && !admits(None, Some(100)));
    }

    #[test]
    fn every_part_must_be_met_and_any_member_of_a_part_will_do() {
        let both = |outcome, namespaces: &[&str]| Filter {
            outcomes: vec![Outcome::Refused, outcome],
            namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
            ..Filter::default()
        };
        assert!(both(Outcome::Established, &["bank", "shop"]).admits(&edge()));
        assert!(!both(Outcome::Timeout, &["shop"]).admits(&edge()));
        assert!(!both(Outcome::Established, &["bank"]).admits(&edge()));
    }
}
