//! What two ends may send each other: a set of ports for each protocol.

use crate::policy::model::{PortMatch, PortRule};
use crate::policy::ports::{PortSet, Protocol};

/// Ports of each protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Traffic {
    tcp: PortSet,
    udp: PortSet,
    sctp: PortSet,
}

impl Traffic {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every port of every protocol.
    #[must_use]
    pub fn all() -> Self {
        Self {
            tcp: PortSet::all(),
            udp: PortSet::all(),
            sctp: PortSet::all(),
        }
    }

    /// Ports of one protocol.
    #[must_use]
    pub fn of(protocol: Protocol, ports: PortSet) -> Self {
        let mut traffic = Self::none();
        *match protocol {
            Protocol::Tcp => &mut traffic.tcp,
            Protocol::Udp => &mut traffic.udp,
            Protocol::Sctp => &mut traffic.sctp,
        } = ports;
        traffic
    }

    /// What a port of a rule says by number; `None` where it names a port, which means something else on each pod.
    pub(super) fn of_rule(rule: &PortRule) -> Option<Self> {
        let ports = match &rule.port {
            PortMatch::Any => PortSet::all(),
            PortMatch::Range(range) => PortSet::from_iter([*range]),
            PortMatch::Named(_) => return None,
        };
        Some(Self::of(rule.protocol, ports))
    }

    /// The ports of one protocol.
    #[must_use]
    pub const fn ports(&self, protocol: Protocol) -> &PortSet {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Sctp => &self.sctp,
        }
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Protocol::ALL.iter().all(|&protocol| self.ports(protocol).is_empty())
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, PortSet::union)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, PortSet::intersection)
    }

    /// What is in this and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, PortSet::difference)
    }

    fn zip(&self, other: &Self, each: impl Fn(&PortSet, &PortSet) -> PortSet) -> Self {
        Self {
            tcp: each(&self.tcp, &other.tcp),
            udp: each(&self.udp, &other.udp),
            sctp: each(&self.sctp, &other.sctp),
        }
    }
}
