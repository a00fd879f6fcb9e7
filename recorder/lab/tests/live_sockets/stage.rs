//! The cluster that all cases share, and actors in its pods.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flowtape_lab::agent::Place;
use flowtape_lab::{Lab, LivePod};
use flowtape_scenario::Scenario;
use flowtape_schemas::address::Address;
use tempfile::TempDir;

use crate::Outcome;
use crate::matrix::Row;
use crate::remote::Remote;

/// The program of the lab's agents.
const LAB: &str = env!("CARGO_BIN_EXE_flowtape-lab");

/// Port of the Service `s/web`, and of the case that uses it.
pub(crate) const WEB: u16 = 19_000;

/// Address and port of the Service `s/balanced`, which no other lab has: a program on the root of all control groups knows it.
pub(crate) const BALANCED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 77, 11), 19_010);

/// The same over IPv6, of no Service that the cluster knows.
pub(crate) const BALANCED6: SocketAddr = SocketAddr::new(
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0x77, 0, 0, 0, 0x11)),
    19_020,
);

/// Pods by what they are for. Every case has its own ports, so that they can share them.
const CLUSTER: &str = "window 30s
cluster
  node n1 172.31.0.11 fd00:172:31::11 pods 10.244.1.0/24 fd00:10:244:1::/64
  node n2 172.31.0.12 fd00:172:31::12 pods 10.244.2.0/24 fd00:10:244:2::/64 cgroups systemd
  deployment s/client on n1 labels app=client
  deployment s/server on n2 labels app=server ports web:19001,balanced:19011
  deployment s/other on n1 labels app=other
  deployment s/walled on n2 labels app=walled
  deployment s/caller on n1 labels app=caller
  deployment s/callee on n2 labels app=callee
  pod s/one on n1 labels app=one host-network
  pod s/two on n1 labels app=two host-network
  static-pod s/static on n2 labels app=static
  pod s/old on n2 labels app=old
  service s/web 10.96.0.10,fd00:10:96::a selects app=server ports 19000->web
  service s/balanced 10.96.77.11 selects app=server ports 19010->balanced";

/// The lab with an actor in each pod.
pub(crate) struct Stage {
    actors: BTreeMap<&'static str, Remote>,
    pods: BTreeMap<&'static str, LivePod>,
    places: BTreeMap<&'static str, Place>,
    /// Processes that cases leave at work.
    kept: Vec<Remote>,
    /// Network namespaces that cases made, whose sockets are of no control group of the lab.
    pub(crate) own: BTreeSet<u32>,
    /// Where cases may leave files.
    pub(crate) home: TempDir,
    pub(crate) lab: Lab,
}

const PODS: &[&str] = &[
    "client", "server", "other", "walled", "one", "two", "static", "old", "caller", "callee",
];

impl Stage {
    /// Builds the cluster.
    pub(crate) fn build() -> Outcome<Self> {
        let lab = Lab::build_with(&Scenario::parse(CLUSTER)?, Path::new(LAB))?;
        let mut stage = Self {
            actors: BTreeMap::new(),
            pods: BTreeMap::new(),
            places: BTreeMap::new(),
            kept: Vec::new(),
            own: BTreeSet::new(),
            home: tempfile::tempdir()?,
            lab,
        };
        for pod in stage.lab.pods()? {
            let name = PODS.iter().copied().find(|name| is_of(&pod.name, name));
            let name = name.ok_or_else(|| format!("pod `{}` is for nothing", pod.name))?;
            stage.places.insert(name, pod.place.clone());
            stage.pods.insert(name, pod);
        }
        let node = stage.lab.node_place("n1").ok_or("no node n1")?;
        stage.places.insert("node", node);
        for (name, place) in &stage.places {
            stage.actors.insert(name, start(place)?);
        }
        Ok(stage)
    }

    /// The actor in a pod, or that of the node `n1`.
    pub(crate) fn actor(&mut self, name: &str) -> Outcome<&mut Remote> {
        self.actors
            .get_mut(name)
            .ok_or_else(|| format!("no actor `{name}`").into())
    }

