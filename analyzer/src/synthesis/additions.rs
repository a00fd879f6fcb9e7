//! What policies allow beyond the recording, on purpose and by name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::counted::counted;
use crate::identity::cluster::Cluster;
use crate::identity::published::PublishedPort;
use crate::policy::cidr::Cidr;
use crate::policy::model::{Direction, Peer, PortRule};

/// Why something is allowed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Name resolution over the protocol that was not seen: clients fall back from UDP to TCP for long answers.
    Dns,
    /// The servers behind a DNS cache of the node, which answer when it does not run.
    DnsBehindCache,
    /// Clients outside the cluster, on a port that the cluster itself publishes.
    Published,
    /// Further addresses of a node that was seen.
    Node,
    /// Further endpoints of the API server.
    ApiServer,
    /// The address of a Service, for a network plugin that looks for it.
    ServiceAddress,
    /// What was tried and did not succeed.
    Failed,
    /// More addresses outside, as a prefix with those that were recorded.
    Cidr,
    /// A range of addresses that was named.
    Range,
    /// A range of addresses that is set aside for private networks.
    WellKnown,
    /// More ports, as a range with those that were recorded.
    Ports,
    /// All pods of a namespace.
    Namespace,
    /// All addresses of a prefix that nodes are in.
    Nodes,
}

impl Kind {
    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::DnsBehindCache => "dns-behind-cache",
            Self::Published => "published",
            Self::Node => "node",
            Self::ApiServer => "api-server",
            Self::ServiceAddress => "service-address",
            Self::Failed => "failed",
            Self::Cidr => "cidr",
            Self::Range => "range",
            Self::WellKnown => "well-known",
            Self::Ports => "ports",
            Self::Namespace => "namespace",
            Self::Nodes => "nodes",
        }
    }

    /// The reason in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Dns => "name resolution is one unit, UDP and TCP",
            Self::DnsBehindCache => "the servers behind a DNS cache of the node answer when it does not run",
            Self::Published => "the cluster publishes this port to everybody outside it",
            Self::Node => "a node is one unit, with all its addresses",
            Self::ApiServer => "the API server is one unit, with all its endpoints",
            Self::ServiceAddress => "the network plugin judges this at the Service's address, before it is translated",
            Self::Failed => "it was tried without success (--include-failed)",
            Self::Cidr => "--widen cidr",
            Self::Range => "--widen range",
            Self::WellKnown => "--widen well-known",
            Self::Ports => "--widen ports",
            Self::Namespace => "--widen namespace",
            Self::Nodes => "--widen nodes",
        }
    }
}

/// One thing allowed without a recorded edge that needs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Addition {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// The direction of the rule.
    pub direction: Direction,
    /// The position of the rule in it.
    pub index: usize,
    /// Why it is allowed.
    pub kind: Kind,
    /// Which peer of the rule.
    pub peer: Peer,
    /// Which port of the rule.
    pub port: PortRule,
    /// How much that is beyond the recording; `None` where it is this peer on this port.
    pub beyond: Option<Beyond>,
}

/// How much a widening allows beyond the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beyond {
    /// Addresses that were not recorded.
    Addresses {
        /// How many.
        count: u128,
        /// How many that were.
        recorded: usize,
    },
    /// Ports that were not recorded.
    Ports {
        /// How many.
        count: usize,
        /// How many that were.
        recorded: usize,
    },
    /// Pods that no workload of the tape has; how many workloads were recorded.
    Pods {
        /// Workloads.
        recorded: usize,
    },
}

impl Addition {
    /// The rule: `ingress/0`.
    #[must_use]
    pub fn rule(&self) -> String {
        format!("{}/{}", self.direction, self.index)
    }
}

impl fmt::Display for Addition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            policy,
            direction,
            index,
            kind,
            peer,
            port,
            beyond,
        } = self;
        let reason = kind.reason();
        write!(formatter, "{namespace}/{policy} {direction}/{index} allows ")?;
        match beyond {
            None => write!(formatter, "{port}: {reason}"),
            Some(Beyond::Addresses { count, recorded }) => write!(
                formatter,
                "{peer} on {port}: {} beyond {recorded} recorded ({reason})",
                counted(*count, "address", "addresses")
            ),
            Some(Beyond::Ports { count, recorded }) => write!(
                formatter,
                "{peer} on {port}: {} beyond {recorded} recorded ({reason})",
                counted(*count, "port", "ports")
            ),
            Some(Beyond::Pods { recorded }) => write!(
                formatter,
                "{peer} on {port}: pods beyond those of {recorded} workloads recorded, should any come ({reason})"
            ),
        }
    }
}

/// The ranges of pods and the addresses of nodes.
pub(super) fn inside(cluster: &Cluster) -> BTreeSet<Cidr> {
    let mut inside: BTreeSet<Cidr> = BTreeSet::new();
    for node in cluster.nodes.values() {
        inside.extend(node.pod_ranges.iter().filter_map(|range| range.parse::<Cidr>().ok()));
        inside.extend(node.addresses.iter().map(|address| Cidr::host(address.ip())));
    }
    inside
}

/// Those outside the cluster that a published port is meant for: of the ranges it admits, or of all addresses of both
/// families, those that are not of pods and nodes.
pub(super) fn outside_peers(inside: &BTreeSet<Cidr>, port: &PublishedPort) -> Vec<Peer> {
    let everything = || {
        let all = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
        all.into_iter().filter_map(|address| Cidr::new(address, 0)).collect()
    };
    let admitted: Vec<Cidr> = port.sources.as_ref().map_or_else(everything, |ranges| {
        let ranges = ranges.iter().filter_map(|range| range.to_string().parse().ok());
        ranges.collect()
    });
    let is_outside = |range: &Cidr| port.sources.is_none() || !inside.iter().any(|hole| hole.covers(*range));
    let peer = |range: Cidr| {
        let holes = inside
            .iter()
            .copied()
            .filter(|hole| *hole != range && range.covers(*hole));
        Peer::block_except(range, holes)
    };
    admitted.into_iter().filter(is_outside).filter_map(peer).collect()
}
