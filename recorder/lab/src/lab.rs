//! A cluster that lives: what it is at each instant, and that nothing of it stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flowtape_scenario::connection::{Connection, Listener, connections, listeners};
use flowtape_scenario::kubernetes::{changes, list_by_clock};
use flowtape_scenario::layout::Layout;
use flowtape_scenario::model::Offset;
use flowtape_scenario::{Problems, Scenario};
use flowtape_schemas::time::Time;

use crate::agent::Place;
use crate::leftovers;
use crate::preflight::{self, Missing};
use crate::remote::Remote;

mod machines;

/// Why a lab cannot be built or run.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The machine lacks something.
    #[error("this machine cannot hold a lab:\n{}", preflight::explain(.0))]
    Missing(Vec<Missing>),
    /// The program of the agents was not found.
    #[error("the program `flowtape-lab` is not beside this one; cargo build -p flowtape-lab")]
    NoAgent,
    /// The scenario does not make sense as a whole.
    #[error(transparent)]
    Scenario(#[from] Problems),
    /// Something of the operating system failed.
    #[error("cannot {action}: {error}")]
    System {
        /// What was tried.
        action: String,
        /// What happened.
        error: io::Error,
    },
    /// A program failed.
    #[error("`{program}` failed: {message}")]
    Program {
        /// Its name and arguments.
        program: String,
        /// What it said.
        message: String,
    },
}

/// Who has a network namespace, or shares one, and an agent in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    /// A node: place in the scenario.
    Node(usize),
    /// A pod: place in the layout.
    Pod(usize),
    /// An address outside the cluster.
    Outside(IpAddr),
}

/// The cluster's objects at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When.
    pub time: Time,
    /// What `kubectl get ... -A -o json` would have printed.
    pub json: String,
}

/// A pod of a running lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Node.
    pub node: String,
    /// Directory of its container's cgroup.
    pub cgroup: PathBuf,
    /// Identifier of that cgroup: the inode number of the directory.
    pub cgroup_id: u64,
    /// Inode of its network namespace.
    pub netns: u64,
    /// Where its processes are.
    pub place: Place,
}

/// A running cluster.
pub struct Lab {
    pub(crate) scenario: Scenario,
    pub(crate) layout: Layout,
    pub(crate) connections: Vec<Connection>,
    listeners: BTreeSet<Listener>,
    outside: BTreeSet<IpAddr>,
    agent: PathBuf,
    pub(crate) agents: BTreeMap<Host, Remote>,
    cgroup: PathBuf,
    /// When the scenario's instants came to pass so far.
    clock: BTreeMap<Offset, Time>,
    snapshots: Vec<Snapshot>,
    /// Links made so far: names of links are never used again.
    links: u32,
    /// Dropped last, after the agents.
    guard: Guard,
}

/// Removes a lab, whatever of it was made.
struct Guard {
    id: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        leftovers::remove(&self.id);
    }
}

impl Lab {
    /// Builds the cluster as it is at the start of the window. Nothing listens yet.
    pub fn build(scenario: &Scenario) -> Result<Self, LabError> {
        let agent = preflight::find_agent().ok_or(LabError::NoAgent)?;
        Self::build_with(scenario, &agent)
    }

    /// Builds with a given `flowtape-lab` program for the agents.
    pub fn build_with(scenario: &Scenario, agent: &Path) -> Result<Self, LabError> {
        let missing = preflight::missing();
        if !missing.is_empty() {
            return Err(LabError::Missing(missing));
        }
        let layout = Layout::of(scenario)?;
        let connections = connections(scenario, &layout)?;
        let id = leftovers::new_id();
        let cgroup = leftovers::cgroup(&id).ok_or_else(|| LabError::Missing(vec![Missing::Cgroup]))?;
        let mut lab = Self {
            listeners: listeners(scenario, &layout, &connections),
            outside: outside(scenario, &layout, &connections),
            scenario: scenario.clone(),
            layout,
            connections,
            agent: agent.to_owned(),
            agents: BTreeMap::new(),
            cgroup,
            clock: BTreeMap::new(),
            snapshots: Vec::new(),
            links: 0,
            guard: Guard { id },
        };
        lab.build_machines()?;
        lab.enter(Offset(0))?;
        Ok(lab)
    }

