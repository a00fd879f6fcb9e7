//! Random clusters and traffic: the edges of a tape against the truth it was made from, against a quadratic join, and
//! against the same rows told in another way.
#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its case fails")]

mod arbitrary;
mod clocks;
mod oracle;
mod retold;
mod truth;

use std::collections::BTreeSet;

use flowtape::findings::Findings;
use flowtape::flow::edge::{Edge, Peer, Transport};
use flowtape::flow::{self, Divided};
use flowtape::identity::cluster::Cluster;
use flowtape::identity::{Identity, Reason};
use flowtape::tape::{self, Tape};
use flowtape_scenario::Scenario;
use flowtape_schemas::node::Outcome;
use tempfile::TempDir;

/// Client, server, protocol, the server's port, and how it ended.
type Fact = (String, String, Transport, u16, Outcome);

/// Stands for a peer that may be either of several.
const AMBIGUOUS: &str = "one of several";

/// A tape, and the directory that its samples are in.
struct Recorded {
    tape: Tape,
    _directory: TempDir,
}

fn record(scenario: &Scenario) -> Recorded {
    let directory = tempfile::tempdir().unwrap();
    let files = flowtape_scenario::tape::compile(scenario).unwrap();
    flowtape_scenario::tape::write(directory.path(), &files).unwrap();
    let tape = tape::open(&[directory.path().to_owned()], &mut Findings::default()).unwrap();
    Recorded {
        tape,
        _directory: directory,
    }
}

/// The tape as if only some of its nodes had been recorded: those whose bit is set.
fn some_nodes(tape: &Tape, bits: u8) -> Tape {
    let mut some = tape.clone();
    let mut place = 0;
    some.nodes.retain(|_| {
        place += 1;
        bits >> (place - 1) & 1 == 1
    });
    some
}

fn cluster(tape: &Tape) -> Cluster {
    Cluster::new(&tape.cluster, &mut Findings::default())
}

/// Edges by counts alone.
fn of_counts(tape: &Tape) -> Vec<Edge> {
    flow::edges(tape, &cluster(tape), &mut Findings::default()).edges
}

/// Edges with single operations where counts leave more than one answer.
fn of_samples(tape: &Tape) -> Vec<Edge> {
    let (divided, cluster) = (divided(tape), cluster(tape));
    flow::edges_of_divided(&divided, &cluster, &mut Findings::default()).edges
}

/// The tape with single operations where counts leave more than one answer.
fn divided(tape: &Tape) -> Divided {
    let cluster = cluster(tape);
    let questions = flow::questions(tape, &cluster);
    let operations = tape::operations(tape, &questions.rows()).unwrap();
    flow::divide(tape, &cluster, &questions, &operations)
}

fn fact(edge: &Edge) -> Fact {
    let key = &edge.key;
    (who(&key.from), who(&key.to), key.protocol, key.port, key.outcome)
}

fn facts<'a>(edges: impl IntoIterator<Item = &'a Edge>) -> BTreeSet<Fact> {
    edges.into_iter().map(fact).collect()
}

fn who(peer: &Peer) -> String {
    if let Identity::Unknown {
        reason: Reason::Ambiguous,
        ..
    } = peer.identity
    {
        return AMBIGUOUS.to_owned();
    }
    let identity = peer.identity.clone();
    Peer { identity, role: None }.to_string()
}

/// Whether a fact is among others, or one that leaves a side of it open.
fn is_told(fact: &Fact, told: &BTreeSet<Fact>) -> bool {
    let open = |from: &str, to: &str| {
        let (_, _, protocol, port, outcome) = fact.clone();
        told.contains(&(from.to_owned(), to.to_owned(), protocol, port, outcome))
    };
    told.contains(fact) || open(AMBIGUOUS, &fact.1) || open(&fact.0, AMBIGUOUS) || open(AMBIGUOUS, AMBIGUOUS)
}
