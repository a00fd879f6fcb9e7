//! `flowtape flows`: who talked to whom, and what supports it.

use crate::cli::args::{FlowsArgs, Format, Global};
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::findings::Findings;
use crate::flow::edge::Edge;
use crate::flow::filter::Filter;
use crate::identity::cluster::Cluster;
use crate::json::edge::Flows;
use crate::render::csv;
use crate::render::text::flows;
use crate::tape;

pub(in crate::cli) fn run(args: &FlowsArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let filter = filter(args);
    let mut findings = Findings::default();
    let tape = tape::open(&args.input.tapes, &mut findings)?;
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let found = edges(&tape, &cluster, &mut findings)?;
    let edges: Vec<&Edge> = found.edges.iter().filter(|edge| filter.admits(edge)).collect();
    let body = Flows {
        edges: edges.iter().map(|edge| (*edge).into()).collect(),
    };
    let report = Report::of_tape("flowtape.flows/v1", &tape, &found, findings);
    report.print(global, &body, |body| match global.format {
        Format::Csv => csv::edges(&body.edges),
        Format::Text | Format::Json => flows::text(&edges),
    })
}

fn filter(args: &FlowsArgs) -> Filter {
    let FlowsArgs {
        input: _,
        namespaces,
        from,
        to,
        ports,
        outcomes,
        since,
        until,
    } = args;
    Filter {
        namespaces: namespaces.clone(),
        from: from.clone(),
        to: to.clone(),
        ports: ports.clone(),
        outcomes: outcomes.clone(),
        since: *since,
        until: *until,
    }
}
