//! Where a connection leads.

use std::net::IpAddr;

use super::{Endpoint, Question, Socket};
use crate::endpoint::{Backend, backends};
use crate::model::{Name, Outcome, PortRef, Protocol, Server, Service, ServicePort, ServiceTraffic};

/// Where a connection leads.
pub(super) struct Target {
    pub(super) dialed: Endpoint,
    pub(super) backend: Endpoint,
    pub(super) socket: Option<Socket>,
    /// The address that a node put in the client's place.
    pub(super) translated_source: Option<IpAddr>,
}

impl Target {
    /// A connection that nothing translates.
    const fn direct(dialed: Endpoint, socket: Option<Socket>) -> Self {
        Self {
            dialed,
            backend: dialed,
            socket,
            translated_source: None,
        }
    }
}

/// How an address of a Service is published.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Publication {
    /// Inside the cluster.
    Cluster,
    /// To the outside, arriving at this node, or at any.
    Outside(Option<usize>),
}

impl Question<'_> {
    /// Resolves the line's server for a client.
    pub(super) fn server(&self, client: IpAddr, from: Option<Socket>) -> Result<Target, String> {
        match &self.traffic.server {
            Server::Service(name, port, protocol) => self.service(name, port, *protocol, client, from),
            Server::LoadBalancer(name, port, protocol) => {
                let service = self.service_named(name)?;
                let port = self.service_port(service, port, *protocol)?;
                let number = number(port);
                let address = self.family(
                    &service.load_balancer,
                    &format!("the load balancer of service `{name}`"),
                )?;
                self.address((address, number), *protocol, client, from)
            }
            Server::Workload(workload, port, protocol) => {
                let (place, pod) = self.pod_of(workload, self.server_turn())?;
                let declared = &self.scenario.workloads[pod.workload];
                let Some(port) = declared.port(port, *protocol) else {
                    return Err(format!("`{workload}` has no port named `{port}` for {protocol}"));
                };
                let address = self.family(&pod.addresses, &format!("pod `{}/{}`", pod.namespace, pod.name))?;
                let socket = Socket {
                    node: pod.node,
                    pod: Some(place),
                };
                Ok(Target::direct((address, port), Some(socket)))
            }
            Server::Node(name, port, protocol) => {
                let node = self.node_named(name)?;
                let address = self.family(&self.scenario.nodes[node].addresses, &format!("node `{name}`"))?;
                self.address((address, *port), *protocol, client, from)
            }
            Server::External(address, port, protocol) => {
                self.declared_external(*address)?;
                self.same_family(client, *address)?;
                self.address((*address, *port), *protocol, client, from)
            }
            Server::Address(address, port, protocol) => {
                self.same_family(client, *address)?;
                self.address((*address, *port), *protocol, client, from)
            }
        }
    }

    fn same_family(&self, client: IpAddr, server: IpAddr) -> Result<(), String> {
        if client.is_ipv6() == server.is_ipv6() {
            return Ok(());
        }
        let hint = if self.traffic.ipv6 {
            "leave `ipv6` out"
        } else {
            "say `ipv6`"
        };
        Err(format!(
            "client `{client}` cannot reach `{server}` of the other family; {hint}"
        ))
    }

    /// Through a Service's cluster address, or to a pod of a headless one.
    fn service(
        &self,
        name: &Name,
        port: &PortRef,
        protocol: Protocol,
        client: IpAddr,
        from: Option<Socket>,
    ) -> Result<Target, String> {
        let service = self.service_named(name)?;
        let port = self.service_port(service, port, protocol)?;
        if service.external_name.is_some() {
            return Err(format!(
                "service `{name}` only has an external name: connect to `external` or `address`"
            ));
        }
        if !service.addresses.is_empty() {
            let address = self.family(&service.addresses, &format!("service `{name}`"))?;
            return self.address((address, number(port)), protocol, client, from);
        }
        // A client of a headless Service learns the pods' own addresses from DNS.
        let Ok(port) = port else {
            return Err(format!("headless service `{name}` has no such port"));
        };
        let choices = backends(self.scenario, self.layout, service, port, self.at, self.traffic.ipv6);
        let backend = Self::in_turn(self.server_turn(), &choices).ok_or_else(|| self.no_backend(service))?;
        Ok(Target::direct(
            (backend.address, backend.port),
            self.owner(backend, protocol),
        ))
    }

    /// To an address, through whatever translates it.
    fn address(
        &self,
        dialed: Endpoint,
        protocol: Protocol,
        client: IpAddr,
        from: Option<Socket>,
    ) -> Result<Target, String> {
        if let Some(socket) = self.answering(dialed, protocol, from) {
            return Ok(Target::direct(dialed, Some(socket)));
        }
        for service in &self.scenario.services {
            for port in service.ports.iter().filter(|port| port.protocol == protocol) {
                if let Some(publication) = self.publication(service, port, dialed) {
                    return self.translated(service, port, dialed, publication, client, from);
                }
            }
        }
        if let Some(backend) = self.host_port(dialed, protocol) {
            let socket = self.owner(&backend, protocol);
            return Ok(Target {
                backend: (backend.address, backend.port),
                ..Target::direct(dialed, socket)
            });
        }
        let direct = Backend {
            address: dialed.0,
            port: dialed.1,
            pod: None,
        };
        Ok(Target::direct(dialed, self.owner(&direct, protocol)))
    }

    /// Whether and how an address and port belong to a port of a Service.
    fn publication(&self, service: &Service, port: &ServicePort, (address, number): Endpoint) -> Option<Publication> {
        if port.port == number && service.addresses.contains(&address) {
            return Some(Publication::Cluster);
        }
        // Nodes do not translate the addresses of a load balancer that is a proxy.
        let balanced = service.load_balancer.contains(&address) && !service.balanced_by_proxy;
        if port.port == number && (balanced || service.external_ips.contains(&address)) {
            return Some(Publication::Outside(None));
        }
        if port.node_port != Some(number) {
            return None;
        }
        let node = self
            .scenario
            .nodes
            .iter()
            .position(|node| node.addresses.contains(&address))?;
        Some(Publication::Outside(Some(node)))
    }

    /// Through a Service, as kube-proxy translates it.
    fn translated(
        &self,
        service: &Service,
        port: &ServicePort,
        dialed: Endpoint,
        publication: Publication,
        client: IpAddr,
        from: Option<Socket>,
    ) -> Result<Target, String> {
        if publication == Publication::Cluster && self.outside_client() {
            return Err(format!(
                "a client outside the cluster cannot reach the cluster address of `{}`",
                service.name
            ));
        }
        let mut choices = backends(self.scenario, self.layout, service, port, self.at, dialed.0.is_ipv6());
        let local = service.external_traffic == ServiceTraffic::Local;
        if let (true, Publication::Outside(Some(node))) = (local, publication) {
            choices.retain(|backend| self.node_of(backend) == Some(node));
        }
        let chosen = if service.affinity {
            choices.first()
        } else {
            Self::in_turn(self.server_turn(), &choices)
        };
        let Some(backend) = chosen else {
            if self.traffic.outcome == Outcome::Established {
                return Err(self.no_backend(service));
            }
            return Ok(Target::direct(dialed, None));
        };
        let socket = self.owner(backend, port.protocol);
        let hairpin = from.is_some_and(|from| from.pod.is_some() && from.pod == backend.pod);
        let translator = match publication {
            Publication::Cluster => from.map(|from| from.node).filter(|_| hairpin),
            Publication::Outside(_) if local => None,
            // Without a node in the address it arrives at the client's own node, from outside at the first.
            Publication::Outside(node) => Some(node.or_else(|| from.map(|from| from.node)).unwrap_or(0)),
        };
        let own_address = |node: usize| {
            let addresses = &self.scenario.nodes.get(node)?.addresses;
            addresses
                .iter()
                .copied()
                .find(|address| address.is_ipv6() == client.is_ipv6())
        };
        Ok(Target {
            dialed,
            backend: (backend.address, backend.port),
            socket,
            translated_source: translator.and_then(own_address),
        })
    }

    /// The pod on the network of the client's own node that answers at an address of a Service, or at one that only this
    /// node has: what it takes never reaches the translation.
    fn answering(&self, (address, number): Endpoint, protocol: Protocol, from: Option<Socket>) -> Option<Socket> {
        let node = from?.node;
        let answers = |pod: &crate::layout::Pod| {
            let workload = self.scenario.workloads.get(pod.workload);
            workload.is_some_and(|workload| {
                let mut ports = workload.ports.iter();
                workload.answers.contains(&address)
                    && ports.any(|port| port.port == number && port.protocol == protocol)
            })
        };
        let mut pods = self.layout.pods.iter();
        let pod = pods.position(|pod| pod.node == node && pod.lives_at(self.at) && answers(pod))?;
        Some(Socket { node, pod: Some(pod) })
    }

    /// The pod that a node's port is forwarded to by `hostPort`.
    fn host_port(&self, (address, number): Endpoint, protocol: Protocol) -> Option<Backend> {
        let node = self
            .scenario
            .nodes
            .iter()
            .position(|node| node.addresses.contains(&address))?;
        self.layout
            .pods
            .iter()
            .enumerate()
            .filter(|(_, pod)| pod.node == node && pod.lives_at(self.at))
            .find_map(|(place, pod)| {
                let workload = self
                    .scenario
                    .workloads
                    .get(pod.workload)
                    .filter(|workload| !workload.host_network)?;
                let forwarded =
                    |port: &&crate::model::ContainerPort| port.host_port == Some(number) && port.protocol == protocol;
                let port = workload.ports.iter().find(forwarded)?;
                Some(Backend {
                    address: pod.address(address.is_ipv6())?,
                    port: port.port,
                    pod: Some(place),
                })
            })
    }

    /// Whose socket takes what arrives at an address: the pod's, on a node's address the host-network pod's that
    /// declares the port, else the node's own.
    fn owner(&self, backend: &Backend, protocol: Protocol) -> Option<Socket> {
        let pod = backend.pod.or_else(|| {
            self.layout.pods.iter().position(|pod| {
                let workload = self.scenario.workloads.get(pod.workload);
                let takes = workload.is_some_and(|workload| {
                    let declares =
                        |port: &crate::model::ContainerPort| port.port == backend.port && port.protocol == protocol;
                    !workload.host_network || workload.ports.iter().any(declares)
                });
                pod.addresses.contains(&backend.address) && pod.lives_at(self.at) && takes
            })
        });
        let on_pod = pod.and_then(|place| self.layout.pods.get(place)).map(|pod| pod.node);
        let by_address = || {
            self.scenario
                .nodes
                .iter()
                .position(|node| node.addresses.contains(&backend.address))
        };
        let node = on_pod.or_else(by_address)?;
        Some(Socket { node, pod })
    }

    fn node_of(&self, backend: &Backend) -> Option<usize> {
        self.layout.pods.get(backend.pod?).map(|pod| pod.node)
    }

    fn service_named(&self, name: &Name) -> Result<&Service, String> {
        let found = self.scenario.services.iter().find(|service| service.name == *name);
        found.ok_or_else(|| format!("service `{name}` is not declared"))
    }

    /// A declared port of a Service; or just a number, which only a connection that fails may have.
    fn service_port<'s>(
        &self,
        service: &'s Service,
        wanted: &PortRef,
        protocol: Protocol,
    ) -> Result<Result<&'s ServicePort, u16>, String> {
        let matches = |port: &&ServicePort| {
            port.protocol == protocol
                && match wanted {
                    PortRef::Number(number) => port.port == *number,
                    PortRef::Name(name) => port.name.as_ref() == Some(name),
                }
        };
        match (service.ports.iter().find(matches), wanted) {
            (Some(port), _) => Ok(Ok(port)),
            (None, PortRef::Number(number)) if self.traffic.outcome != Outcome::Established => Ok(Err(*number)),
            (None, _) => Err(format!("service `{}` has no port `{wanted}/{protocol}`", service.name)),
        }
    }

    fn no_backend(&self, service: &Service) -> String {
        format!(
            "no pod stands behind this port of service `{}` at {}",
            service.name, self.at
        )
    }
}

/// The number of a port of a Service, declared or not.
fn number(port: Result<&ServicePort, u16>) -> u16 {
    port.map_or_else(|number| number, |port| port.port)
}
