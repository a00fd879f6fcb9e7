//! The tape compiler: what both sides of a connection see, who held an address when, and that the committed tapes are
//! what their texts compile to.
#![expect(clippy::unwrap_used, reason = "a helper that cannot do its work has failed the test")]

use std::path::Path;

use flowtape_scenario::kubernetes::{CANARY, list_at};
use flowtape_scenario::layout::Layout;
use flowtape_scenario::model::Offset;
use flowtape_scenario::{Scenario, tape};
use flowtape_schemas::cluster::{EndpointSliceRow, PodRow, WorkloadRow};
use flowtape_schemas::manifest::Manifest;
use flowtape_schemas::node::{Direction, EventRow, FlowRow, ListenRow, StatsRow};
use flowtape_schemas::parquet::decode_file;
use flowtape_schemas::table::Row;
use flowtape_schemas::validate::check_file;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");

/// A compiled scenario.
struct Tape(tape::Files);

impl Tape {
    fn of(text: &str) -> Self {
        let scenario = Scenario::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
        Self(tape::compile(&scenario).unwrap())
    }

    fn rows<R: Row>(&self, directory: &str) -> Vec<R> {
        let path = format!("{directory}/{}-000001.parquet", R::TABLE);
        let (_, bytes) = self.0.iter().find(|(name, _)| *name == path).unwrap();
        decode_file(bytes.clone().into()).unwrap()
    }

    fn manifest(&self) -> Manifest {
        let (_, bytes) = self.0.iter().find(|(name, _)| name == "manifest.json").unwrap();
        Manifest::parse(bytes).unwrap()
    }

    /// Flows of a node as short texts: direction, both addresses, port, outcome and count.
    fn flows(&self, node: &str) -> Vec<String> {
        let flows = self.rows::<FlowRow>(&format!("node={node}"));
        flows.iter().map(short).collect()
    }
}

fn short(flow: &FlowRow) -> String {
    let address = |address: Option<flowtape_schemas::address::Address>| address.unwrap().ip().to_string();
    let arrow = if flow.direction == Direction::In { "<-" } else { "->" };
    let (local, remote) = (address(flow.local_ip), address(flow.remote_ip));
    format!(
        "{local} {arrow} {remote} :{} {:?} x{}",
        flow.service_port.unwrap(),
        flow.outcome,
        flow.count
    )
}

fn scenario_text(name: &str) -> String {
    std::fs::read_to_string(Path::new(DIRECTORY).join(format!("scenarios/{name}.scenario"))).unwrap()
}

/// Two nodes, and whatever a test adds.
fn cluster(rest: &str) -> String {
    format!(
        "cluster\nnode n1 172.31.0.11 fd00:31::11 pods 10.244.1.0/24 fd00:1::/64\n\
         node n2 172.31.0.12 fd00:31::12 pods 10.244.2.0/24 fd00:2::/64\n{rest}"
    )
}

#[test]
fn committed_tapes_are_what_their_texts_compile_to() {
    for name in ["dvwa", "dvwa-2"] {
        let files = Tape::of(&scenario_text(name)).0;
        let directory = Path::new(DIRECTORY).join("tapes").join(name);
        if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
            let _ = std::fs::remove_dir_all(&directory);
            tape::write(&directory, &files).unwrap();
        }
        for (path, bytes) in &files {
            let committed = std::fs::read(directory.join(path)).unwrap_or_default();
            assert!(
                committed == *bytes,
                "{name}/{path} is stale; BLESS=1 cargo test -p flowtape-scenario writes it"
            );
        }
        assert_eq!(
            files_below(&directory),
            files.len(),
            "{name} holds files that its text does not compile to"
        );
    }
}

fn files_below(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}

#[test]
fn every_file_is_a_valid_table_and_listed_in_the_manifest() {
    let tape = Tape::of(&scenario_text("dvwa"));
    let manifest = tape.manifest();
    assert_eq!(manifest.files.len() + 1, tape.0.len());
    for entry in &manifest.files {
        let (_, bytes) = tape.0.iter().find(|(path, _)| *path == entry.path).unwrap();
        let problems = check_file(&entry.table, &bytes.clone().into(), Some(entry));
        assert!(problems.is_empty(), "{}: {problems:?}", entry.path);
    }
}

#[test]
fn the_client_sees_the_service_and_the_server_sees_the_client() {
    let tape = Tape::of(&scenario_text("dvwa"));
    let (n1, n2) = (tape.flows("n1"), tape.flows("n2"));
    let seen = |flows: &[String], flow: &str| flows.iter().filter(|found| found.starts_with(flow)).count();
    // Twelve connections over 19 seconds fall into two intervals of ten and one at 20 s.
    assert_eq!(seen(&n1, "10.244.1.3 -> 10.96.0.20 :3306 Established"), 3, "{n1:#?}");
    assert_eq!(seen(&n2, "10.244.2.3 <- 10.244.1.3 :3306 Established"), 3, "{n2:#?}");
    assert_eq!(seen(&n1, "10.244.1.3 -> 10.244.2.3 :3307 Refused x1"), 1, "{n1:#?}");
    assert_eq!(
        seen(&n2, "10.244.2.3 <- 10.244.1.3 :3307"),
        0,
        "nobody took the refused connection"
    );
    assert_eq!(seen(&n1, "10.244.1.3 <- 203.0.113.7 :80 Established"), 2, "{n1:#?}");
}

