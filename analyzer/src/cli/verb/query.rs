//! `flowtape query`: anything else that can be asked of a recording, in SQL.

use crate::cli::args::query::QueryArgs;
use crate::cli::args::{Format, Global};
use crate::cli::destination::Destination;
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::findings::Findings;
use crate::frame::Frame;
use crate::frame::json::Document;
use crate::frame::tables::{self, Source};
use crate::identity::cluster::Cluster;
use crate::json::edge::Edge;
use crate::query::{QueryError, answer, tables_of};
use crate::render::text::rows;
use crate::render::{csv, parquet};
use crate::tape;

pub(in crate::cli) fn run(args: &QueryArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let QueryArgs { input, sql, destined } = args;
    let destination = Destination::checked(destined, global.format)?;
    let asked = tables_of(sql).map_err(|error| refused(&error))?;
    let mut findings = Findings::default();
    let tape = tape::open(&input.tapes, &mut findings)?;
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = edges(&tape, &cluster, &mut findings)?;
    let listed: Vec<Edge> = flows.edges.iter().map(Edge::from).collect();
    let source = Source {
        tape: &tape,
        cluster: &cluster,
        edges: &listed,
        findings: &findings.list(),
    };
    let mut frames: Vec<(&str, Frame)> = Vec::new();
    for name in tables::NAMES {
        // What is not named is not read; it stands there without rows, so that `SHOW TABLES` has it.
        let is_asked = asked.iter().any(|one| one == name);
        let table = if is_asked {
            tables::table(source, name)?
        } else {
            tables::empty(name)?
        };
        frames.extend(table.map(|table| (name, table.frame)));
    }
    let frame = answer(sql, frames).map_err(|error| refused(&error))?;
    let report = Report::of_tape("flowtape.query/v1", &tape, &flows, findings);
    report.write(destination, global, &Document::new(&frame), |_| {
        Ok(match global.format {
            Format::Csv => csv::text(&frame).into_bytes(),
            Format::Parquet => parquet::bytes(&frame).map_err(|error| Failure::of("cannot write Parquet", &error))?,
            Format::Text | Format::Json | Format::Markdown | Format::Sarif | Format::Junit => {
                rows::text(&frame).into_bytes()
            }
        })
    })
}

fn refused(error: &QueryError) -> Failure {
    match error {
        QueryError::NotBuilt => Failure::plain("this build of `flowtape` cannot answer queries")
            .hint("install one that can: `cargo install --locked --path analyzer --features query`"),
        QueryError::Sql(_) | QueryError::Engine => Failure::of("the query cannot be answered", error)
            .hint("`flowtape schema query` lists every table and column; one SELECT is one query"),
    }
}
