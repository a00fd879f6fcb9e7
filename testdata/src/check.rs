//! What a scenario must fulfil as a whole, beyond what each line says.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::connection;
use crate::layout::{self, Layout};
use crate::model::{ClientSocket, Offset, Scenario};
use crate::problem::Problem;

/// All problems of a scenario whose lines could be read.
pub(crate) fn problems(scenario: &Scenario) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    names(scenario, &mut found);
    services(scenario, &mut found);
    times(scenario, &mut found);
    let (layout, layout_problems) = layout::lay_out(scenario);
    let laid_out = layout_problems.is_empty();
    found.0.extend(layout_problems);
    addresses(scenario, &layout, &mut found);
    for sockets in &scenario.sockets {
        if layout.pods_of(scenario, &sockets.owner, sockets.at).next().is_none() {
            let message = format!("`{}` has no pod at {}", sockets.owner, sockets.at);
            found.add(sockets.line, message);
        }
    }
    // Traffic of a cluster that could not be laid out would only repeat the complaints.
    if laid_out {
        found.0.extend(connection::resolve(scenario, &layout).1);
    }
    found.0
}

/// Collects problems.
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, line: usize, message: String) {
        self.0.push(Problem {
            line,
            column: 1,
            message,
        });
    }

    /// Complains about every key that an earlier line had.
    fn unique<K: Ord>(&mut self, keys: impl IntoIterator<Item = (K, usize, String)>) {
        let mut first: BTreeMap<K, usize> = BTreeMap::new();
        for (key, line, what) in keys {
            if let Some(earlier) = first.get(&key) {
                self.add(line, format!("{what} is already declared on line {earlier}"));
            } else {
                first.insert(key, line);
            }
        }
    }
}

fn names(scenario: &Scenario, found: &mut Found) {
    found.unique(
        scenario
            .nodes
            .iter()
            .map(|node| (&node.name, node.line, format!("node `{}`", node.name))),
    );
    found.unique(scenario.workloads.iter().map(|workload| {
        let what = format!("{} `{}`", workload.kind.word(), workload.name);
        ((workload.kind, &workload.name), workload.line, what)
    }));
    found.unique(
        scenario
            .services
            .iter()
            .map(|service| (&service.name, service.line, format!("service `{}`", service.name))),
    );
    found.unique(scenario.externals.iter().map(|external| {
        (
            external.address,
            external.line,
            format!("external `{}`", external.address),
        )
    }));
    found.unique(
        scenario
            .policies
            .iter()
            .map(|policy| (&policy.name, policy.line, format!("policy `{}`", policy.name))),
    );
    for workload in &scenario.workloads {
        if !workload
            .selects
            .iter()
            .all(|(key, value)| workload.labels.get(key) == Some(value))
        {
            found.add(
                workload.line,
                format!("`{}` does not select its own pods", workload.name),
            );
        }
        if !workload.host_network && !workload.answers.is_empty() {
            let message = format!(
                "`{}` answers at its own addresses: `answers` needs `host-network`",
                workload.name
            );
            found.add(workload.line, message);
        }
        found.unique(workload.ports.iter().map(|port| {
            let what = format!("port {}/{} of `{}`", port.port, port.protocol, workload.name);
            ((port.port, port.protocol), workload.line, what)
        }));
    }
    for name in scenario
        .losses
        .iter()
        .map(|loss| (&loss.node, loss.line))
        .chain(scenario.gaps.iter().map(|gap| (&gap.node, gap.line)))
    {
        match scenario.nodes.iter().find(|node| node.name == *name.0) {
            None => found.add(name.1, format!("node `{}` is not declared", name.0)),
            Some(node) if !node.recorded => {
                found.add(
                    name.1,
                    format!("node `{}` has no recorder that could lose anything", name.0),
                );
            }
            Some(_) => {}
        }
    }
}

fn services(scenario: &Scenario, found: &mut Found) {
    for service in &scenario.services {
        let named = &service.name;
        if service.selects.is_some() && !service.endpoints.is_empty() {
            found.add(
                service.line,
                format!("service `{named}` has both `selects` and `endpoints`"),
            );
        }
        if service.ports.len() > 1 && service.ports.iter().any(|port| port.name.is_none()) {
            found.add(
                service.line,
                format!("service `{named}` has several ports, so each needs a name"),
            );
        }
        let published = !service.load_balancer.is_empty() || service.ports.iter().any(|port| port.node_port.is_some());
        if published && service.addresses.is_empty() {
            found.add(
                service.line,
                format!("service `{named}` is published, so it needs a cluster address"),
            );
        }
        found.unique(service.ports.iter().map(|port| {
            let what = format!("port {}/{} of service `{named}`", port.port, port.protocol);
            ((port.port, port.protocol), service.line, what)
        }));
    }
    found.unique(scenario.services.iter().flat_map(|service| {
        let published = service
            .ports
            .iter()
            .filter_map(|port| Some((port.node_port?, port.protocol)));
        published.map(|key| (key, service.line, format!("node port {}/{}", key.0, key.1)))
    }));
}