#[test]
fn events_of_both_sides_share_the_ephemeral_port() {
    let tape = Tape::of(&scenario_text("dvwa"));
    let client = tape
        .rows::<EventRow>("node=n1")
        .into_iter()
        .filter(|event| event.remote_port == Some(3306));
    let server = tape
        .rows::<EventRow>("node=n2")
        .into_iter()
        .filter(|event| event.local_port == Some(3306));
    let (client, server): (Vec<_>, Vec<_>) = (client.collect(), server.collect());
    assert_eq!((client.len(), server.len()), (12, 12));
    for (out, accepted) in client.iter().zip(&server) {
        assert_eq!(
            (out.local_ip, out.local_port),
            (accepted.remote_ip, accepted.remote_port)
        );
        assert_eq!(out.time, accepted.time);
    }
}

#[test]
fn outside_addresses_are_translated_on_the_node_they_arrive_at() {
    let services = "deployment a/web on n2 ports http:8080\n\
        service a/web 10.96.0.1 selects app=web ports http:80:30080->http load-balancer 198.51.100.1\n\
        service a/kept 10.96.0.2 selects app=web ports http:80:30081->http local\n\
        deployment a/client on n1\nexternal 203.0.113.7\ntraffic\n";
    for (line, server_view) in [
        ("a/client -> node n1:30080", "10.244.2.2 <- 172.31.0.11 :8080"),
        ("a/client -> node n2:30081", "10.244.2.2 <- 10.244.1.2 :8080"),
        (
            "external 203.0.113.7 -> load-balancer a/web:80",
            "10.244.2.2 <- 172.31.0.11 :8080",
        ),
        (
            "external 203.0.113.7 -> node n2:30081",
            "10.244.2.2 <- 203.0.113.7 :8080",
        ),
        ("a/web -> service a/web:http", "10.244.2.2 <- 172.31.0.12 :8080"),
        ("node n1 -> service a/web:80", "10.244.2.2 <- 172.31.0.11 :8080"),
    ] {
        let flows = Tape::of(&cluster(&format!("{services}{line}"))).flows("n2");
        let server = flows.iter().find(|flow| flow.contains("<-"));
        assert!(
            server.is_some_and(|flow| flow.starts_with(server_view)),
            "{line}: {flows:?}"
        );
    }
    let nobody_here = cluster(&format!("{services}external 203.0.113.7 -> node n1:30081"));
    let problems = Scenario::parse(&nobody_here).unwrap_err().to_string();
    assert!(
        problems.contains("no pod stands behind this port of service `a/kept` at 1s"),
        "{problems}"
    );
}

#[test]
fn named_ports_lead_to_different_numbers_and_headless_services_to_the_pods() {
    let tape = Tape::of(&cluster(
        "deployment a/old on n1 labels app=web,v=1 ports http:8080\ndeployment a/new on n1 labels app=web,v=2 ports http:9090\n\
         service a/web 10.96.0.1 selects app=web ports http:80->http\nservice a/pods headless selects app=web ports http:80->http\n\
         pod a/client on n2\ntraffic\na/client -> service a/web:80 x4\na/client -> service a/pods:80 x2",
    ));
    assert_eq!(
        tape.flows("n2"),
        [
            "10.244.2.2 -> 10.96.0.1 :80 Established x4",
            "10.244.2.2 -> 10.244.1.2 :8080 Established x1",
            "10.244.2.2 -> 10.244.1.3 :9090 Established x1"
        ]
        .map(str::to_owned)
    );
    let slices = tape.rows::<EndpointSliceRow>("cluster");
    let mut ports: Vec<_> = slices
        .iter()
        .filter(|slice| slice.service.as_deref() == Some("web"))
        .map(|slice| slice.ports[0].port)
        .collect();
    ports.sort_unstable();
    assert_eq!(
        ports,
        [Some(8080), Some(9090)],
        "one slice for each set of port numbers"
    );
}

