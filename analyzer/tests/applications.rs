//! Demo applications, played as recordings: the generated policies allow every true connection, and nobody reaches any other
//! port that a pod declares. What is true is what the scenarios say, and what manifests outside of this project say where
//! `FLOWTAPE_CONFORMANCE` names a folder with `apps/*.json`.
#![expect(clippy::unwrap_used, reason = "what a test prepares must be there")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use flowtape::findings::Findings;
use flowtape::flow;
use flowtape::identity::cluster::Cluster;
use flowtape::policy::model::PolicySet;
use flowtape::policy::ports::Protocol;
use flowtape::replay::world::world;
use flowtape::semantics::eval::{Connection, eval};
use flowtape::semantics::world::{Endpoint, World};
use flowtape::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use flowtape::synthesis::synthesize;
use flowtape_scenario::connection::{Socket, connections};
use flowtape_scenario::layout::{Layout, Pod};
use flowtape_scenario::model::Outcome;
use flowtape_scenario::{Scenario, tape};
use serde_json::Value;

/// A connection of a workload, as `NAMESPACE/NAME`, or an address outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    protocol: Protocol,
    port: u16,
}

/// An address that is nobody's, outside the cluster.
const STRANGER: &str = "192.0.2.99";

/// An application with its policies.
struct Application {
    scenario: Scenario,
    layout: Layout,
    world: World,
    set: PolicySet,
}

impl Application {
    fn generated(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../testdata/scenarios/{name}.scenario"));
        let scenario = Scenario::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        tape::write(directory.path(), &tape::compile(&scenario).unwrap()).unwrap();
        let mut findings = Findings::default();
        let tape = flowtape::tape::open(&[directory.path().to_path_buf()], &mut findings).unwrap();
        let cluster = Cluster::new(&tape.cluster, &mut findings);
        let flows = flow::edges(&tape, &cluster, &mut findings);
        let settings = Settings {
            default_deny: DefaultDeny::Workload,
            published: Published::Declared,
            dns: Dns::Seen,
            ..Settings::default()
        };
        Self {
            layout: Layout::of(&scenario).unwrap(),
            scenario,
            world: world(&cluster),
            set: synthesize(&flows.edges, &cluster, &settings, &mut findings)
                .unwrap()
                .set,
        }
    }

    /// What works in the application, as its scenario says and no analyzer does.
    fn truth(&self) -> BTreeSet<Edge> {
        let mut truth = BTreeSet::new();
        for connection in connections(&self.scenario, &self.layout).unwrap() {
            let end = |socket: Option<Socket>, address: IpAddr| match socket {
                // A node by itself: probes, which every node may send to its own pods.
                Some(socket) => socket.pod.map(|pod| self.workload(self.layout.pods[pod].workload)),
                None => Some(address.to_string()),
            };
            let ends = (
                end(connection.client_socket, connection.client.0),
                end(connection.server_socket, connection.backend.0),
            );
            if let ((Some(from), Some(to)), Outcome::Established) = (ends, connection.outcome) {
                truth.insert(Edge {
                    from,
                    to,
                    protocol: Protocol::from_number(connection.protocol.number()).unwrap(),
                    port: connection.backend.1,
                });
            }
        }
        truth
    }

    fn workload(&self, place: usize) -> String {
        let name = &self.scenario.workloads[place].name;
        format!("{}/{}", name.namespace, name.name)
    }

    /// Every port that any pod declares, with its protocol.
    fn declared(&self) -> BTreeSet<(String, Protocol, u16)> {
        let mut declared = BTreeSet::new();
        for (place, workload) in self.scenario.workloads.iter().enumerate() {
            for port in &workload.ports {
                let protocol = Protocol::from_number(port.protocol.number()).unwrap();
                declared.insert((self.workload(place), protocol, port.port));
            }
        }
        declared
    }

    /// The pods of a workload, or an address.
    fn endpoints(&self, end: &str) -> Vec<Endpoint<'_>> {
        if let Ok(address) = end.parse() {
            return vec![Endpoint::Address(address)];
        }
        let own = |pod: &&Pod| self.workload(pod.workload) == end;
        let pods = self.layout.pods.iter().filter(own);
        let endpoint = |pod: &Pod| {
            let pod = self.world.pod(&pod.namespace, &pod.name).unwrap();
            self.world.endpoint(pod)
        };
        pods.map(endpoint).collect()
    }

    /// Whether every pod of one workload reaches every other pod of another, or none does.
    fn reaches(&self, edge: &Edge) -> bool {
        let mut verdicts = BTreeSet::new();
        for from in self.endpoints(&edge.from) {
            for to in self.endpoints(&edge.to) {
                if from == to {
                    continue;
                }
                let connection = Connection {
                    from,
                    to,
                    protocol: edge.protocol,
                    port: edge.port,
                };
                verdicts.insert(eval(&self.set, &self.world, &connection).allowed());
            }
        }
        assert!(verdicts.len() < 2, "{edge:?} depends on the pod");
        verdicts.contains(&true)
    }
}

