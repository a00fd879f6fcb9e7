//! The pods, namespaces and nodes that policies are evaluated against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::policy::ports::Protocol;
use crate::policy::select::Labels;

/// The label that the API server sets on every namespace (Kubernetes 1.22 and later), with the namespace's name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A pod as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The namespace.
    pub namespace: String,
    /// The name, unique in the namespace.
    pub name: String,
    /// The labels.
    pub labels: Labels,
    /// The addresses, the primary one first; may be empty for pods that do not run yet.
    pub addresses: Vec<IpAddr>,
    /// Whether the pod shares the network of its node. Policies do not select such pods.
    pub host_network: bool,
    /// The node it runs on, if known.
    pub node: Option<String>,
    /// The container ports that have a name.
    pub ports: Vec<NamedPort>,
}

impl Pod {
    /// What no other pod of a world has: its namespace and name.
    #[must_use]
    pub fn full_name(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }
}

/// A container port with a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPort {
    /// The name.
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port number in the container.
    pub port: u16,
}

/// One end of a connection.
///
/// A connection has one address at each end. For pods of two address families the caller says which one is used:
/// policies with `ipBlock` peers may answer differently for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// A pod, seen under one of its addresses; without an address no `ipBlock` matches it.
    Pod {
        /// The pod.
        pod: &'a Pod,
        /// The address in use.
        address: Option<IpAddr>,
    },
    /// An address outside the pods: external, or of a node. The caller has made sure that no pod holds it, see
    /// [`World::endpoint_at`].
    Address(IpAddr),
}

impl fmt::Display for Endpoint<'_> {
    /// A pod as `namespace/name`, anything else as its address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { pod, address: _ } => write!(f, "{}/{}", pod.namespace, pod.name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl<'a> Endpoint<'a> {
    /// The pod, if policies can select it: it is one, and not on its node's network.
    #[must_use]
    pub fn selectable_pod(self) -> Option<&'a Pod> {
        match self {
            Endpoint::Pod { pod, address: _ } if !pod.host_network => Some(pod),
            Endpoint::Pod { .. } | Endpoint::Address(_) => None,
        }
    }

    /// The address in use, if known; never IPv4 mapped into IPv6.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        let address = match self {
            Endpoint::Pod { pod: _, address } => address,
            Endpoint::Address(address) => Some(address),
        };
        address.map(|address| address.to_canonical())
    }
}