#[test]
fn an_address_belongs_to_whoever_lives_at_the_time() {
    let tape = Tape::of(&cluster(
        "pod a/first on n1 address 10.244.1.9 to 5s ports 80\npod a/second on n1 address 10.244.1.9 from 7s ports 80\n\
         pod a/client on n2\ntraffic\na/client -> a/first:80 at 2s\na/client -> a/second:80 at 8s\na/client -> address 10.244.1.9:80 at 9s\n\
         a/client -> address 10.244.1.9:80 at 6s timeout",
    ));
    let pods = tape.rows::<PodRow>("cluster");
    let life = |name: &str| {
        let pod = pods.iter().find(|pod| pod.name == name).unwrap();
        (
            pod.valid_from.map(|time| time.to_string()),
            pod.valid_to.map(|time| time.to_string()),
        )
    };
    let text = |text: &str| Some(format!("{text}.000000000Z"));
    assert_eq!(
        life("first"),
        (text("2025-12-31T23:00:00"), text("2026-01-01T00:00:05"))
    );
    assert_eq!(life("second"), (text("2026-01-01T00:00:07"), None));
    let events = tape.rows::<EventRow>("node=n1");
    let cgroups: Vec<_> = events.iter().map(|event| event.cgroup_id.unwrap()).collect();
    assert_eq!(cgroups.len(), 3);
    assert!(cgroups[0] != cgroups[1] && cgroups[1] == cgroups[2], "{cgroups:?}");
}

#[test]
fn a_cronjob_has_a_job_and_a_pod_for_each_run_and_they_complete() {
    let tape = Tape::of(&cluster(
        "cronjob a/report runs 2s..4s,12s..14s\npod a/db ports 5432\ntraffic\na/report -> a/db:5432 at 3s\na/report -> a/db:5432 at 13s",
    ));
    let pods = tape.rows::<PodRow>("cluster");
    let runs: Vec<_> = pods.iter().filter(|pod| pod.name.starts_with("report-")).collect();
    let uids: std::collections::BTreeSet<_> = runs.iter().map(|pod| &pod.uid).collect();
    assert_eq!(uids.len(), 2);
    assert!(runs.iter().all(|pod| pod.owner_kind.as_deref() == Some("Job")));
    let workloads = tape.rows::<WorkloadRow>("cluster");
    let owners: Vec<_> = workloads
        .iter()
        .filter(|row| row.kind == "Job")
        .map(|row| row.owner_name.as_deref())
        .collect();
    assert_eq!(owners, [Some("report"), Some("report")]);
}

#[test]
fn what_went_wrong_is_in_the_tape() {
    let tape = Tape::of(&cluster(
        "pod a/db on n2 ports 80\npod a/client on n1\ntraffic\na/client -> a/db:80 x10 at 1s..10s\n\
         gap n2 4s..12s\nlost n1 inet_sock_set_state ring-full 5 at 3s\nlost n1 inet_sock_set_state edges-lost 2 at 3s",
    ));
    let node = |name: &str| {
        tape.manifest()
            .nodes
            .into_iter()
            .find(|node| node.name == name)
            .unwrap()
    };
    assert_eq!((node("n1").lost_events, node("n1").lost_edges), (5, 2));
    let stats: Vec<_> = tape
        .rows::<StatsRow>("node=n2")
        .iter()
        .map(|row| format!("{:?} {}", row.counter, row.value))
        .collect();
    assert_eq!(
        stats,
        [
            "BlindNanos 6000000000",
            "Counted 3",
            "Samples 3",
            "BlindNanos 2000000000"
        ]
    );
    assert_eq!(tape.flows("n2"), ["10.244.2.2 <- 10.244.1.2 :80 Established x3"]);
}

#[test]
fn connections_from_before_the_window_count_nothing() {
    let tape = Tape::of(&cluster(
        "pod a/db on n2 ports 80\npod a/client on n1\ntraffic\na/client -> a/db:80 predates",
    ));
    let flows = tape.rows::<FlowRow>("node=n2");
    assert_eq!((flows[0].count, flows[0].predates_window), (0, true));
}

#[test]
fn closed_ports_are_not_listened_at() {
    let tape = Tape::of(&cluster(
        "pod a/db on n2 ports 80,81,82/UDP\npod a/client on n1\ntraffic\na/client -> a/db:81 refused\na/client -> a/db:83",
    ));
    let listens: Vec<_> = tape
        .rows::<ListenRow>("node=n2")
        .iter()
        .map(|row| (row.protocol, row.port))
        .collect();
    assert_eq!(listens, [(6, 80), (6, 83), (17, 82)]);
}

#[test]
fn secrets_of_the_objects_stay_out_of_the_tape() {
    let text = cluster("deployment a/web\nstatic-pod a/api on n1\nnode n3 172.31.0.13 pods 10.244.3.0/24\n");
    let scenario = Scenario::parse(&text).unwrap();
    let objects = list_at(&scenario, &Layout::of(&scenario).unwrap(), Offset(0)).to_string();
    assert!(objects.matches(CANARY).count() > 10, "the canary is planted");
    let tape = Tape::of(&text);
    let rows = format!(
        "{:?}{:?}",
        tape.rows::<PodRow>("cluster"),
        tape.rows::<WorkloadRow>("cluster")
    );
    assert!(rows.contains("config.hash") && !rows.contains(CANARY));
}
