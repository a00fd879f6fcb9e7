//! `flowtape flows`: who talked to whom, and what supports it.

use crate::cli::args::flows::FlowsArgs;
use crate::cli::args::{Format, Global};
use crate::cli::destination::Destination;
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::findings::Findings;
use crate::flow::edge::Edge;
use crate::flow::filter::Filter;
use crate::frame::edges::frame;
use crate::identity::cluster::Cluster;
use crate::json::edge::Flows;
use crate::render::text::flows;
use crate::render::{csv, parquet};
use crate::tape;

pub(in crate::cli) fn run(args: &FlowsArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let filter = filter(args);
    let destination = Destination::checked(&args.destined, global.format)?;
    let mut findings = Findings::default();
    let tape = tape::open(&args.input.tapes, &mut findings)?;
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let found = edges(&tape, &cluster, &mut findings)?;
    let edges: Vec<&Edge> = found.edges.iter().filter(|edge| filter.admits(edge)).collect();
    let body = Flows {
        edges: edges.iter().map(|edge| (*edge).into()).collect(),
    };
    let report = Report::of_tape("flowtape.flows/v1", &tape, &found, findings);
    report.write(destination, global, &body, |body| {
        Ok(match global.format {
            Format::Csv => csv::text(&frame(&body.edges)).into_bytes(),
            Format::Parquet => {
                parquet::bytes(&frame(&body.edges)).map_err(|error| Failure::of("cannot write Parquet", &error))?
            }
            Format::Text | Format::Json | Format::Markdown | Format::Sarif | Format::Junit => {
                flows::text(&edges).into_bytes()
            }
        })
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
        destined: _,
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
