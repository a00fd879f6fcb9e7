//! `generate --into`: the policies merged into a directory that holds some already.

use std::collections::BTreeSet;

use crate::cli::args::generate::{GenerateArgs, Options};
use crate::cli::directory;
use crate::cli::failure::Failure;
use crate::cli::policies;
use crate::escape::escaped;
use crate::findings::{Code, Findings};
use crate::flow::Flows;
use crate::identity::cluster::Cluster;
use crate::merge::change::Change;
use crate::merge::uncovered::uncovered;
use crate::merge::{Settings, by_hand, merge};
use crate::policy::model::{Policy, PolicySet, PolicySetError};
use crate::render::kind::Kind;
use crate::synthesis::Generated;
use crate::tape::Tape;

use super::{proof, settings};

/// What is there, and what is to be written.
pub(super) struct Into {
    files: Vec<(String, String)>,
    present: BTreeSet<String>,
    set: PolicySet,
}

/// Refuses what cannot be merged, before any work is done.
pub(super) fn check(args: &GenerateArgs, options: &Options) -> Result<(), Failure> {
    if args.into.is_some() && settings::kind(options.kind) != Kind::NetworkPolicy {
        let failure = Failure::plain("only policies of kind NetworkPolicy can be merged into a directory");
        return Err(failure.hint("write other kinds into a directory of their own with `-o DIR`"));
    }
    Ok(())
}

impl Into {
    /// Reads the directory, and leaves out what its policies by hand allow already, if that was asked for. What is left is
    /// proved together with them.
    pub(super) fn read(
        args: &GenerateArgs,
        generated: &Generated,
        flows: &Flows,
        cluster: &Cluster,
        findings: &mut Findings,
    ) -> Result<Option<(Self, bool)>, Failure> {
        let Some(path) = &args.into else { return Ok(None) };
        let (files, parsed) = policies::held(path)?;
        let mut into = Self {
            present: files.iter().map(|(name, _)| name.clone()).collect(),
            set: generated.set.clone(),
            files,
        };
        let mut proved = true;
        if args.only_uncovered {
            let failed = |error: &_| Failure::of("cannot make a policy set of this recording", error);
            let mut existing = by_hand(&into.files, &parsed);
            existing.retain(|policy| generated.set.iter().any(|ours| ours.namespace == policy.namespace));
            into.set = uncovered(&generated.set, &existing).map_err(|error| failed(&error))?;
            let left: usize = rules(&into.set);
            let covered = rules(&generated.set).saturating_sub(left);
            if covered > 0 {
                let message = format!("{covered} rules are left out, policies by hand have them");
                findings.report(Code::Covered, message);
            }
            let both = together(&existing, &into.set).map_err(|error| failed(&error))?;
            proved = proof::allows_all(&both, flows, cluster, generated, findings);
        }
        Ok(Some((into, proved)))
    }

    /// Merges and writes; what changed.
    pub(super) fn write(
        &self,
        args: &GenerateArgs,
        options: &Options,
        tape: &Tape,
        findings: &mut Findings,
    ) -> Result<Vec<Change>, Failure> {
        let Some(path) = &args.into else { return Ok(Vec::new()) };
        let window = tape.window.map(|window| (window.start, window.end));
        let settings = Settings {
            window: window.filter(|_| tape.health.is_complete()),
            prune_after: args.prune_after.map(|duration| duration.0),
        };
        if settings.window.is_none() {
            let message = "the recording is not complete, so no rule is marked or removed for not being in it";
            findings.report(Code::NotMarked, message);
        }
        let namespaces = options.namespaces.iter().cloned().collect();
        let merged = merge(&self.files, &self.present, &self.set, &namespaces, settings)
            .map_err(|error| Failure::of(format!("nothing was written into `{}`", path.display()), &error))?;
        directory::replace(path, &merged.files)?;
        Ok(merged.changes)
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
