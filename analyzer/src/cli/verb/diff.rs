//! `flowtape diff`: what changed between two recordings, or between a recording and policies.

use std::collections::BTreeSet;
use std::path::Path;

use flowtape_schemas::time::Time;

use crate::cli::args::Global;
use crate::cli::args::diff::{DiffArgs, FailOn};
use crate::cli::args::reading::Reading;
use crate::cli::cluster;
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::gate;
use crate::cli::output;
use crate::cli::policies::{self, Policies};
use crate::cli::report::Report;
use crate::cli::side::{SidePath, side};
use crate::diff::accepted;
use crate::diff::change::{Class, Diff, Side};
use crate::diff::{Recording, policy_sets, recordings, with_policies};
use crate::findings::{Code, Findings};
use crate::flow::Flows;
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::json;
use crate::json::{Input, Shares};
use crate::render::review::diff::{Judged, review};
use crate::render::review::{Base, Bases};
use crate::render::text;
use crate::replay::world::{named_world, world};
use crate::tape::{self, Health};

pub(in crate::cli) fn run(args: &DiffArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let gate = Gate::new(args)?;
    let sides = (side(&args.before)?, side(&args.after)?);
    let bases = Bases {
        before: base(&sides.0),
        after: base(&sides.1),
    };
    if let (Some(_), SidePath::Tape(_), _) | (Some(_), _, SidePath::Tape(_)) = (&args.cluster, &sides.0, &sides.1) {
        return Err(Failure::plain(
            "`--cluster` is for two sets of policies, a tape has its own cluster",
        ));
    }
    let profile = args.reading.profile();
    let found = match sides {
        (SidePath::Tape(before), SidePath::Tape(after)) => {
            two_tapes(&Opened::open(&before)?, &Opened::open(&after)?, gate)
        }
        (SidePath::Tape(tape), SidePath::Policies(path)) => {
            tape_and_policies(&Opened::open(&tape)?, policies::read(&path, profile)?, gate)
        }
        (SidePath::Policies(path), SidePath::Tape(tape)) => {
            let policies = policies::read(&path, profile)?;
            let mut found = tape_and_policies(&Opened::open(&tape)?, policies, gate);
            found.diff = found.diff.mirrored();
            found.inputs.rotate_right(1);
            found
        }
        (SidePath::Policies(before), SidePath::Policies(after)) => two_sets(
            policies::read(&before, profile)?,
            policies::read(&after, profile)?,
            args.cluster.as_deref(),
            args.reading,
        )?,
    };
    let Found {
        diff,
        inputs,
        health,
        shares,
        mut findings,
        end,
    } = found;
    let mut diff = diff.within(&args.namespaces);
    diff.report(&mut findings);
    let (baseline, now) = gate::baseline(&args.gated, end)?;
    let baseline = baseline.of_diff();
    let excused = accepted::part(&baseline, &mut diff, now, &mut findings);
    let report = Report {
        schema: "flowtape.diff/v1",
        inputs,
        health,
        shares,
        findings,
        remark: String::new(),
    };
    let body = json::diff::Diff::new(&diff, &excused);
    let judged = gate.judged(&diff);
    let text = || text::diff::text(&diff, &excused);
    let strict = gate::print(&report, &args.gated, global, &body, text, |health, findings| {
        review(&diff, &excused, &judged, (health, findings), bases)
    })?;
    Ok(strict.max(gate.judge(&diff, judged.doubt)))
}

fn base(side: &SidePath) -> Base {
    match side {
        SidePath::Tape(paths) => paths.first().map(|path| gate::recording(path)).unwrap_or_default(),
        SidePath::Policies(path) => gate::base(path),
    }
}

/// What a comparison gave.
struct Found {
    diff: Diff,
    inputs: Vec<Input>,
    health: Health,
    shares: Vec<Shares>,
    findings: Findings,
    /// When the last recording ended.
    end: Option<Time>,
}

/// A tape with its edges.
struct Opened {
    tape: tape::Tape,
    cluster: Cluster,
    flows: Flows,
    findings: Findings,
    workloads: BTreeSet<Workload>,
}

impl Opened {
    fn open(paths: &[std::path::PathBuf]) -> Result<Self, Failure> {
        let mut findings = Findings::default();
        let tape = tape::open(paths, &mut findings)?;
        let cluster = Cluster::new(&tape.cluster, &mut findings);
        let flows = edges(&tape, &cluster, &mut findings)?;
        let of_pods = cluster.pods.values().map(|pod| &pod.workload);
        let owners = cluster.owners.templates().map(|(workload, _)| workload);
        Ok(Self {
            workloads: of_pods.chain(owners).cloned().collect(),
            tape,
            cluster,
            flows,
            findings,
        })
    }

    fn end(&self) -> Option<Time> {
        self.tape.window.map(|window| window.end)
    }

