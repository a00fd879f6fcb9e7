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
use crate::findings::Findings;
use crate::identity::cluster::Cluster;
use crate::render::kind::Kind;
use crate::render::text;
use crate::replay::world::world;
use crate::synthesis::landmarks::landmarks;
use crate::synthesis::synthesize;
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
    let proof = proof::prove(&flows, (&cluster, &world), &generated, &mut findings);
    let landmarks = landmarks(&flows.edges, &cluster, &generated.set);
    let writing = Writing {
        kind: settings::kind(options.kind),
        evidence: options.evidence.unwrap_or(Evidence::Comments),
        json: global.format == Format::Json,
    };
    let mut manifests = manifests::manifests(writing, &generated.set, &landmarks, &mut findings)?;
    // Other kinds are each one plugin's own, and it reads them as they are meant.
    let differences = if writing.kind == Kind::NetworkPolicy {
        let chosen = settings::profile(options.cni);
        enforcer::report(chosen, &generated.set, &flows, (&cluster, &world), &mut findings)
    } else {
        Vec::new()
    };
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
        let files = output::files(&manifests, options.layout.unwrap_or(Layout::Policy))?;
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

fn refuse_empty_window(tape: &Tape) -> Result<(), Failure> {
    if tape.nodes.iter().any(|node| !node.flows.is_empty()) {
        return Ok(());
    }
    let failure = Failure::plain("nothing was recorded: the window is empty, so there is nothing to make policies of");
    Err(failure.hint("`flowtape inspect` shows what the tape holds; give the recording together with its metadata"))
}