    /// One more actor in a pod.
    pub(crate) fn another(&self, name: &str) -> Outcome<Remote> {
        start(self.place(name)?)
    }

    /// Leaves a process at work until the recording has ended.
    pub(crate) fn keep(&mut self, process: Remote) {
        self.kept.push(process);
    }

    pub(crate) fn place(&self, name: &str) -> Outcome<&Place> {
        self.places.get(name).ok_or_else(|| format!("no place `{name}`").into())
    }

    pub(crate) fn pod(&self, name: &str) -> Outcome<&LivePod> {
        self.pods.get(name).ok_or_else(|| format!("no pod `{name}`").into())
    }

    /// The IPv4 address of a pod or node with a port.
    pub(crate) fn v4(&self, name: &str, port: u16) -> Outcome<SocketAddr> {
        self.address(name, port, IpAddr::is_ipv4)
    }

    /// The IPv6 address of a pod or node with a port.
    pub(crate) fn v6(&self, name: &str, port: u16) -> Outcome<SocketAddr> {
        self.address(name, port, IpAddr::is_ipv6)
    }

    fn address(&self, name: &str, port: u16, is: impl Fn(&IpAddr) -> bool) -> Outcome<SocketAddr> {
        let mut addresses = self.place(name)?.addresses.iter().copied();
        let address = addresses.find(is).ok_or_else(|| format!("`{name}` has no address"))?;
        Ok(SocketAddr::new(address, port))
    }

    /// What both ends of an established TCP connection must have in the tape.
    pub(crate) fn both(
        &self,
        client: &'static str,
        server: &'static str,
        to: SocketAddr,
        count: u64,
    ) -> Outcome<Vec<Row>> {
        let from = self.address(client, 0, |address| address.is_ipv4() == to.is_ipv4())?;
        Ok(vec![
            Row::out(client, to, count),
            Row::of_server(server, Address::from(from.ip()), to.port(), count),
        ])
    }

    /// Replaces the rules of the cases in a network namespace; none is to remove them.
    pub(crate) fn wall(&self, name: &str, rules: &[String]) -> Outcome {
        let mut text = String::from("add table inet cases\ndelete table inet cases\n");
        if !rules.is_empty() {
            text.push_str("table inet cases {\n\tchain input {\n\t\ttype filter hook input priority 0;\n");
            text.push_str(&rules.join("\n"));
            text.push_str("\n\t}\n}\n");
        }
        self.within(name, &["nft", "-f", "-"], &text)
    }

    /// Sets a variable of a network namespace, by its path below `/proc/sys`.
    pub(crate) fn sysctl(&self, name: &str, path: &str, value: &str) -> Outcome {
        self.within(name, &["tee", &format!("/proc/sys/{path}")], value)
    }

    /// Runs a program in the network namespace of a pod.
    pub(crate) fn within(&self, name: &str, program: &[&str], input: &str) -> Outcome {
        let namespace = self.place(name)?.netns.display().to_string();
        let mut child = Command::new("nsenter")
            .arg(format!("--net={namespace}"))
            .args(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        child.stdin.take().ok_or("no stdin")?.write_all(input.as_bytes())?;
        if child.wait()?.success() {
            return Ok(());
        }
        Err(format!("`{}` failed in the namespace of {name}: {input}", program.join(" ")).into())
    }

    /// The directory of a control group of this lab that belongs to no pod.
    pub(crate) fn stray_cgroup(&self) -> Outcome<PathBuf> {
        let path = self.lab.cgroup().join("stray");
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

fn start(place: &Place) -> Outcome<Remote> {
    Remote::start(&place.cgroup.display().to_string(), &place.netns.display().to_string())
}

/// Whether a pod's name is that of a workload or begins with it.
fn is_of(pod: &str, workload: &str) -> bool {
    pod.strip_prefix(workload)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