    /// Identifies this lab in the names of everything it made.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.guard.id
    }

    /// The directory that all of its cgroups are below, one directory for each node.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// The directory that all cgroups of one node are below.
    #[must_use]
    pub fn node_cgroup(&self, node: &str) -> PathBuf {
        self.cgroup.join(node)
    }

    /// The cluster's objects as they are now, as `kubectl get ... -A -o json` prints them.
    #[must_use]
    pub fn kubernetes_json(&self) -> String {
        self.snapshots
            .last()
            .map(|snapshot| snapshot.json.clone())
            .unwrap_or_default()
    }

    /// The cluster's objects after each change so far, the first from before any traffic.
    #[must_use]
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// The pods that run now.
    pub fn pods(&self) -> Result<Vec<LivePod>, LabError> {
        let mut pods = Vec::new();
        for (host, remote) in &self.agents {
            let Host::Pod(place) = host else { continue };
            let Some(pod) = self.layout.pods.get(*place) else {
                continue;
            };
            let place = self.place(*host);
            let cgroup = place.cgroup.clone();
            let inode = |path: PathBuf| {
                std::fs::metadata(&path)
                    .map(|file| file.ino())
                    .map_err(system(format!("look at {}", path.display())))
            };
            pods.push(LivePod {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                node: self
                    .scenario
                    .nodes
                    .get(pod.node)
                    .map(|node| node.name.clone())
                    .unwrap_or_default(),
                cgroup_id: inode(cgroup.clone())?,
                cgroup,
                netns: inode(PathBuf::from(format!("/proc/{}/ns/net", remote.pid())))?,
                place,
            });
        }
        Ok(pods)
    }

    /// Where the processes of a node itself are.
    #[must_use]
    pub fn node_place(&self, name: &str) -> Option<Place> {
        let mut nodes = self.scenario.nodes.iter();
        let node = nodes.position(|node| node.name == name)?;
        Some(self.place(Host::Node(node)))
    }

    /// Opens every port that something listens at, and the connections that are older than the window.
    pub fn start_servers(&mut self) -> Result<(), LabError> {
        let hosts: Vec<Host> = self.agents.keys().copied().collect();
        for host in hosts {
            self.listen(host)?;
        }
        self.hold_predating()
    }

    /// Whether some host of the lab has an address now.
    fn exists(&self, address: IpAddr, at: Offset) -> bool {
        self.outside.contains(&address)
            || self.scenario.nodes.iter().any(|node| node.addresses.contains(&address))
            || self
                .layout
                .pods
                .iter()
                .any(|pod| pod.addresses.contains(&address) && pod.lives_at(at))
    }

    /// Makes the cluster what it is at an instant: pods come and go, Services follow.
    pub(crate) fn enter(&mut self, at: Offset) -> Result<(), LabError> {
        let ended: Vec<Host> = self
            .agents
            .keys()
            .copied()
            .filter(|host| matches!(host, Host::Pod(place) if !self.layout.pods[*place].lives_at(at)))
            .collect();
        for host in &ended {
            self.end_pod(*host)?;
        }
        let living = (0..self.layout.pods.len()).filter(|place| self.layout.pods[*place].lives_at(at));
        let new: Vec<Host> = living
            .map(Host::Pod)
            .filter(|host| !self.agents.contains_key(host))
            .collect();
        self.add_pods(&new)?;
        for node in 0..self.scenario.nodes.len() {
            self.route(Some(node), at)?;
        }
        self.route(None, at)?;
        self.start_agents(&new)?;
        self.clock.insert(at, now());
        let json = list_by_clock(&self.scenario, &self.layout, at, &|instant| self.time(instant));
        self.snapshots.push(Snapshot {
            time: now(),
            json: format!("{json:#}\n"),
        });
        Ok(())
    }

    /// The instants at which the cluster changes.
    pub(crate) fn instants(&self) -> Vec<Offset> {
        changes(&self.scenario, &self.layout)
    }

    /// When an instant of the scenario came to pass, or would have if time had gone on from the start.
    fn time(&self, at: Offset) -> Time {
        let start = self.clock.first_key_value().map_or_else(now, |(_, time)| *time);
        self.clock
            .get(&at)
            .copied()
            .unwrap_or_else(|| start.saturating_add(at.0))
    }

    /// Starts agents and waits for all of them.
    fn start_agents(&mut self, hosts: &[Host]) -> Result<(), LabError> {
        let mut started = Vec::new();
        for host in hosts {
            let place = self.place(*host);
            std::fs::create_dir_all(&place.cgroup).map_err(system(format!("make {}", place.cgroup.display())))?;
            let remote = Remote::spawn(&self.agent, &place).map_err(system(format!("run {}", self.agent.display())))?;
            started.push((*host, remote));
        }
        for (host, mut remote) in started {
            remote
                .wait_ready()
                .map_err(system(format!("start the agent of {host:?}")))?;
            // Two attempts instead of six: a connection without answer times out after three seconds.
            remote
                .ask("sysctl net/ipv4/tcp_syn_retries 1")
                .map_err(system("limit attempts".to_owned()))?;
            self.agents.insert(host, remote);
        }
        Ok(())
    }

    /// Opens the ports that a host listens at.
    pub(crate) fn listen(&mut self, host: Host) -> Result<(), LabError> {
        let mut ports: BTreeSet<(String, u16)> = BTreeSet::new();
        for listener in &self.listeners {
            let at = listener.socket.pod.map_or(Host::Node(listener.socket.node), Host::Pod);
            if at == host {
                ports.insert((listener.protocol.to_string().to_lowercase(), listener.port));
            }
        }
        for connection in &self.connections {
            let taken = connection.outcome == flowtape_scenario::model::Outcome::Established;
            if taken && host == Host::Outside(connection.backend.0) {
                ports.insert((connection.protocol.to_string().to_lowercase(), connection.backend.1));
            }
        }
        let Some(remote) = self.agents.get_mut(&host) else {
            return Ok(());
        };
        for (protocol, port) in ports {
            let action = format!("listen at {protocol} port {port} of {host:?}");
            remote
                .ask(&format!("listen {protocol} {port}"))
                .map_err(system(action))?;
        }
        Ok(())
    }

    fn host_network(&self, place: usize) -> bool {
        let workload = self.scenario.workloads.get(self.layout.pods[place].workload);
        workload.is_some_and(|workload| workload.host_network)
    }

    /// Where an agent has to be.
    fn place(&self, host: Host) -> Place {
        let below = |node: usize, path: &str| {
            let name = self.scenario.nodes.get(node).map_or("", |node| node.name.as_str());
            self.cgroup.join(name).join(path.trim_start_matches('/'))
        };
        let cgroup = match host {
            Host::Node(node) => below(node, &self.layout.machines[node].cgroup.path),
            Host::Pod(place) => below(
                self.layout.pods[place].node,
                &self.layout.pods[place].container_cgroup.path,
            ),
            Host::Outside(_) => self.cgroup.join("outside"),
        };
        let netns = match host {
            Host::Pod(place) if self.host_network(place) => self.netns(Host::Node(self.layout.pods[place].node)),
            Host::Pod(_) | Host::Node(_) | Host::Outside(_) => self.netns(host),
        };
        Place {
            cgroup,
            netns: leftovers::netns_path(&netns),
            addresses: self.addresses(host),
        }
    }

    fn addresses(&self, host: Host) -> Vec<IpAddr> {
        match host {
            Host::Node(node) => self.scenario.nodes[node].addresses.clone(),
            Host::Pod(place) => self.layout.pods[place].addresses.clone(),
            Host::Outside(address) => vec![address],
        }
    }

    fn netns_of_fabric(&self) -> String {
        leftovers::netns(&self.guard.id, "fabric")
    }

    fn netns(&self, host: Host) -> String {
        let part = match host {
            Host::Node(node) => format!("node-{node}"),
            Host::Pod(place) => format!("pod-{place}"),
            Host::Outside(address) => {
                let place = self
                    .outside
                    .iter()
                    .position(|other| *other == address)
                    .unwrap_or_default();
                format!("out-{place}")
            }
        };
        leftovers::netns(&self.guard.id, &part)
    }
}

/// Addresses outside the cluster that need a host: what is declared, and what somebody talks to or from.
fn outside(scenario: &Scenario, layout: &Layout, connections: &[Connection]) -> BTreeSet<IpAddr> {
    let inside = |address: &IpAddr| {
        scenario.nodes.iter().any(|node| node.addresses.contains(address))
            || layout.pods.iter().any(|pod| pod.addresses.contains(address))
    };
    let mut outside: BTreeSet<IpAddr> = scenario.externals.iter().map(|external| external.address).collect();
    for connection in connections {
        if connection.client_socket.is_none() {
            outside.insert(connection.client.0);
        }
        let reached = connection.outcome == flowtape_scenario::model::Outcome::Established;
        if reached && connection.server_socket.is_none() {
            outside.insert(connection.backend.0);
        }
    }
    outside.retain(|address| !inside(address));
    outside
}

pub(crate) fn system(action: String) -> impl FnOnce(io::Error) -> LabError {
    move |error| LabError::System { action, error }
}

fn now() -> Time {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))
}
