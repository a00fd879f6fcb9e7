//! `flowtape verify`: what policies would do to what was recorded.

use std::path::Path;

use crate::cli::args::Global;
use crate::cli::args::verify::VerifyArgs;
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::gate;
use crate::cli::policies::{self, Policies};
use crate::cli::report::Report;
use crate::findings::{Code, Findings};
use crate::flow::edge::Edge;
use crate::flow::process::processes;
use crate::identity::cluster::Cluster;
use crate::json;
use crate::parse::kubernetes::Parsed;
use crate::parse::report::Skipped;
use crate::render::review::verify::review;
use crate::render::review::{Base, Bases};
use crate::render::text;
use crate::replay::world::named_world;
use crate::semantics::eval::By;
use crate::tape;
use crate::verify::{accepted, verify};

pub(in crate::cli) fn run(args: &VerifyArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let VerifyArgs {
        input,
        policies: path,
        reading,
        namespaces,
        gated,
    } = args;
    let Policies {
        parsed,
        input: policies,
    } = policies::read(path, reading.profile())?;
    let mut findings = Findings::default();
    policies::say_what_is_odd(&parsed, &mut findings);
    if parsed.set.is_empty() {
        return Err(nothing_to_judge(path, &parsed));
    }
    let tape = tape::open(&input.tapes, &mut findings)?;
    let (baseline, now) = gate::baseline(gated, tape.window.map(|window| window.end))?;
    let baseline = baseline.of_verify();
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = edges(&tape, &cluster, &mut findings)?;

    let universe = named_world(&cluster, &flows.edges);
    policies::say_how_it_is_read(&parsed.set, &universe, *reading, &mut findings);
    let mut verified = verify(&flows.edges, &parsed.set, &universe, namespaces);
    for (workload, direction) in &verified.unbounded {
        let message = format!("{workload}: no policy isolates its {direction}, so everything is allowed there");
        findings.report(Code::NotIsolated, message);
    }
    let denied = std::mem::take(&mut verified.denied);
    let denied_edges: Vec<&Edge> = denied.iter().map(|denied| denied.edge).collect();
    let processes = processes(&tape, &cluster, &denied_edges)?;
    let (counting, excused) = accepted::part(&baseline, denied, now, &mut findings);
    verified.denied = counting;

    let body = json::verify::Verify::of(&verified, &excused, tape.window, &processes);
    let mut report = Report::of_tape("flowtape.verify/v1", &tape, &flows, findings);
    report.inputs.push(policies);
    let text = || text::verify::text(&verified, &excused, tape.window, &processes);
    let bases = Bases {
        before: Base::default(),
        after: gate::base(path),
    };
    let strict = gate::print(&report, gated, global, &body, text, |health, findings| {
        review(&verified, &excused, tape.window, &processes, (health, findings), bases)
    })?;
    let found = if body.denied.is_empty() {
        ExitStatus::Done
    } else {
        ExitStatus::Found
    };
    Ok(strict.max(found))
}

/// Files without a NetworkPolicy deny nothing, which nobody asks for.
fn nothing_to_judge(path: &Path, parsed: &Parsed) -> Failure {
    let failure = Failure::plain(format!("no NetworkPolicy to judge by in `{}`", path.display()));
    if let Some(refusal) = parsed.refused.first() {
        return failure.hint(format!("a policy is there that is left out: {refusal}"));
    }
    if let Some(policy) = parsed.staged.first() {
        return failure.hint(format!("a policy is there that is staged: {}", By::of(policy, None)));
    }
    match parsed.skipped.first() {
        None => failure,
        Some(Skipped {
            api_version,
            kind,
            place,
        }) => failure.hint(format!(
            "other objects are there, the first a {kind} of {api_version} in {place}"
        )),
    }
}
