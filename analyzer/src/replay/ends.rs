//! Which ends of connections policies of a recording cannot tell apart: pods of one workload, addresses of one node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::world::representative;
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::ports::Protocol;
use crate::semantics::eval::Connection;
use crate::semantics::world::{Endpoint, Pod, World};

/// What an end of a connection counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// A pod of the workload with this number.
    Workload(usize),
    /// The node with this number, or what is on its network.
    Node(usize),
    /// Any other address.
    Address(IpAddr),
    /// A pod that belongs to no workload, or that nobody can tell.
    Nobody,
}

/// Who is who in a world.
pub(super) struct Ends<'a> {
    /// The number of its workload, by namespace and name.
    pods: BTreeMap<(&'a str, &'a str), usize>,
    /// By number, in their order.
    workloads: Vec<&'a Workload>,
    nodes: BTreeMap<&'a str, usize>,
    addresses: BTreeMap<IpAddr, usize>,
}

impl<'a> Ends<'a> {
    pub(super) fn new(cluster: &'a Cluster, world: &'a World) -> Self {
        let pods = cluster.pods.values();
        let pods = pods.map(|pod| (world.pod(&pod.namespace, &pod.name), &pod.workload));
        let templates = cluster.owners.templates().map(|(workload, row)| {
            let name = representative(&workload.kind, &workload.name);
            (world.pod(&row.namespace, &name), workload)
        });
        let known = templates.chain(pods);
        let of_pods: BTreeMap<_, _> = known
            .filter_map(|(pod, workload)| Some((pod?.full_name(), workload)))
            .collect();
        let distinct: BTreeSet<&Workload> = of_pods.values().copied().collect();
        let workloads: Vec<&Workload> = distinct.into_iter().collect();
        let numbered = of_pods
            .into_iter()
            .filter_map(|(pod, workload)| Some((pod, workloads.binary_search(&workload).ok()?)));
        let nodes = world.nodes().keys().enumerate().map(|(at, name)| (name.as_str(), at));
        let addresses = world.nodes().values().enumerate();
        Self {
            pods: numbered.collect(),
            workloads,
            nodes: nodes.collect(),
            addresses: addresses
                .flat_map(|(at, all)| all.iter().map(move |one| (*one, at)))
                .collect(),
        }
    }

    /// What an endpoint counts as.
    pub(super) fn of(&self, endpoint: Endpoint<'_>) -> End {
        match endpoint {
            Endpoint::Pod { pod, address: _ } if pod.host_network => {
                let node = pod.node.as_deref().and_then(|node| self.nodes.get(node));
                node.map_or(End::Nobody, |node| End::Node(*node))
            }
            Endpoint::Pod { pod, address: _ } => self.number(pod).map_or(End::Nobody, End::Workload),
            Endpoint::Address(address) => {
                let address = address.to_canonical();
                self.addresses
                    .get(&address)
                    .map_or(End::Address(address), |node| End::Node(*node))
            }
        }
    }

    fn number(&self, pod: &Pod) -> Option<usize> {
        self.pods.get(&pod.full_name()).copied()
    }

    /// The workload with a number.
    pub(super) fn workload(&self, end: End) -> Option<&'a Workload> {
        match end {
            End::Workload(number) => self.workloads.get(number).copied(),
            End::Node(_) | End::Address(_) | End::Nobody => None,
        }
    }

    /// What the pods of a workload count as.
    pub(super) fn of_workload(&self, workload: &Workload) -> Option<End> {
        self.workloads.binary_search(&workload).ok().map(End::Workload)
    }

    /// Whether an address belongs to a node.
    pub(super) fn is_node(&self, address: IpAddr) -> bool {
        self.addresses.contains_key(&address)
    }
}

/// A connection, for whatever policies of a recording cannot tell apart.
pub(super) type Kind = (End, End, Protocol, u16);

/// What kind a connection is of.
pub(super) fn kind(ends: &Ends<'_>, connection: &Connection<'_>) -> Kind {
    let Connection {
        from,
        to,
        protocol,
        port,
    } = *connection;
    (ends.of(from), ends.of(to), protocol, port)
}
