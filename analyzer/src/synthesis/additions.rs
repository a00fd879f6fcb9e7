//! What policies allow beyond the recording, on purpose and by name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::identity::cluster::Cluster;
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
            peer: _,
            port,
        } = self;
        let reason = kind.reason();
        write!(
            formatter,
            "{namespace}/{policy} {direction}/{index} allows {port}: {reason}"
        )
    }
}

/// Everybody outside the cluster, of both families: all addresses but those of pods and nodes.
pub(super) fn outside_peers(cluster: &Cluster) -> Vec<Peer> {
    let mut inside: BTreeSet<Cidr> = BTreeSet::new();
    for node in cluster.nodes.values() {
        inside.extend(node.pod_ranges.iter().filter_map(|range| range.parse::<Cidr>().ok()));
        inside.extend(node.addresses.iter().map(|address| Cidr::host(address.ip())));
    }
    let all = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
    let peer = |address: IpAddr| {
        let everything = Cidr::new(address, 0)?;
        let holes = inside
            .iter()
            .copied()
            .filter(|hole| *hole != everything && everything.covers(*hole));
        Peer::block_except(everything, holes)
    };
    all.into_iter().filter_map(peer).collect()
}
