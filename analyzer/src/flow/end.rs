//! The ends of a connection by reference: whatever is looked up for every row is neither copied nor compared by its names.

use flowtape_schemas::address::Address;
use flowtape_schemas::node::Outcome;

use super::edge::{EdgeKey, Endpoint, Peer, Transport};
use crate::identity::cluster::Pod;
use crate::identity::resolve::{Party, Resolver};
use crate::identity::{Identity, Reason, Role};

/// A pod under a number that stands for a name of it, or of its workload. Told apart, and ordered, by the number alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered<'a> {
    number: u32,
    pod: &'a Pod,
}

impl<'a> Numbered<'a> {
    /// By its namespace and name.
    pub(super) fn by_name(pod: &'a Pod) -> Self {
        let number = pod.numbers.pod;
        Self { number, pod }
    }

    /// By its workload.
    pub(super) fn by_workload(pod: &'a Pod) -> Self {
        let number = pod.numbers.workload;
        Self { number, pod }
    }
}

impl PartialEq for Numbered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Numbered<'_> {}

impl PartialOrd for Numbered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numbered<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

/// An [`Endpoint`], equal and ordered as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EndpointRef<'a> {
    Pod(Numbered<'a>),
    Address(Address),
    Unknown,
}

impl<'a> EndpointRef<'a> {
    /// A pod.
    pub(super) fn of_pod(pod: &'a Pod) -> Self {
        Self::Pod(Numbered::by_name(pod))
    }

    /// The endpoint itself.
    pub(super) fn named(self) -> Endpoint {
        match self {
            Self::Pod(Numbered { pod, number: _ }) => Endpoint::Pod {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
            },
            Self::Address(address) => Endpoint::Address(address),
            Self::Unknown => Endpoint::Unknown,
        }
    }
}

/// An [`Identity`], equal and ordered as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IdentityRef<'a> {
    Workload(Numbered<'a>),
    Service { namespace: &'a str, name: &'a str },
    Node(&'a str),
    External(Address),
    Unknown(Option<Address>, Reason),
}

impl<'a> IdentityRef<'a> {
    /// That of a party that is a peer; `None` for what never is one.
    pub(super) fn of(party: Party<'a>) -> Option<Self> {
        match party {
            Party::Pod(pod) => Some(Self::Workload(Numbered::by_workload(pod))),
            Party::Node(name) => Some(Self::Node(name)),
            Party::External(address) => Some(Self::External(address)),
            Party::Unknown(address, reason) => Some(Self::Unknown(address, reason)),
            Party::Loopback | Party::Group => None,
        }
    }

    /// The identity itself.
    pub(super) fn named(self, resolver: &Resolver<'_>) -> Identity {
        match self {
            Self::Workload(Numbered { pod, number: _ }) => Identity::Workload(pod.workload.clone()),
            Self::Service { namespace, name } => Identity::Service {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            Self::Node(name) => Identity::Node { name: name.to_owned() },
            Self::External(address) => Identity::External {
                address,
                names: resolver.names_of(address),
            },
            Self::Unknown(address, reason) => Identity::Unknown { address, reason },
        }
    }
}

/// A [`Peer`], equal and ordered as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerRef<'a> {
    pub(super) identity: IdentityRef<'a>,
    pub(super) role: Option<Role>,
}

impl PeerRef<'_> {
    /// The peer itself.
    pub(super) fn named(self, resolver: &Resolver<'_>) -> Peer {
        Peer {
            identity: self.identity.named(resolver),
            role: self.role,
        }
    }
}

/// An [`EdgeKey`] with whatever stands for its peers: equal and ordered as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<P> {
    pub(super) from: P,
    pub(super) to: P,
    pub(super) protocol: Transport,
    pub(super) port: u16,
    pub(super) outcome: Outcome,
}

impl<P: Copy> Key<P> {
    /// The key without how the attempts ended.
    pub(super) fn attempt(&self) -> (P, P, Transport, u16) {
        (self.from, self.to, self.protocol, self.port)
    }

    /// The same with other peers.
    pub(super) fn map<Q>(self, of: impl Fn(P) -> Q) -> Key<Q> {
        let Self {
            from,
            to,
            protocol,
            port,
            outcome,
        } = self;
        Key {
            from: of(from),
            to: of(to),
            protocol,
            port,
            outcome,
        }
    }
}

impl From<Key<Peer>> for EdgeKey {
    fn from(key: Key<Peer>) -> Self {
        let Key {
            from,
            to,
            protocol,
            port,
            outcome,
        } = key;
        Self {
            from,
            to,
            protocol,
            port,
            outcome,
        }
    }
}
