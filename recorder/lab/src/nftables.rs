//! The rules of a router: Services, and what makes some connections fail. Pure text for `nft -f`.
//!
//! Services are translated as kube-proxy does it; `flowtape_scenario::connection` says how and resolves the same
//! traffic on paper. Connections that are to fail where nothing fails by itself are dropped or rejected by the router
//! nearest to their client, matched by their original addresses.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use flowtape_scenario::Scenario;
use flowtape_scenario::connection::Connection;
use flowtape_scenario::endpoint::{Backend, backends};
use flowtape_scenario::layout::Layout;
use flowtape_scenario::model::{Offset, Outcome, Protocol, Service, ServicePort, ServiceTraffic};

/// Packets whose source the router replaces by its own address.
const MASQUERADE: &str = "meta mark set 0x4000";

/// A router's rules at an instant.
pub(crate) struct Rules<'s> {
    pub(crate) scenario: &'s Scenario,
    pub(crate) layout: &'s Layout,
    pub(crate) at: Offset,
    /// The node; none for the fabric, which translates nothing.
    pub(crate) node: Option<usize>,
    /// Connections made from here that must fail.
    pub(crate) obstacles: BTreeSet<Obstacle>,
}

/// A connection that must fail although nothing fails by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Obstacle {
    client: IpAddr,
    server: (IpAddr, u16),
    protocol: Protocol,
    outcome: Outcome,
}

impl Obstacle {
    /// What must be put in the way of a connection, given who exists in the lab.
    pub(crate) fn of(connection: &Connection, exists: &dyn Fn(IpAddr) -> bool) -> Option<Self> {
        let natural = match connection.outcome {
            Outcome::Established => true,
            // A closed port of somebody who exists refuses by itself.
            Outcome::Refused => exists(connection.backend.0),
            Outcome::Timeout | Outcome::Unreachable | Outcome::Unknown => false,
        };
        (!natural).then_some(Self {
            client: connection.client.0,
            server: connection.dialed,
            protocol: connection.protocol,
            outcome: connection.outcome,
        })
    }

    /// Only the client's packets: a reset that the router sends in the server's name belongs to the same connection.
    fn rule(&self) -> String {
        let family = family(self.client);
        let protocol = word(self.protocol);
        let verdict = match (self.outcome, self.protocol) {
            (Outcome::Refused, Protocol::Tcp) => "reject with tcp reset",
            (Outcome::Refused, Protocol::Udp | Protocol::Sctp) => "reject with icmpx port-unreachable",
            (Outcome::Unreachable, _) => "reject with icmpx host-unreachable",
            (Outcome::Timeout | Outcome::Unknown | Outcome::Established, _) => "drop",
        };
        format!(
            "ct direction original meta l4proto {protocol} ct original {family} saddr {} ct original {family} daddr {} ct original proto-dst {} {verdict}",
            self.client, self.server.0, self.server.1
        )
    }
}