fn times(scenario: &Scenario, found: &mut Found) {
    let window = Offset(0)..=scenario.window;
    let outside = |first, last| !window.contains(&first) || !window.contains(&last);
    for traffic in &scenario.traffic {
        if outside(traffic.at.first, traffic.at.last) {
            let (first, last) = (traffic.at.first, traffic.at.last);
            found.add(
                traffic.line,
                format!("{first}..{last} is outside the window of {}", scenario.window),
            );
        }
        if traffic.socket == crate::model::ClientSocket::Unconnected
            && traffic.server.protocol() != crate::model::Protocol::Udp
        {
            found.add(traffic.line, "only UDP can be spoken without a connection".to_owned());
        }
        if traffic.socket == ClientSocket::Named && scenario.name_of(&traffic.server).is_none() {
            found.add(
                traffic.line,
                "only an external with a name can be asked for `by-name`".to_owned(),
            );
        }
        if traffic.predates && traffic.outcome != crate::model::Outcome::Established {
            found.add(
                traffic.line,
                "only established connections can predate the window".to_owned(),
            );
        }
    }
    for sockets in scenario
        .sockets
        .iter()
        .filter(|sockets| outside(sockets.at, sockets.at))
    {
        found.add(
            sockets.line,
            format!("{} is outside the window of {}", sockets.at, scenario.window),
        );
    }
    for loss in scenario.losses.iter().filter(|loss| outside(loss.at, loss.at)) {
        found.add(
            loss.line,
            format!("{} is outside the window of {}", loss.at, scenario.window),
        );
    }
    for gap in scenario.gaps.iter().filter(|gap| outside(gap.at.first, gap.at.last)) {
        found.add(
            gap.line,
            format!(
                "{}..{} is outside the window of {}",
                gap.at.first, gap.at.last, scenario.window
            ),
        );
    }
}

/// No two may hold one address at the same time, and nobody has two of one family.
fn addresses(scenario: &Scenario, layout: &Layout, found: &mut Found) {
    type Held = (IpAddr, Offset, Offset, usize, String);
    let always = (Offset(i64::MIN), Offset(i64::MAX));
    let mut held: Vec<Held> = Vec::new();
    for node in &scenario.nodes {
        held.extend(
            node.addresses
                .iter()
                .map(|address| (*address, always.0, always.1, node.line, format!("node `{}`", node.name))),
        );
        one_per_family(&node.addresses, node.line, found);
        let ranges: Vec<IpAddr> = node.pods.iter().map(|range| range.address).collect();
        one_per_family(&ranges, node.line, found);
    }
    for service in &scenario.services {
        // A proxy outside may be declared as the external that it is.
        let balanced = service.load_balancer.iter().filter(|_| !service.balanced_by_proxy);
        let all = service.addresses.iter().chain(balanced);
        held.extend(all.map(|address| {
            (
                *address,
                always.0,
                always.1,
                service.line,
                format!("service `{}`", service.name),
            )
        }));
        one_per_family(&service.addresses, service.line, found);
    }
    for external in &scenario.externals {
        held.push((
            external.address,
            always.0,
            always.1,
            external.line,
            format!("external `{}`", external.address),
        ));
    }
    for pod in &layout.pods {
        let Some(workload) = scenario
            .workloads
            .get(pod.workload)
            .filter(|workload| !workload.host_network)
        else {
            continue;
        };
        let (from, to) = (pod.from.unwrap_or(always.0), pod.to.unwrap_or(always.1));
        held.extend(pod.addresses.iter().map(|address| {
            (
                *address,
                from,
                to,
                workload.line,
                format!("pod {} of `{}`", pod.replica, workload.name),
            )
        }));
        one_per_family(&pod.addresses, workload.line, found);
    }
    held.sort_by_key(|(address, from, ..)| (*address, *from));
    for pair in held.windows(2) {
        let [(address, _, to, first_line, first), (other, from, _, line, second)] = pair else {
            continue;
        };
        if address == other && from < to {
            found.add(
                *line.max(first_line),
                format!(
                    "address `{address}` belongs to {first} (line {first_line}) and {second} (line {line}) at once"
                ),
            );
        }
    }
}

fn one_per_family(addresses: &[IpAddr], line: usize, found: &mut Found) {
    if addresses.iter().filter(|address| address.is_ipv4()).count() > 1
        || addresses.iter().filter(|address| address.is_ipv6()).count() > 1
    {
        found.add(line, "expected at most one address of each family".to_owned());
    }
}