    fn recording(&self, gate: Gate<'_>) -> Recording<'_> {
        Recording {
            flows: &self.flows,
            // Peers that were folded away may be any that the other side knows.
            complete: gate.allow_incomplete
                || self.tape.health.is_complete() && !self.findings.has(Code::RemotesFolded),
            workloads: Some(&self.workloads).filter(|there| !there.is_empty()),
            length: self
                .tape
                .window
                .map(|window| window.end.0.saturating_sub(window.start.0)),
        }
    }
}

fn two_tapes(before: &Opened, after: &Opened, gate: Gate<'_>) -> Found {
    let mut findings = Findings::default();
    let mut health = Health::default();
    let mut shares = Vec::new();
    // What is said of a recording says of which.
    for (opened, side) in [(before, Side::Before), (after, Side::After)] {
        let word = side.word();
        for finding in opened.findings.list() {
            let message = format!("{word}: {}", finding.message);
            findings.report_rows(finding.code, message, finding.count, &finding.samples);
        }
        shares.push(Shares::new(Some(side), &opened.flows.shares));
        let reasons = opened.tape.health.reasons.iter();
        health.reasons.extend(reasons.map(|reason| format!("{word}: {reason}")));
    }
    let inputs = [before, after].into_iter().flat_map(|one| Input::of_tape(&one.tape));
    Found {
        diff: recordings(before.recording(gate), after.recording(gate)),
        inputs: inputs.collect(),
        health,
        shares,
        findings,
        end: before.end().max(after.end()),
    }
}

/// For the pods of the cluster, and for those that stand for the selectors of both sets.
fn two_sets(before: Policies, after: Policies, cluster: Option<&Path>, reading: Reading) -> Result<Found, Failure> {
    let mut findings = Findings::default();
    let given = cluster.map(|path| cluster::read(path, &mut findings)).transpose()?;
    let (cluster, inputs, health) = match given {
        Some(cluster::Given {
            cluster,
            inputs,
            health,
        }) => (Some(cluster), inputs, health),
        None => (None, Vec::new(), Health::default()),
    };
    for policies in [&before, &after] {
        policies::say_what_is_odd(&policies.parsed, &mut findings);
        let universe = cluster.as_ref().map(world).unwrap_or_default();
        policies::say_how_it_is_read(&policies.parsed.set, &universe, reading, &mut findings);
    }
    Ok(Found {
        diff: policy_sets(&before.parsed.set, &after.parsed.set, cluster.as_ref()),
        inputs: [before.input, after.input].into_iter().chain(inputs).collect(),
        health,
        shares: Vec::new(),
        findings,
        end: None,
    })
}

/// The tape first; the caller mirrors what was given the other way round.
fn tape_and_policies(opened: &Opened, policies: Policies, gate: Gate<'_>) -> Found {
    let Policies { parsed, input } = policies;
    let mut findings = opened.findings.clone();
    policies::say_what_is_odd(&parsed, &mut findings);
    let universe = named_world(&opened.cluster, &opened.flows.edges);
    policies::say_how_it_is_read(&parsed.set, &universe, gate.reading, &mut findings);
    let recording = opened.recording(gate);
    let diff = with_policies(recording, &opened.cluster, &universe, &parsed.set);
    let mut inputs = Input::of_tape(&opened.tape);
    inputs.push(input);
    Found {
        diff,
        inputs,
        health: opened.tape.health.clone(),
        shares: vec![Shares::new(None, &opened.flows.shares)],
        findings,
        end: opened.end(),
    }
}

/// Which differences end with exit code 1.
#[derive(Clone, Copy)]
struct Gate<'a> {
    fail_on: &'a [FailOn],
    allow_incomplete: bool,
    reading: Reading,
}

impl<'a> Gate<'a> {
    fn new(args: &'a DiffArgs) -> Result<Self, Failure> {
        let fail_on = args.fail_on.as_slice();
        if fail_on.len() > 1 && fail_on.contains(&FailOn::None) {
            return Err(Failure::plain("`--fail-on none` cannot stand beside other classes"));
        }
        Ok(Self {
            fail_on,
            allow_incomplete: args.allow_incomplete,
            reading: args.reading,
        })
    }

    fn judge(self, diff: &Diff, doubt: Option<String>) -> ExitStatus {
        if self.is_crossed(diff) {
            return ExitStatus::Found;
        }
        match doubt {
            Some(doubt) => {
                output::say(&format!(
                    "note: exit code 1, because {doubt}, so that no change proves nothing; `--allow-incomplete` takes it as it is"
                ));
                ExitStatus::Found
            }
            None => ExitStatus::Done,
        }
    }

    /// What of the diff ends with exit code 1.
    fn judged(self, diff: &Diff) -> Judged {
        let never = self.fail_on.contains(&FailOn::None);
        Judged {
            failing: Class::ALL.into_iter().filter(|class| self.asks(*class)).collect(),
            doubt: if never || self.is_crossed(diff) {
                None
            } else {
                self.doubt(diff)
            },
        }
    }

    /// Whether there is a difference that was asked for.
    fn is_crossed(self, diff: &Diff) -> bool {
        let changed = diff.changes.iter().any(|change| self.asks(change.class));
        // Where nothing isolates a workload, everything is allowed there that was not before.
        let unbounded = diff.unbounded.iter().any(|one| {
            self.asks(match one.side {
                Side::After => Class::Added,
                Side::Before => Class::Removed,
            })
        });
        changed || unbounded
    }

    fn asks(self, class: Class) -> bool {
        self.fail_on.iter().any(|one| match one {
            FailOn::Any => true,
            FailOn::None => false,
            FailOn::Added => class == Class::Added,
            FailOn::Removed => class == Class::Removed,
            FailOn::Widened => class == Class::Widened,
            FailOn::Narrowed => class == Class::Narrowed,
        })
    }

    /// Why the absence of changes proves nothing.
    fn doubt(self, diff: &Diff) -> Option<String> {
        if self.allow_incomplete {
            return None;
        }
        if let Some(side) = diff.incomplete.first() {
            return Some(format!("side `{}` is incomplete", side.word()));
        }
        if let Some(one) = diff.unidentified.first() {
            return Some(format!("side `{}` has peers that it cannot identify", one.side.word()));
        }
        if diff.uncombined > 0 {
            return Some("not every pair of policies was compared".to_owned());
        }
        let (protocol, name) = diff.unresolved.first()?;
        Some(format!("no pod says which number port `{name}` of {protocol} is"))
    }
}
