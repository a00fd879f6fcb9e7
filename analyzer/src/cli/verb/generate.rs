//! `flowtape generate`: policies that allow what was recorded and nothing else, with the proof.

mod beside;
pub(super) mod config;
mod enforcer;
mod into;
mod kustomization;
mod lock;
mod output;
mod proof;
pub(super) mod settings;
mod stale;

use crate::cli::args::generate::{Evidence, GenerateArgs, Layout};
use crate::cli::args::{Format, Global};
use crate::cli::directory;
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::manifests::{self, Writing};
use crate::cli::report::Report;
use crate::enforcer::Difference;
use crate::findings::Findings;
use crate::flow::Flows;
use crate::identity::cluster::Cluster;
use crate::policy::profile::Profile;
use crate::render::kind::Kind;
use crate::render::text;
use crate::replay::proof::Proof;
use crate::replay::world::world;
use crate::semantics::world::World;
use crate::synthesis::landmarks::landmarks;
use crate::synthesis::{Generated, synthesize};
use crate::tape::{self, Tape};
use beside::Beside;
use into::Into;
use stale::Stale;

pub(in crate::cli) fn run(args: &GenerateArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let options = config::options(&args.options, args.config.as_deref())?;
    let mut findings = Findings::default();
    let tape = tape::open(&args.input.tapes, &mut findings)?;
    refuse_empty_window(&tape)?;
    into::check(args, &options)?;
    if let Some(directory) = &args.output {
        directory::check(directory, args.force)?;
    }
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = edges(&tape, &cluster, &mut findings)?;
    let settings = settings::settings(&options, &tape);
    let generated = synthesize(&flows.edges, &cluster, &settings, &mut findings)
        .map_err(|error| Failure::of("cannot make a policy set of this recording", &error))?;
    let world = world(&cluster);
    let writing = Writing {
        kind: settings::kind(options.kind),
        evidence: options.evidence.unwrap_or(Evidence::Comments),
        json: global.format == Format::Json,
    };
    let chosen = settings::profile(options.cni);
    // Neither needs what the other makes, and each has parts that one thread does alone.
    let mut of_objects = Findings::default();
    let (judged, written) = rayon::join(
        || {
            judged(
                &flows,
                (&cluster, &world),
                &generated,
                (writing.kind, chosen),
                &mut findings,
            )
        },
        || {
            let landmarks = landmarks(&flows.edges, &cluster, &generated.set);
            manifests::manifests(writing, &generated.set, &landmarks, &mut of_objects)
        },
    );
    let ((proof, differences), mut manifests) = (judged, written?);
    findings.absorb(of_objects);
    let mut body = output::body(&generated, &mut manifests, &proof, &differences);
    let into = Into::read(args, &generated, &flows, (&cluster, &settings), &mut findings)?;
    let proved = proof.holds() && into.as_ref().is_none_or(|(_, whole)| *whole);
    let write = |(into, _): (Into<'_>, bool)| into.write(args, &options, &tape, &mut findings);
    let merged = into.map(write).transpose()?;
    body.changes = merged.as_ref().map(|merged| output::changes(&merged.changes));
    let mut report = Report::of_tape("flowtape.generate/v1", &tape, &flows, findings);
    report.remark = text::proof::text(&body.proof);
    if let (Some(directory), Some(merged)) = (&args.into, &merged) {
        let lock = lock::lock(&options, &report.inputs, &merged.locked);
        let beside = Beside::new(&report, &generated, &flows, &body.proof)?;
        let mut files = beside.files(&lock);
        // What stands beside the policies would otherwise be about those that are no longer there.
        files.retain(|name, _| directory.join(name).is_file());
        directory::replace(directory, &files)?;
    } else if let Some(directory) = &args.output {
        let files = output::files(&mut manifests, options.layout.unwrap_or(Layout::Policy))?;
        let stale = Stale::of(directory, &files);
        let lock = lock::lock(&options, &report.inputs, &lock::of_files(&files));
        let beside = Beside::new(&report, &generated, &flows, &body.proof)?;
        let mut all = directory::texts(&files);
        all.extend(beside.files(&lock));
        directory::write(directory, &all, args.force)?;
        stale.remove(directory)?;
    }
    let printed = report.print(global, &body, |_| match &merged {
        Some(merged) => into::text(&merged.changes),
        None if args.output.is_some() => String::new(),
        None => manifests::text(&manifests),
    })?;
    Ok(if proved {
        printed
    } else {
        printed.max(ExitStatus::Found)
    })
}

/// The proof of a set, and what network plugins read differently of it.
fn judged(
    flows: &Flows,
    (cluster, world): (&Cluster, &World),
    generated: &Generated,
    (kind, chosen): (Kind, Profile),
    findings: &mut Findings,
) -> (Proof, Vec<Difference>) {
    let proof = proof::prove(flows, (cluster, world), generated, findings);
    // Other kinds are each one plugin's own, and it reads them as they are meant.
    let differences = if kind == Kind::NetworkPolicy {
        enforcer::report(chosen, &generated.set, flows, (cluster, world), findings)
    } else {
        Vec::new()
    };
    (proof, differences)
}

fn refuse_empty_window(tape: &Tape) -> Result<(), Failure> {
    if tape.nodes.iter().any(|node| !node.flows.is_empty()) {
        return Ok(());
    }
    let failure = Failure::plain("nothing was recorded: the window is empty, so there is nothing to make policies of");
    Err(failure.hint("`flowtape inspect` shows what the tape holds; give the recording together with its metadata"))
}
