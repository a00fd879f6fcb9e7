//! Namespaces, links, routes and rules: what a lab makes with `ip` and `nft`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use flowtape_scenario::connection::Connection;
use flowtape_scenario::model::Offset;

use super::{Host, Lab, LabError, system};
use crate::nftables::{Obstacle, Rules};
use crate::{leftovers, network};

impl Lab {
    /// Makes the namespaces that last: fabric, nodes, hosts outside.
    pub(super) fn build_machines(&mut self) -> Result<(), LabError> {
        let nodes: Vec<usize> = (0..self.scenario.nodes.len()).collect();
        let hosts: Vec<Host> = nodes
            .iter()
            .map(|node| Host::Node(*node))
            .chain(self.outside.iter().map(|out| Host::Outside(*out)))
            .collect();
        let names: Vec<String> = hosts.iter().map(|host| self.netns(*host)).collect();
        add_namespaces(&names)?;
        add_namespaces(&[self.netns_of_fabric()])?;
        let mut fabric = network::FABRIC.to_owned();
        for host in &hosts {
            let (addresses, ranges) = match host {
                Host::Node(node) => {
                    let node = &self.scenario.nodes[*node];
                    // What a load balancer has arrives at the first node.
                    let first = self.scenario.nodes.first().is_some_and(|first| first.name == node.name);
                    let published = self.scenario.services.iter().filter(|_| first);
                    let published =
                        published.flat_map(|service| service.load_balancer.iter().chain(&service.external_ips));
                    (
                        node.addresses.iter().chain(published).copied().collect(),
                        node.pods.clone(),
                    )
                }
                Host::Pod(_) | Host::Outside(_) => (self.addresses(*host), Vec::new()),
            };
            self.links += 1;
            fabric.push_str(&network::router(
                &format!("v{}", self.links),
                &self.netns(*host),
                &addresses,
                &ranges,
                &[],
            ));
        }
        ip(Some(&self.netns_of_fabric()), &fabric)?;
        for host in &hosts {
            ip(Some(&self.netns(*host)), &network::child(&self.addresses(*host)))?;
        }
        self.route(None, Offset(0))?;
        self.start_agents(&hosts)
    }

    /// Hangs pods on their nodes.
    pub(super) fn add_pods(&mut self, pods: &[Host]) -> Result<(), LabError> {
        let mut names = Vec::new();
        let mut routers: BTreeMap<usize, String> = BTreeMap::new();
        let mut children: Vec<(String, String)> = Vec::new();
        for host in pods {
            let Host::Pod(place) = host else { continue };
            let pod = &self.layout.pods[*place];
            if self.host_network(*place) {
                continue;
            }
            let name = self.netns(*host);
            names.push(name.clone());
            self.links += 1;
            let own = &self.scenario.nodes[pod.node].addresses;
            let batch = network::router(&format!("v{}", self.links), &name, &pod.addresses, &[], own);
            routers.entry(pod.node).or_default().push_str(&batch);
            children.push((name, network::child(&pod.addresses)));
            let outside_range = pod.addresses.iter().any(|address| {
                !self.scenario.nodes[pod.node]
                    .pods
                    .iter()
                    .any(|range| range.contains(*address))
            });
            if outside_range {
                self.route_stray(*place)?;
            }
        }
        add_namespaces(&names)?;
        for (node, batch) in routers {
            ip(Some(&self.netns(Host::Node(node))), &batch)?;
        }
        for (name, batch) in children {
            ip(Some(&name), &batch)?;
        }
        Ok(())
    }

    /// Tells the fabric where a pod is whose address is in no node's range.
    fn route_stray(&self, place: usize) -> Result<(), LabError> {
        let pod = &self.layout.pods[place];
        let link = format!("v{}", pod.node + 1);
        let routes: String = pod
            .addresses
            .iter()
            .map(|address| match address {
                IpAddr::V4(address) => format!("route replace {address}/32 via 169.254.1.2 dev {link} onlink\n"),
                IpAddr::V6(address) => format!("route replace {address}/128 via fe80::2 dev {link} onlink\n"),
            })
            .collect();
        ip(Some(&self.netns_of_fabric()), &routes)
    }

    /// Takes a pod away: its process, its namespace and with it both ends of its link, its cgroups.
    pub(super) fn end_pod(&mut self, host: Host) -> Result<(), LabError> {
        self.agents.remove(&host);
        let Host::Pod(place) = host else { return Ok(()) };
        if !self.host_network(place) {
            ip(None, &format!("netns del {}\n", self.netns(host)))?;
        }
        if let Some(directory) = self.place(host).cgroup.parent() {
            leftovers::remove_tree(directory);
        }
        Ok(())
    }

    /// Loads the rules of a router and makes it forward.
    pub(super) fn route(&self, node: Option<usize>, at: Offset) -> Result<(), LabError> {
        let exists = |address| self.exists(address, at);
        let here = |connection: &&Connection| connection.client_socket.map(|socket| socket.node) == node;
        let obstacles = self
            .connections
            .iter()
            .filter(here)
            .filter_map(|connection| Obstacle::of(connection, &exists));
        let rules = Rules {
            scenario: &self.scenario,
            layout: &self.layout,
            at,
            node,
            obstacles: obstacles.collect(),
        };
        let name = node.map_or_else(|| self.netns_of_fabric(), |node| self.netns(Host::Node(node)));
        let script = "echo 1 > /proc/sys/net/ipv4/ip_forward && \
                      { [ ! -e /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; } && exec nft -f -";
        execute("ip", &["netns", "exec", &name, "sh", "-c", script], &rules.text())
    }
}

/// Makes network namespaces.
fn add_namespaces(names: &[String]) -> Result<(), LabError> {
    let lines: Vec<String> = names.iter().map(|name| format!("netns add {name}")).collect();
    ip(None, &lines.join("\n"))
}

/// Runs a batch of `ip` commands, in a network namespace or in that of the lab.
fn ip(netns: Option<&str>, batch: &str) -> Result<(), LabError> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut arguments = netns.map(|netns| vec!["-n", netns]).unwrap_or_default();
    arguments.extend(["-batch", "-"]);
    execute("ip", &arguments, batch)
}

/// Runs a program with some input.
fn execute(program: &str, arguments: &[&str], input: &str) -> Result<(), LabError> {
    let shown = || format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(system(format!("run {}", shown())))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that fails early closes its input; what it says is worth more than that.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(system(format!("wait for {}", shown())))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Program {
        program: shown(),
        message: format!(
            "{}\ninput:\n{input}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        ),
    })
}
