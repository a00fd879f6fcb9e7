//! The cluster of a scenario in full: every pod with the name, addresses and identifiers that the text leaves open.
//!
//! All of it follows from the text alone. Addresses are taken from the node's range in the order of the text, after
//! those that the text fixes; names and UIDs follow from names, so that a workload keeps them when the text around it
//! changes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::identity;
use crate::model::{
    CgroupDriver, Kind, Labels, Node, Offset, PortRef, Protocol, Replica, Scenario, Workload, WorkloadRef,
};
use crate::problem::{Problem, Problems};

pub(crate) mod cgroup;
pub(crate) mod pod;

/// Inode of the network namespace that a machine starts with.
pub const HOST_NETNS: u32 = 4_026_531_840;

/// The cluster in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Machines, in the order of [`Scenario::nodes`].
    pub machines: Vec<Machine>,
    /// Pods, in the order of the text.
    pub pods: Vec<Pod>,
}

/// What a node has besides what the text says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// UID of the Node object.
    pub uid: String,
    /// The cgroup its own processes are in.
    pub cgroup: Cgroup,
}

/// A cgroup v2 directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Identifier: the inode number of the directory.
    pub id: u64,
    /// Path below the root of the hierarchy, with a leading slash.
    pub path: String,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its workload: place in [`Scenario::workloads`].
    pub workload: usize,
    /// Its place among the workload's pods, from 0.
    pub replica: u32,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID in the API.
    pub uid: String,
    /// For a static pod the kubelet's hash of its configuration, which stands in cgroup paths instead of the UID.
    pub config_hash: Option<String>,
    /// Its node: place in [`Scenario::nodes`].
    pub node: usize,
    /// Addresses, the primary one first; those of the node under `host-network`.
    pub addresses: Vec<IpAddr>,
    /// Identifier of its container: 64 hexadecimal digits.
    pub container_id: String,
    /// The pod's own cgroup.
    pub cgroup: Cgroup,
    /// The cgroup of its container, which is that of its sockets.
    pub container_cgroup: Cgroup,
    /// The cgroup of its proxy, if it has one.
    pub proxy_cgroup: Option<Cgroup>,
    /// Inode of its network namespace.
    pub netns: u32,
    /// When it got its addresses; `None`: before the window.
    pub from: Option<Offset>,
    /// When it lost them; `None`: after the window.
    pub to: Option<Offset>,
    /// Labels.
    pub labels: Labels,
    /// Revision of the template, from 1.
    pub revision: u32,
    /// What controls it, if anything does.
    pub owner: Option<Owner>,
}

/// An owner reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// API group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

impl Layout {
    /// Lays a scenario out.
    pub fn of(scenario: &Scenario) -> Result<Self, Problems> {
        let (layout, problems) = lay_out(scenario);
        if problems.is_empty() {
            return Ok(layout);
        }
        Err(Problems(problems))
    }

    /// Pods of a workload that are alive at an instant, with their places.
    pub fn pods_of<'a>(
        &'a self,
        scenario: &'a Scenario,
        reference: &'a WorkloadRef,
        at: Offset,
    ) -> impl Iterator<Item = (usize, &'a Pod)> {
        let meant = move |pod: &Pod| {
            let workload = scenario.workloads.get(pod.workload);
            let named = workload.is_some_and(|workload| {
                workload.name == reference.name && reference.kind.is_none_or(|kind| kind == workload.kind)
            });
            named && reference.replica.is_none_or(|replica| replica == pod.replica)
        };
        let pods = self.pods.iter().enumerate();
        pods.filter(move |(_, pod)| meant(pod) && pod.lives_at(at))
    }
}

impl Pod {
    /// Whether it holds its addresses at `instant`.
    #[must_use]
    pub fn lives_at(&self, instant: Offset) -> bool {
        self.from.is_none_or(|from| from <= instant) && self.to.is_none_or(|to| instant < to)
    }

    /// Its address of one family.
    #[must_use]
    pub fn address(&self, ipv6: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv6() == ipv6)
    }
}

impl Workload {
    /// Whether each of its pods has a proxy as a container of its own.
    #[must_use]
    pub fn has_sidecar(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.by.is_none())
    }

    /// The number of a port of its container.
    #[must_use]
    pub fn port(&self, port: &PortRef, protocol: Protocol) -> Option<u16> {
        match port {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => self
                .ports
                .iter()
                .find(|port| port.name.as_ref() == Some(name) && port.protocol == protocol)
                .map(|port| port.port),
        }
    }
}

