//! `flowtape flows`: who talked to whom, and what supports it.

use crate::cli::args::{FlowsArgs, Global};
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::findings::Findings;
use crate::flow;
use crate::flow::edge::{Edge, Peer};
use crate::identity::cluster::Cluster;
use crate::identity::{Identity, Workload};
use crate::json::edge::Flows;
use crate::render::text::flows;
use crate::tape;

pub(in crate::cli) fn run(args: &FlowsArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let FlowsArgs { input, namespaces } = args;
    let mut findings = Findings::default();
    let tape = tape::open(&input.tapes, &mut findings)?;
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let found = flow::edges(&tape, &cluster, &mut findings);
    let edges: Vec<&Edge> = found.edges.iter().filter(|edge| is_within(edge, namespaces)).collect();
    let body = Flows {
        edges: edges.iter().map(|edge| (*edge).into()).collect(),
    };
    let report = Report::of_tape("flowtape.flows/v1", &tape, findings);
    report.print(global, &body, |_| flows::text(&edges))
}

/// Whether an edge begins or ends in one of these namespaces; of none, every edge does.
fn is_within(edge: &Edge, namespaces: &[String]) -> bool {
    let inside = |peer: &Peer| match &peer.identity {
        Identity::Workload(Workload { namespace, .. }) | Identity::Service { namespace, name: _ } => {
            namespaces.contains(namespace)
        }
        Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => false,
    };
    namespaces.is_empty() || inside(&edge.key.from) || inside(&edge.key.to)
}
