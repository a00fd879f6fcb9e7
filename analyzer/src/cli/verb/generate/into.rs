//! `generate --into`: the policies merged into a directory that holds some already.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::args::generate::{GenerateArgs, Options};
use crate::cli::directory;
use crate::cli::failure::Failure;
use crate::cli::policies;
use crate::counted::counted;
use crate::escape::escaped;
use crate::findings::{Code, Findings};
use crate::flow::Flows;
use crate::identity::cluster::Cluster;
use crate::merge::change::Change;
use crate::merge::uncovered::uncovered;
use crate::merge::{self, Wanted, by_hand, merge};
use crate::policy::model::{Policy, PolicySet, PolicySetError};
use crate::render::kind::Kind;
use crate::synthesis::settings::{Grouping, Settings};
use crate::synthesis::{Generated, synthesize};
use crate::tape::Tape;

use super::lock::{Locked, hash, locked};
use super::{kustomization, proof, settings};

/// What is there, and what is to be written.
pub(super) struct Into<'a> {
    path: &'a Path,
    files: Vec<(String, String)>,
    present: BTreeSet<String>,
    set: PolicySet,
    apart: PolicySet,
    recorded: PolicySet,
    /// What a run before this one locked.
    locked: Locked,
}

/// What came of it.
pub(super) struct Merged {
    pub(super) changes: Vec<Change>,
    /// What is to be locked: what was as it was written, and what is written now.
    pub(super) locked: Locked,
}

/// Refuses what cannot be merged, before any work is done.
pub(super) fn check(args: &GenerateArgs, options: &Options) -> Result<(), Failure> {
    if args.into.is_some() && settings::kind(options.kind) != Kind::NetworkPolicy {
        let failure = Failure::plain("only policies of kind NetworkPolicy can be merged into a directory");
        return Err(failure.hint("write other kinds into a directory of their own with `-o DIR`"));
    }
    Ok(())
}

impl<'a> Into<'a> {
    /// Reads the directory, and leaves out what its policies by hand allow already, if that was asked for. What is left is
    /// proved together with them.
    pub(super) fn read(
        args: &'a GenerateArgs,
        generated: &Generated,
        flows: &Flows,
        (cluster, settings): (&Cluster, &Settings),
        findings: &mut Findings,
    ) -> Result<Option<(Self, bool)>, Failure> {
        let Some(path) = &args.into else { return Ok(None) };
        let failed = |error: &PolicySetError| Failure::of("cannot make a policy set of this recording", error);
        // What these have to say is said of the policies that were asked for.
        let derived = |settings: &Settings| {
            let derived = synthesize(&flows.edges, cluster, settings, &mut Findings::default());
            derived.map(|derived| derived.set).map_err(|error| failed(&error))
        };
        let apart = Settings {
            grouping: Grouping::Apart,
            ..settings.clone()
        };
        let (files, parsed) = policies::held(path)?;
        let mut into = Self {
            path,
            present: files.iter().map(|(name, _)| name.clone()).collect(),
            set: generated.set.clone(),
            apart: derived(&apart)?,
            recorded: derived(&settings.of_whole_recording())?,
            locked: locked(path),
            files,
        };
        let mut proved = true;
        if args.only_uncovered {
            let mut existing = by_hand(&into.files, &parsed);
            existing.retain(|policy| generated.set.iter().any(|ours| ours.namespace == policy.namespace));
            into.set = uncovered(&generated.set, &existing).map_err(|error| failed(&error))?;
            let left: usize = rules(&into.set);
            let covered = rules(&generated.set).saturating_sub(left);
            if covered > 0 {
                let covered = counted(covered, "rule is", "rules are");
                let message = format!("{covered} left out, policies by hand have them");
                findings.report(Code::Covered, message);
            }
            let both = together(&existing, &into.set).and_then(|both| both.with_cluster(parsed.of_cluster().to_vec()));
            let both = both.map_err(|error| failed(&error))?;
            proved = proof::allows_all(&both, flows, cluster, generated, findings);
        }
        Ok(Some((into, proved)))
    }

    /// Merges and writes; what changed.
    pub(super) fn write(
        self,
        args: &GenerateArgs,
        options: &Options,
        tape: &Tape,
        findings: &mut Findings,
    ) -> Result<Merged, Failure> {
        let Self {
            path,
            files,
            present,
            set,
            apart,
            recorded,
            mut locked,
        } = self;
        let window = tape.window.map(|window| (window.start, window.end));
        let settings = merge::Settings {
            window: window.filter(|_| tape.health.is_complete()),
            prune_after: args.prune_after.map(|duration| duration.0),
        };
        if settings.window.is_none() {
            let message = "the recording is not complete, so no rule is marked or removed for not being in it";
            findings.report(Code::NotMarked, message);
        }
        let namespaces = options.namespaces.iter().cloned().collect();
        let wanted = Wanted {
            set: &set,
            apart: &apart,
            recorded: &recorded,
        };
        let mut merged = merge(&files, &present, wanted, &namespaces, settings)
            .map_err(|error| Failure::of(format!("nothing was written into `{}`", path.display()), &error))?;
        kustomization::extend(&files, &locked, &mut merged.changes, &mut merged.files)?;
        // A file that somebody edited stays one that somebody edited.
        let edited = |name: &String| {
            let before = files.iter().find(|(held, _)| held == name);
            before.is_some_and(|(_, text)| locked.get(name) != Some(&hash(text)))
        };
        let written = merged.files.iter().filter(|(name, _)| !edited(name));
        let written: Locked = written.map(|(name, text)| (name.clone(), hash(text))).collect();
        locked.extend(written);
        directory::replace(path, &directory::texts(&merged.files))?;
        Ok(Merged {
            changes: merged.changes,
            locked,
        })
    }
}

/// All policies that will be in force; names do not matter here.
fn together(existing: &[Policy], ours: &PolicySet) -> Result<PolicySet, PolicySetError> {
    let ours = ours.iter().enumerate().map(|(number, policy)| Policy {
        name: format!("ours/{number}"),
        ..policy.clone()
    });
    PolicySet::new(existing.iter().cloned().chain(ours))
}

fn rules(set: &PolicySet) -> usize {
    let count = |rules: &Option<Vec<_>>| rules.as_ref().map_or(0, Vec::len);
    set.iter()
        .map(|policy| count(&policy.ingress) + count(&policy.egress))
        .sum()
}

/// What changed, one line each.
pub(super) fn text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing changed\n".to_owned();
    }
    let lines: Vec<String> = changes.iter().map(|change| escaped(&change.to_string())).collect();
    lines.join("\n") + "\n"
}
