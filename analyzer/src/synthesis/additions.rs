//! What policies allow beyond the recording, on purpose and by name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::identity::cluster::Cluster;
use crate::policy::cidr::Cidr;
use crate::policy::model::Peer;

/// Why something is allowed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Name resolution over the protocol that was not seen: clients fall back from UDP to TCP for long answers.
    Dns,
    /// The servers behind a DNS cache of the node, which answer when it does not run.
    DnsBehindCache,
    /// Clients outside the cluster, on a port that the cluster itself publishes.
    Published,
}

impl Kind {
    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::DnsBehindCache => "dns-behind-cache",
            Self::Published => "published",
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Dns => "name resolution is one unit, UDP and TCP",
            Self::DnsBehindCache => "the servers behind a DNS cache of the node answer when it does not run",
            Self::Published => "the cluster publishes this port to everybody outside it",
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
    /// The rule: `ingress/0`.
    pub rule: String,
    /// Why it is allowed.
    pub kind: Kind,
    /// The port and protocol: `53/TCP`.
    pub port: String,
}

impl fmt::Display for Addition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            policy,
            rule,
            kind,
            port,
        } = self;
        write!(
            formatter,
            "{namespace}/{policy} {rule} allows {port}: {}",
            kind.reason()
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