impl Rules<'_> {
    /// The whole rule set; loading it replaces the one before.
    pub(crate) fn text(&self) -> String {
        let mut services = Vec::new();
        let mut replaced = Vec::new();
        if let Some(node) = self.node {
            for service in &self.scenario.services {
                for port in &service.ports {
                    self.service(node, service, port, &mut services);
                }
            }
            self.host_ports(node, &mut services);
            self.sources(node, &mut replaced);
        }
        let blocked: Vec<String> = self.obstacles.iter().map(Obstacle::rule).collect();
        let mut text = String::from("add table inet flowtape\ndelete table inet flowtape\ntable inet flowtape {\n");
        let mut chain = |name: &str, head: &str, rules: &[String]| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\tchain {name} {{\n\t\t{head}");
            for rule in rules {
                let _ = writeln!(text, "\t\t{rule}");
            }
            text.push_str("\t}\n");
        };
        chain("services", "", &services);
        // The hooks' priorities by number: older releases of nft know names for some of them only.
        chain(
            "prerouting",
            "type nat hook prerouting priority -100;",
            &["jump services".to_owned()],
        );
        chain(
            "output",
            "type nat hook output priority -100;",
            &["jump services".to_owned()],
        );
        chain("postrouting", "type nat hook postrouting priority 100;", &replaced);
        chain("forwarded", "type filter hook forward priority 0;", &blocked);
        chain("sent", "type filter hook output priority 0;", &blocked);
        text.push_str("}\n");
        text
    }

    /// All ways to one port of a Service.
    fn service(&self, node: usize, service: &Service, port: &ServicePort, rules: &mut Vec<String>) {
        let protocol = word(port.protocol);
        for ipv6 in [false, true] {
            let own_family = |address: &&IpAddr| address.is_ipv6() == ipv6;
            let all = backends(self.scenario, self.layout, service, port, self.at, ipv6);
            let here = |backend: &Backend| {
                backend
                    .pod
                    .and_then(|pod| self.layout.pods.get(pod))
                    .is_some_and(|pod| pod.node == node)
            };
            let local: Vec<Backend> = all.iter().copied().filter(here).collect();
            let keeps_source = service.external_traffic == ServiceTraffic::Local;
            for address in service.addresses.iter().filter(own_family) {
                let matched = format!("{} daddr {address} {protocol} dport {}", family(*address), port.port);
                rules.extend(self.translation(service, &matched, "", &all));
            }
            let mark = if keeps_source {
                String::new()
            } else {
                format!("{MASQUERADE} ")
            };
            let balanced = service.load_balancer.iter().filter(|_| !service.balanced_by_proxy);
            let published = balanced.chain(&service.external_ips);
            for address in published.filter(own_family) {
                let matched = format!("{} daddr {address} {protocol} dport {}", family(*address), port.port);
                rules.extend(self.translation(service, &matched, &mark, &all));
            }
            let nodes = self
                .scenario
                .nodes
                .get(node)
                .into_iter()
                .flat_map(|node| node.addresses.iter());
            for (address, number) in nodes.filter(own_family).zip(port.node_port.iter().cycle()) {
                let matched = format!("{} daddr {address} {protocol} dport {number}", family(*address));
                let backends = if keeps_source { &local } else { &all };
                rules.extend(self.translation(service, &matched, &mark, backends));
            }
        }
    }

    /// To the backends in turn; nothing without backends, whose absence is an obstacle of each connection.
    fn translation(&self, service: &Service, matched: &str, mark: &str, backends: &[Backend]) -> Option<String> {
        let backends = if service.affinity { backends.get(..1)? } else { backends };
        let first = backends.first()?;
        let entry = |(nth, backend): (usize, &Backend)| format!("{nth} : {} . {}", backend.address, backend.port);
        let map: Vec<String> = backends.iter().enumerate().map(entry).collect();
        let _ = self;
        Some(format!(
            "{matched} {mark}dnat {} to numgen inc mod {} map {{ {} }}",
            family(first.address),
            backends.len(),
            map.join(", ")
        ))
    }

    fn host_ports(&self, node: usize, rules: &mut Vec<String>) {
        let Some(addresses) = self.scenario.nodes.get(node).map(|node| &node.addresses) else {
            return;
        };
        for pod in self
            .layout
            .pods
            .iter()
            .filter(|pod| pod.node == node && pod.lives_at(self.at))
        {
            let Some(workload) = self
                .scenario
                .workloads
                .get(pod.workload)
                .filter(|workload| !workload.host_network)
            else {
                continue;
            };
            for port in &workload.ports {
                for (address, host_port) in addresses.iter().zip(port.host_port.iter().cycle()) {
                    let Some(own) = pod.address(address.is_ipv6()) else {
                        continue;
                    };
                    let (family, protocol) = (family(*address), word(port.protocol));
                    let to = if own.is_ipv6() {
                        format!("[{own}]:{}", port.port)
                    } else {
                        format!("{own}:{}", port.port)
                    };
                    rules.push(format!(
                        "{family} daddr {address} {protocol} dport {host_port} dnat {family} to {to}"
                    ));
                }
            }
        }
    }

    /// Marked packets and pods that reach themselves through a Service get the node's address.
    fn sources(&self, node: usize, rules: &mut Vec<String>) {
        let Some(addresses) = self.scenario.nodes.get(node).map(|node| &node.addresses) else {
            return;
        };
        for own in addresses {
            let family = family(*own);
            let protocol = if own.is_ipv4() { "ipv4" } else { "ipv6" };
            rules.push(format!(
                "meta mark 0x4000 meta nfproto {protocol} snat {family} to {own}"
            ));
            for pod in self
                .layout
                .pods
                .iter()
                .filter(|pod| pod.node == node && pod.lives_at(self.at))
            {
                if let Some(address) = pod
                    .address(own.is_ipv6())
                    .filter(|address| !addresses.contains(address))
                {
                    rules.push(format!(
                        "{family} saddr {address} {family} daddr {address} ct status dnat snat {family} to {own}"
                    ));
                }
            }
        }
    }
}

const fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}