/// Lays out as much as possible and says what was not.
pub(crate) fn lay_out(scenario: &Scenario) -> (Layout, Vec<Problem>) {
    let mut layout = Layout {
        machines: scenario.nodes.iter().map(machine).collect(),
        pods: Vec::new(),
    };
    let mut problems = Vec::new();
    for (place, workload) in scenario.workloads.iter().enumerate() {
        pod::add_pods(scenario, place, workload, &mut layout.pods, &mut problems);
    }
    assign_addresses(scenario, &mut layout.pods, &mut problems);
    let mut next = vec![0_u32; scenario.nodes.len()];
    for pod in &mut layout.pods {
        if let (Some(node), Some(next)) = (scenario.nodes.get(pod.node), next.get_mut(pod.node)) {
            let workload = scenario.workloads.get(pod.workload);
            let host_network = workload.is_some_and(|workload| workload.host_network);
            let proxy = workload.is_some_and(|workload| workload.proxy.is_some());
            cgroup::assign(pod, node.cgroups, *next, host_network, proxy);
            *next += 1;
        }
    }
    for place in 0..layout.pods.len() {
        if let Some(cgroup) = shared_proxy(scenario, &layout, place, &mut problems) {
            layout.pods[place].proxy_cgroup = Some(cgroup);
        }
    }
    (layout, problems)
}

/// The control group of a pod's proxy that is a pod of its own.
fn shared_proxy(scenario: &Scenario, layout: &Layout, place: usize, problems: &mut Vec<Problem>) -> Option<Cgroup> {
    let pod = layout.pods.get(place)?;
    let workload = scenario.workloads.get(pod.workload)?;
    let by = workload.proxy.as_ref()?.by.as_ref()?;
    let is_proxy = |other: &&Pod| {
        let workload = scenario.workloads.get(other.workload);
        other.node == pod.node && workload.is_some_and(|workload| workload.name == *by)
    };
    let Some(proxy) = layout.pods.iter().find(is_proxy) else {
        problems.push(Problem {
            line: workload.line,
            column: 1,
            message: format!(
                "`{by}` has no pod on the node of pod {} of `{}`",
                pod.replica, workload.name
            ),
        });
        return None;
    };
    Some(proxy.container_cgroup.clone())
}

fn machine(node: &Node) -> Machine {
    Machine {
        uid: identity::uid(&["node", &node.name]),
        cgroup: Cgroup {
            id: cgroup::MACHINE_ID,
            path: match node.cgroups {
                CgroupDriver::Cgroupfs => "/kubelet".to_owned(),
                CgroupDriver::Systemd => "/system.slice/kubelet.service".to_owned(),
            },
        },
    }
}

/// Gives every pod that has no address one of each of its node's ranges.
fn assign_addresses(scenario: &Scenario, pods: &mut [Pod], problems: &mut Vec<Problem>) {
    let mut taken: BTreeSet<IpAddr> = pods.iter().flat_map(|pod| pod.addresses.iter().copied()).collect();
    // The first two addresses of a range are its network and the node's own end of it.
    let mut next: Vec<[u32; 2]> = vec![[2, 2]; scenario.nodes.len()];
    for pod in pods {
        let (Some(node), Some(workload)) = (scenario.nodes.get(pod.node), scenario.workloads.get(pod.workload)) else {
            continue;
        };
        if !pod.addresses.is_empty() {
            continue;
        }
        let mut complain = |message: String| {
            problems.push(Problem {
                line: workload.line,
                column: 1,
                message,
            });
        };
        if node.pods.is_empty() {
            complain(format!(
                "pod {} of `{}` has no address: give it one, or give node `{}` a range with `pods`",
                pod.replica, workload.name, node.name
            ));
        }
        for (range, next) in node.pods.iter().zip(&mut next[pod.node]) {
            let found = (*next..)
                .map_while(|nth| Some((nth, range.nth(nth)?)))
                .find(|(_, a)| !taken.contains(a));
            let Some((nth, address)) = found else {
                complain(format!(
                    "no address is left in the range `{range}` of node `{}`",
                    node.name
                ));
                continue;
            };
            *next = nth + 1;
            taken.insert(address);
            pod.addresses.push(address);
        }
    }
}

/// The settings that apply to one pod: its own, then those of the workload.
fn settings(workload: &Workload, replica: u32) -> Replica {
    let mut merged = workload.defaults.clone();
    for (_, single) in workload.overrides.iter().filter(|(place, _)| *place == replica) {
        let Replica {
            line,
            node,
            from,
            to,
            addresses,
            revision,
            labels,
        } = single.clone();
        merged.line = line;
        merged.node = node.or(merged.node);
        merged.from = from.or(merged.from);
        merged.to = to.or(merged.to);
        merged.revision = revision.or(merged.revision);
        merged.labels.extend(labels);
        if !addresses.is_empty() {
            merged.addresses = addresses;
        }
    }
    merged
}

/// Whether the kind's number of pods comes from `replicas`.
const fn counted(kind: Kind) -> bool {
    match kind {
        Kind::Deployment | Kind::StatefulSet | Kind::Job => true,
        Kind::DaemonSet | Kind::CronJob | Kind::Pod | Kind::StaticPod => false,
    }
}