/// Why pods and namespaces make no world.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorldError {
    /// Two pods with one name.
    #[error("pod `{namespace}/{name}` is given twice, keep one of them")]
    DuplicatePod {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
    /// A pod whose namespace, and thus whose namespace labels, are unknown.
    #[error("pod `{namespace}/{name}` is in a namespace that is not given, add the namespace with its labels")]
    UnknownNamespace {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
}

/// All that exists besides policies. Names are unique and every pod's namespace is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    namespaces: BTreeMap<String, Labels>,
    /// By namespace, then name.
    pods: Vec<Pod>,
    nodes: BTreeMap<String, Vec<IpAddr>>,
    node_addresses: BTreeSet<IpAddr>,
    api_server: BTreeSet<IpAddr>,
    names: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl World {
    /// Puts namespaces with their labels, pods, and nodes with their addresses together. Every namespace gets
    /// [`NAMESPACE_NAME_LABEL`], whether it is given or not, because no API server leaves it out. IPv4 addresses mapped into IPv6 become IPv4.
    pub fn new(
        namespaces: BTreeMap<String, Labels>,
        pods: impl IntoIterator<Item = Pod>,
        nodes: BTreeMap<String, Vec<IpAddr>>,
    ) -> Result<Self, WorldError> {
        let mut world = Self {
            namespaces,
            pods: pods.into_iter().collect(),
            nodes,
            ..Self::default()
        };
        for addresses in world.nodes.values_mut() {
            canonicalize(addresses);
            world.node_addresses.extend(addresses.iter());
        }
        for (name, labels) in &mut world.namespaces {
            labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
        }
        for pod in &mut world.pods {
            canonicalize(&mut pod.addresses);
        }
        world
            .pods
            .sort_by(|left, right| left.full_name().cmp(&right.full_name()));
        let names = |pod: &Pod| (pod.namespace.clone(), pod.name.clone());
        if let Some(pod) = world
            .pods
            .iter()
            .find(|pod| !world.namespaces.contains_key(&pod.namespace))
        {
            let (namespace, name) = names(pod);
            return Err(WorldError::UnknownNamespace { namespace, name });
        }
        for both in world.pods.windows(2) {
            if let [one, other] = both
                && one.full_name() == other.full_name()
            {
                let (namespace, name) = names(one);
                return Err(WorldError::DuplicatePod { namespace, name });
            }
        }
        Ok(world)
    }

    /// The same with the addresses at which the API server answers.
    #[must_use]
    pub fn with_api_server(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.api_server
            .extend(addresses.into_iter().map(|address| address.to_canonical()));
        self
    }

    /// The same with addresses outside the cluster and the DNS names that they have, in lower case and without a dot at the end.
    #[must_use]
    pub fn with_names(mut self, names: impl IntoIterator<Item = (String, IpAddr)>) -> Self {
        for (name, address) in names {
            self.names.entry(name).or_default().insert(address.to_canonical());
        }
        self
    }

    /// The addresses at which the API server answers, as far as they are known.
    #[must_use]
    pub const fn api_server(&self) -> &BTreeSet<IpAddr> {
        &self.api_server
    }

    /// The addresses that are known to have a DNS name.
    pub fn addresses_of(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.names.get(name).into_iter().flatten().copied()
    }

    /// Whether an address is one of a node.
    #[must_use]
    pub fn is_node(&self, address: IpAddr) -> bool {
        self.node_addresses.contains(&address.to_canonical())
    }

    /// The labels of a namespace; `None` if there is no such namespace.
    #[must_use]
    pub fn namespace_labels(&self, namespace: &str) -> Option<&Labels> {
        self.namespaces.get(namespace)
    }

    /// The addresses of a node; none if the node is not known.
    #[must_use]
    pub fn node_addresses(&self, node: &str) -> &[IpAddr] {
        self.nodes.get(node).map_or(&[], Vec::as_slice)
    }

    /// The namespaces with their labels, by name.
    #[must_use]
    pub const fn namespaces(&self) -> &BTreeMap<String, Labels> {
        &self.namespaces
    }

    /// The nodes with their addresses, by name.
    #[must_use]
    pub const fn nodes(&self) -> &BTreeMap<String, Vec<IpAddr>> {
        &self.nodes
    }

    /// The same cluster with other pods and namespaces: all of these, and no others.
    ///
    /// # Errors
    ///
    /// Where they make no world, as in [`Self::new`].
    pub fn with_pods(
        &self,
        namespaces: BTreeMap<String, Labels>,
        pods: impl IntoIterator<Item = Pod>,
    ) -> Result<Self, WorldError> {
        let world = Self::new(namespaces, pods, self.nodes.clone())?;
        Ok(Self {
            api_server: self.api_server.clone(),
            names: self.names.clone(),
            ..world
        })
    }

    /// All pods by namespace, then name.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter()
    }

    /// One pod.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        let at = self
            .pods
            .binary_search_by(|pod| pod.full_name().cmp(&(namespace, name)));
        at.ok().map(|at| &self.pods[at])
    }

    /// The endpoints that `pod` has: one for each of its addresses, or one without an address. Pods on the network of
    /// their node have the node's addresses if they list none.
    #[must_use]
    pub fn endpoints<'a>(&'a self, pod: &'a Pod) -> Vec<Endpoint<'a>> {
        let own = pod.addresses.as_slice();
        let addresses = match &pod.node {
            Some(node) if own.is_empty() && pod.host_network => self.node_addresses(node),
            Some(_) | None => own,
        };
        if addresses.is_empty() {
            return vec![Endpoint::Pod { pod, address: None }];
        }
        addresses
            .iter()
            .map(|&address| Endpoint::Pod {
                pod,
                address: Some(address),
            })
            .collect()
    }

    /// The endpoint of `pod` under its primary address.
    #[must_use]
    pub fn endpoint<'a>(&'a self, pod: &'a Pod) -> Endpoint<'a> {
        self.endpoints(pod)
            .first()
            .copied()
            .unwrap_or(Endpoint::Pod { pod, address: None })
    }

    /// Who is at `address`: the pod with a network of its own that holds it, else the bare address. Where several pods
    /// claim it, the first by namespace and name.
    #[must_use]
    pub fn endpoint_at(&self, address: IpAddr) -> Endpoint<'_> {
        let address = address.to_canonical();
        let holds = |pod: &&Pod| !pod.host_network && pod.addresses.contains(&address);
        match self.pods().find(holds) {
            Some(pod) => Endpoint::Pod {
                pod,
                address: Some(address),
            },
            None => Endpoint::Address(address),
        }
    }
}

fn canonicalize(addresses: &mut [IpAddr]) {
    for address in addresses {
        *address = address.to_canonical();
    }
}
