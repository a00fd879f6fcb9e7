//! A recording of some nodes of a cluster against that of all of them: it knows less, and loses nothing that its own
//! nodes saw.
#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its case fails")]

use std::collections::BTreeSet;
use std::path::Path;

use flowtape::findings::Findings;
use flowtape::flow;
use flowtape::flow::edge::{Edge, EdgeKey, Endpoint, Peer, Transport};
use flowtape::identity::cluster::Cluster;
use flowtape::identity::{Identity, Reason};
use flowtape::tape::{self, Tape};
use flowtape_scenario::Scenario;
use flowtape_schemas::node::Outcome;

/// Two workloads behind one Service, on nodes of their own, with clients in a pod and on the network of a node.
const BACKENDS: &str = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  node n2 172.31.0.12 pods 10.244.2.0/24
  node n3 172.31.0.13 pods 10.244.3.0/24
  deployment shop/old on n1 labels app=api,version=1 ports http:8081
  deployment shop/new on n2 labels app=api,version=2 ports http:9090
  daemonset ops/agent host-network on n1,n2,n3 labels app=agent
  deployment shop/web on n3 labels app=web
  service shop/api 10.96.0.3 selects app=api ports http:80->http
traffic
  shop/web -> service shop/api:80 x6
  ops/agent/2 -> service shop/api:80 x2
  node n3 -> shop/old:8081";

/// A tape and the directory that its samples are in.
struct Recorded {
    tape: Tape,
    _directory: tempfile::TempDir,
}

fn record(text: &str) -> Recorded {
    let directory = tempfile::tempdir().unwrap();
    let files = flowtape_scenario::tape::compile(&Scenario::parse(text).unwrap()).unwrap();
    flowtape_scenario::tape::write(directory.path(), &files).unwrap();
    let tape = tape::open(&[directory.path().to_owned()], &mut Findings::default()).unwrap();
    Recorded {
        tape,
        _directory: directory,
    }
}

fn cluster(tape: &Tape) -> Cluster {
    Cluster::new(&tape.cluster, &mut Findings::default())
}

fn edges(tape: &Tape) -> Vec<Edge> {
    flow::edges(tape, &cluster(tape), &mut Findings::default()).edges
}

/// What of an edge does not depend on who else was recorded. Which process of a node it was, only the node's recorder
/// knows.
type Fact = (String, String, Transport, u16, Outcome);

fn facts<'a>(edges: impl IntoIterator<Item = &'a Edge>) -> BTreeSet<Fact> {
    let fact = |edge: &Edge| {
        let EdgeKey {
            from,
            to,
            protocol,
            port,
            outcome,
        } = &edge.key;
        (who(from), who(to), *protocol, *port, *outcome)
    };
    edges.into_iter().map(fact).collect()
}

fn who(peer: &Peer) -> String {
    match &peer.identity {
        Identity::Workload(workload) if workload.host_network => "a node".to_owned(),
        Identity::Node { .. } => "a node".to_owned(),
        Identity::Unknown {
            reason: Reason::Ambiguous,
            ..
        } => "one of several".to_owned(),
        Identity::Workload(_) | Identity::Service { .. } | Identity::External { .. } | Identity::Unknown { .. } => {
            let nothing_special = Peer {
                role: None,
                ..peer.clone()
            };
            nothing_special.to_string()
        }
    }
}

/// The tape as if nobody had recorded one of its nodes.
fn without(tape: &Tape, name: &str) -> Tape {
    let mut rest = tape.clone();
    rest.nodes.retain(|node| node.name != name);
    rest
}

/// Whether an endpoint is a pod of this node, or no pod with a network of its own at all.
fn is_of(tape: &Tape, endpoint: &Endpoint, node: &str) -> bool {
    let Endpoint::Pod { namespace, name } = endpoint else {
        return true;
    };
    let mut pods = tape.cluster.pods.iter();
    let row = pods.find(|row| row.namespace == *namespace && row.name == *name);
    row.is_none_or(|row| row.host_network || row.node.as_deref() == Some(node))
}

fn names(tape: &Tape) -> Vec<String> {
    tape.nodes.iter().map(|node| node.name.clone()).collect()
}

fn scenarios() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/scenarios");
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let committed = paths.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
    let mut all: Vec<_> = committed.collect();
    assert!(all.len() > 2, "testdata/scenarios holds scenarios");
    all.push(("backends".to_owned(), BACKENDS.to_owned()));
    all.sort();
    all
}

#[test]
fn a_client_keeps_its_servers_when_their_nodes_were_not_recorded() {
    for (name, text) in scenarios() {
        let recorded = record(&text);
        let whole = &recorded.tape;
        let all = edges(whole);
        for node in names(whole) {
            let kept = facts(&edges(&without(whole, &node)));
            let recorded = |edge: &&Edge| edge.evidence.pairs.iter().any(|pair| !is_of(whole, &pair.0, &node));
            let established = all.iter().filter(|edge| edge.key.outcome == Outcome::Established);
            for fact in facts(established.filter(recorded)) {
                let (from, _, protocol, port, outcome) = fact.clone();
                let ambiguous = (from, "one of several".to_owned(), protocol, port, outcome);
                let is_kept = kept.contains(&fact) || kept.contains(&ambiguous);
                assert!(is_kept, "{name} without {node} loses {fact:?}");
            }
        }
    }
}

#[test]
fn without_samples_an_edge_stays_or_becomes_ambiguous() {
    for (name, text) in scenarios() {
        let recorded = record(&text);
        let whole = &recorded.tape;
        for node in names(whole) {
            let some = without(whole, &node);
            let of_counts = edges(&some);
            let cluster = cluster(&some);
            let questions = flow::questions(&some, &cluster);
            let operations = tape::operations(&some, &questions.rows()).unwrap();
            let divided = flow::divide(&some, &cluster, &questions, &operations);
            let of_samples = flow::edges_of_divided(&divided, &cluster, &mut Findings::default()).edges;
            let (counts, samples) = (facts(&of_counts), facts(&of_samples));
            for fact in &samples {
                let (_, to, protocol, port, outcome) = fact.clone();
                let ambiguous = |(_, server, p, n, o): &Fact| {
                    (*p, *n, *o) == (protocol, port, outcome) && (*server == to || server == "one of several")
                };
                assert!(
                    counts.contains(fact) || counts.iter().any(ambiguous),
                    "{name}: {fact:?}"
                );
            }
            let seen = facts(of_counts.iter().filter(|edge| !edge.evidence.assumed));
            for fact in seen
                .iter()
                .filter(|fact| fact.0 != "one of several" && fact.1 != "one of several")
            {
                assert!(samples.contains(fact), "{name}: samples take {fact:?} away");
            }
            let sum = |tape: &Tape| -> u64 {
                tape.nodes
                    .iter()
                    .flat_map(|node| &node.flows)
                    .map(|row| row.count)
                    .sum()
            };
            assert_eq!(sum(&divided.tape), sum(&some), "{name}");
        }
    }
}

#[test]
fn recording_one_more_node_takes_no_edge_away_that_was_seen() {
    for (name, text) in scenarios() {
        let recorded = record(&text);
        let whole = &recorded.tape;
        let all = facts(&edges(whole));
        for node in names(whole) {
            let some = edges(&without(whole, &node));
            for fact in facts(some.iter().filter(|edge| !edge.evidence.assumed)) {
                assert!(all.contains(&fact), "{name}: with {node} there is no longer {fact:?}");
            }
        }
    }
}