/// Asks every workload, and a stranger, for every declared port of every other. Of those that a stranger may reach, each must be
/// in `published`. Gives how many true connections there are, and how many others were asked.
fn check(name: &str, published: &[(&str, u16)]) -> (usize, usize) {
    let application = Application::generated(name);
    let truth = application.truth();
    for edge in &truth {
        assert!(application.reaches(edge), "{name}: denied: {edge:?}");
    }
    let mut clients: BTreeSet<String> = (0..application.scenario.workloads.len())
        .map(|place| application.workload(place))
        .collect();
    clients.insert(STRANGER.to_owned());
    let mut asked = 0;
    for (to, protocol, port) in application.declared() {
        for from in &clients {
            let edge = Edge {
                from: from.clone(),
                to: to.clone(),
                protocol,
                port,
            };
            if truth.contains(&edge) {
                continue;
            }
            asked += 1;
            let open = from == STRANGER && published.contains(&(to.as_str(), port));
            assert_eq!(application.reaches(&edge), open, "{name}: {edge:?}");
        }
    }
    (truth.len(), asked)
}

#[test]
fn emojivoto_allows_its_calls_and_no_other_declared_port() {
    let (truth, asked) = check("emojivoto", &[]);
    assert!(truth == 5 && asked > 30, "{truth} {asked}");
}

#[test]
fn bookinfo_allows_its_calls_and_no_other_declared_port() {
    let (truth, asked) = check("bookinfo", &[]);
    assert!(truth == 10 && asked > 50, "{truth} {asked}");
}

#[test]
fn online_boutique_allows_its_calls_and_no_other_declared_port() {
    let (truth, asked) = check("online-boutique", &[("default/frontend", 8080)]);
    assert!(truth == 22 && asked > 150, "{truth} {asked}");
}

#[test]
fn pods_called_by_address_datagrams_one_way_and_a_port_that_is_two() {
    let (truth, asked) = check("sensors", &[]);
    assert!(truth == 6 && asked > 50, "{truth} {asked}");
}

#[test]
fn dvwa_allows_its_calls_and_no_other_declared_port() {
    let (truth, asked) = check("dvwa", &[]);
    assert!(truth == 3 && asked > 10, "{truth} {asked}");
}

/// What a manifest outside of this project says: calls, and declared ports by workload.
fn published_facts(file: &Path) -> (String, BTreeSet<Edge>, BTreeSet<(String, Protocol, u16)>) {
    let app: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let port = |value: &Value| {
        let protocol = Protocol::from_name(value["protocol"].as_str().unwrap()).unwrap();
        (protocol, u16::try_from(value["port"].as_u64().unwrap()).unwrap())
    };
    let workloads = app["workloads"].as_array().unwrap();
    let named = |name: &str| {
        let workload = workloads.iter().find(|workload| workload["name"] == name).unwrap();
        format!("{}/{name}", text(&workload["ns"]))
    };
    let edge = |edge: &Value| {
        let (protocol, port) = port(edge);
        Edge {
            from: named(&text(&edge["from"])),
            to: named(&text(&edge["to"])),
            protocol,
            port,
        }
    };
    let edges = app["edges"].as_array().unwrap().iter().map(edge).collect();
    let mut declared = BTreeSet::new();
    for workload in workloads {
        for value in workload["ports"].as_array().unwrap() {
            let (protocol, port) = port(value);
            declared.insert((named(&text(&workload["name"])), protocol, port));
        }
    }
    (text(&app["app"]), edges, declared)
}

#[test]
fn the_scenarios_say_what_the_manifests_say() {
    #[expect(
        clippy::disallowed_methods,
        reason = "where published suites lie is told by the environment"
    )]
    let folder = std::env::var_os("FLOWTAPE_CONFORMANCE").map(PathBuf::from);
    let Some(folder) = folder else {
        // A test that compares nothing says so.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: FLOWTAPE_CONFORMANCE is not set, no published call graph was compared"
        );
        return;
    };
    let mut compared = 0;
    for entry in std::fs::read_dir(folder.join("apps")).unwrap() {
        let (name, edges, declared) = published_facts(&entry.unwrap().path());
        let application = Application::generated(&name);
        let is_own = |workload: &str| !workload.starts_with("kube-system/") && workload.contains('/');
        let truth = application.truth().into_iter();
        let own: BTreeSet<Edge> = truth.filter(|edge| is_own(&edge.from) && is_own(&edge.to)).collect();
        assert_eq!(own, edges, "{name}");
        let ports = application.declared().into_iter();
        let own: BTreeSet<_> = ports.filter(|(workload, _, _)| is_own(workload)).collect();
        assert_eq!(own, declared, "{name}");
        compared += 1;
    }
    assert!(compared >= 2, "{compared}");
}
