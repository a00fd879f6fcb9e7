//! The evaluator against suites that nobody of this project wrote.
//!
//! `FLOWTAPE_CONFORMANCE` names a folder with `*/cases.jsonl`, one case a line: namespaces, pods, outside addresses,
//! policies, and the expected verdict for every pair and port. Without it the test says that it did not run.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data fails")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use flowtape::parse::kubernetes;
use flowtape::policy::model::PolicySet;
use flowtape::policy::ports::Protocol;
use flowtape::semantics::eval::{Connection, eval};
use flowtape::semantics::world::{Endpoint, NamedPort, Pod, World};
use serde_json::Value;

/// The answers that each suite holds; a suite that lost some would otherwise pass unnoticed.
const SUITES: [(&str, usize); 2] = [("k8s-e2e-netpol", 506), ("cyclonus", 111_036)];

#[test]
fn agrees_with_every_published_answer() {
    let Some(folder) = folder() else { return };
    for (suite, answers) in SUITES {
        let path = folder.join(suite).join("cases.jsonl");
        let tally = tally(&path);
        assert!(
            tally.disagreements.is_empty(),
            "{suite}: {} of {} answers differ:\n{}",
            tally.disagreements.len(),
            tally.asked,
            tally
                .disagreements
                .iter()
                .take(20)
                .fold(String::new(), |mut text, line| {
                    let _infallible = writeln!(text, "{line}");
                    text
                })
        );
        assert_eq!(tally.asked, answers, "{suite}: answers compared");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says where the suites are"
)]
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("FLOWTAPE_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        note("SKIPPED: FLOWTAPE_CONFORMANCE is not set, no published answer was compared");
    }
    folder
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn note(text: &str) {
    eprintln!("{text}");
}

#[derive(Default)]
struct Tally {
    asked: usize,
    disagreements: Vec<String>,
}

fn tally(path: &Path) -> Tally {
    let text = fs::read_to_string(path).unwrap();
    let mut tally = Tally::default();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        let set = policies(id, &case);
        let world = world(&case);
        let ends = ends(&case, &world);
        for (from, to, protocol, port, expected) in questions(&case) {
            let connection = Connection {
                from: ends[from],
                to: ends[to],
                protocol,
                port,
            };
            let verdict = eval(&set, &world, &connection);
            tally.asked += 1;
            if verdict.allowed() != expected {
                tally
                    .disagreements
                    .push(format!("{id}: {from} to {to} {port}/{protocol}: expected {expected}"));
            }
        }
    }
    tally
}

fn policies(id: &str, case: &Value) -> PolicySet {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": case["policies"]});
    let parsed = kubernetes::parse([(id, list.to_string().as_str())]).unwrap_or_else(|error| panic!("{id}: {error}"));
    assert!(parsed.skipped.is_empty(), "{id}");
    parsed.set
}

fn world(case: &Value) -> World {
    let labels = |value: &Value| -> BTreeMap<String, String> { serde_json::from_value(value.clone()).unwrap() };
    let namespaces = array(&case["namespaces"])
        .iter()
        .map(|ns| (string(&ns["name"]), labels(&ns["labels"])))
        .collect();
    let pods = array(&case["pods"]).iter().map(|pod| Pod {
        namespace: string(&pod["ns"]),
        name: string(&pod["name"]),
        labels: labels(&pod["labels"]),
        addresses: vec![address(&pod["ip"])],
        host_network: false,
        node: None,
        ports: array(&pod["ports"]).iter().filter_map(named_port).collect(),
    });
    World::new(namespaces, pods, BTreeMap::new()).unwrap()
}

fn named_port(port: &Value) -> Option<NamedPort> {
    let name = port["name"].as_str()?.to_owned();
    let protocol = Protocol::from_name(port["protocol"].as_str()?)?;
    Some(NamedPort {
        name,
        protocol,
        port: number(&port["port"]),
    })
}

/// Sources and destinations in the order of rows and columns: pods, then outside addresses.
fn ends<'a>(case: &Value, world: &'a World) -> Vec<Endpoint<'a>> {
    let pod = |pod: &Value| world.endpoint(world.pod(&string(&pod["ns"]), &string(&pod["name"])).unwrap());
    let pods = array(&case["pods"]).iter().map(pod);
    let externals = array(&case["externals"]).iter().map(|external| {
        let text = if external.is_object() {
            &external["ip"]
        } else {
            external
        };
        Endpoint::Address(address(text))
    });
    pods.chain(externals).collect()
}

type Question = (usize, usize, Protocol, u16, bool);

fn questions(case: &Value) -> Vec<Question> {
    let mut questions = Vec::new();
    for (service, table) in case["expected"].as_object().into_iter().flatten() {
        let (protocol, port) = service.split_once('/').unwrap();
        let (protocol, port) = (Protocol::from_name(protocol).unwrap(), port.parse().unwrap());
        for (from, row) in array(&table["allow"]).iter().enumerate() {
            for (to, cell) in row.as_str().unwrap().chars().enumerate() {
                match cell {
                    '0' => questions.push((from, to, protocol, port, false)),
                    '1' => questions.push((from, to, protocol, port, true)),
                    '*' | '?' => {}
                    other => panic!("unknown cell `{other}`"),
                }
            }
        }
    }
    questions.extend(array(&case["probes"]).iter().map(|probe| probe_question(case, probe)));
    questions
}

fn probe_question(case: &Value, probe: &Value) -> Question {
    let names: Vec<String> = array(&case["pods"])
        .iter()
        .map(|pod| format!("{}/{}", string(&pod["ns"]), string(&pod["name"])))
        .chain(array(&case["externals"]).iter().map(string))
        .collect();
    let position = |end: &Value| names.iter().position(|name| *name == string(end)).unwrap();
    let protocol = Protocol::from_name(probe["protocol"].as_str().unwrap()).unwrap();
    let allow = probe["allow"].as_bool().unwrap_or_else(|| probe["allow"] == 1);
    (
        position(&probe["src"]),
        position(&probe["dst"]),
        protocol,
        number(&probe["port"]),
        allow,
    )
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn address(value: &Value) -> IpAddr {
    value.as_str().unwrap().parse().unwrap()
}

fn number(value: &Value) -> u16 {
    u16::try_from(value.as_u64().unwrap()).unwrap()
}
