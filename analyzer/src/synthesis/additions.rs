//! What policies allow beyond the recording, on purpose and by name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::identity::cluster::Cluster;
use crate::policy::cidr::Cidr;
use crate::policy::model::Peer;

/// One thing allowed without a recorded edge that needs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Addition {
    /// Policy and direction: `NAMESPACE/NAME ingress`.
    pub place: String,
    /// What it allows, and why.
    pub what: String,
}

impl fmt::Display for Addition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} allows {}", self.place, self.what)
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
