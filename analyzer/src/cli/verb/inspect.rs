//! `flowtape inspect`: whether a recording is complete, and what is in it.

use crate::cli::args::{Global, InspectArgs};
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::findings::Findings;
use crate::identity::cluster::Cluster;
use crate::json::inspect::Inspect;
use crate::render::text::inspect;
use crate::tape;

pub(in crate::cli) fn run(args: &InspectArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let mut findings = Findings::default();
    let tape = tape::open(&args.input.tapes, &mut findings)?;
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = edges(&tape, &cluster, &mut findings)?;
    let body = Inspect::of(&tape, &cluster, &flows);
    let report = Report::of_tape("flowtape.inspect/v1", &tape, &flows, findings);
    report.print(global, &body, |body| inspect::text(&tape, body, &flows.unseen))
}
