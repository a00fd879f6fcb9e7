//! Drives a run from the first question to the last object removed.

use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use flowtape_schemas::manifest::sha256_hex;
use tokio::time::Instant;

use super::cli::{CollectArgs, RecordArgs, RemoveArgs};
use super::cluster::Cluster;
use super::interrupt::Interrupts;
use super::manifest::{RUN_LABEL, Run, objects};
use super::progress::Stage;
use super::remove;
use super::roster::{Incoming, Roster};
use super::verdict::Verdict;
use crate::exit::Exit;
use crate::output;
use crate::tape::Target;

/// How often the pods are looked at.
const PACE: Duration = Duration::from_secs(1);

/// How a run ended.
enum Outcome {
    /// With a tape.
    Tape(Verdict),
    /// Before there was anything to collect.
    Interrupted,
}

/// Runs the verb `record`.
pub(super) fn record(arguments: &RecordArgs) -> anyhow::Result<Exit> {
    runtime()?.block_on(async {
        let output = arguments.output.as_deref().context("no directory for the tape")?;
        let target = Target::check(output, arguments.force)?;
        let incoming = Incoming::beside(output)?;
        let cluster = Cluster::connect(&arguments.cluster).await?;
        let missing = cluster.missing_permissions().await?;
        if !missing.is_empty() {
            bail!(
                "you may not {}; nothing was created. Ask for a role that allows it, or have somebody apply what \
                 --print-manifests prints",
                missing.join(", ")
            );
        }
        cluster.check_namespace().await?;
        let run = arguments.run(new_id());
        let mut interrupts = Interrupts::listen().context("cannot listen for signals")?;
        output::say(format_args!("run {} in namespace {}", run.id, run.namespace));
        if !run.namespaces.is_empty() {
            output::warn(format_args!(
                "--namespaces limits the metadata only: sockets of every pod are recorded, and peers outside of {} are unknown, \
                 so that no rule can be made for them",
                run.namespaces.join(", ")
            ));
        }

        let mut second = interrupts.clone();
        let work = async {
            let window = Window {
                cluster: &cluster,
                run: &run,
                arguments,
                roster: Roster::new(&cluster, incoming),
            };
            let outcome = window.drive(target, &mut interrupts).await;
            if arguments.keep {
                remove::say_what_is_left(&cluster, &run.id);
                return outcome;
            }
            let removed = remove::remove(&cluster, Some(&run.id)).await;
            if removed.is_err() {
                remove::say_what_is_left(&cluster, &run.id);
            }
            let outcome = outcome?;
            removed.context("not everything could be removed")?;
            Ok(outcome)
        };
        let outcome = tokio::select! {
            outcome = work => outcome?,
            () = second.beyond(1) => {
                remove::say_what_is_left(&cluster, &run.id);
                return Ok(Exit::Interrupted);
            }
        };
        Ok(match outcome {
            Outcome::Interrupted => {
                output::say("interrupted; nothing was recorded, and nothing is left in the cluster");
                Exit::Interrupted
            }
            Outcome::Tape(verdict) => {
                output::say(&verdict);
                if arguments.strict && !verdict.is_complete() {
                    Exit::Found
                } else {
                    Exit::Done
                }
            }
        })
    })
}

/// Runs the verb `collect`.
pub(super) fn collect(arguments: &CollectArgs) -> anyhow::Result<Exit> {
    runtime()?.block_on(async {
        let target = Target::check(&arguments.output, arguments.force)?;
        let incoming = Incoming::beside(&arguments.output)?;
        let cluster = Cluster::connect(&arguments.cluster).await?;
        let pods = cluster.pods(&format!("{RUN_LABEL}={}", arguments.run)).await?;
        if pods.is_empty() {
            bail!(
                "namespace `{}` has no pod of run `{}`",
                cluster.namespace,
                arguments.run
            );
        }
        let mut roster = Roster::new(&cluster, incoming);
        roster.look(&pods);
        let recorded = roster.uncollected(|_| true);
        roster.collect(recorded).await;
        Ok(told(&roster.unite(target)?, arguments.strict))
    })
}

/// Says the last line.
fn told(verdict: &Verdict, is_strict: bool) -> Exit {
    output::say(verdict);
    if is_strict && !verdict.is_complete() {
        Exit::Found
    } else {
        Exit::Done
    }
}

/// Runs the verb `remove`.
pub(super) fn remove(arguments: &RemoveArgs) -> anyhow::Result<Exit> {
    runtime()?.block_on(async {
        let cluster = Cluster::connect(&arguments.cluster).await?;
        remove::remove(&cluster, arguments.run.as_deref()).await?;
        output::say("removed");
        Ok(Exit::Done)
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().context("cannot start")
}

/// Tells runs apart that begin at any two moments, on any two machines.
fn new_id() -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut id = sha256_hex(format!("{} {}", now.as_nanos(), std::process::id()).as_bytes());
    id.truncate(8);
    id
}

/// A window that is being recorded.
struct Window<'a> {
    cluster: &'a Cluster,
    run: &'a Run,
    arguments: &'a RecordArgs,
    roster: Roster<'a>,
}

impl Window<'_> {
    async fn drive(mut self, target: Target, interrupts: &mut Interrupts) -> anyhow::Result<Outcome> {
        for object in objects(self.run) {
            self.cluster.create(&object).await?;
            if interrupts.count() > 0 {
                return Ok(Outcome::Interrupted);
            }
        }
        if !self.start(interrupts).await? {
            return Ok(Outcome::Interrupted);
        }
        self.wait(interrupts).await;
        // Whoever interrupts the collecting wants it all to end; the window may have ended by the first interrupt.
        let so_far = interrupts.count();
        let pods = self
            .roster
            .uncollected(|stage| !matches!(stage, Stage::Refused(_) | Stage::Waiting));
        tokio::select! {
            () = self.roster.collect(pods) => {}
            () = interrupts.beyond(so_far) => {}
        }
        let verdict = self.roster.unite(target)?;
        Ok(Outcome::Tape(verdict))
    }

    /// Waits until every node records or is known not to; false if the user does not want to wait any more.
    async fn start(&mut self, interrupts: &mut Interrupts) -> anyhow::Result<bool> {
        let deadline = Instant::now() + self.arguments.startup_timeout;
        loop {
            let pods = self.cluster.pods(&self.run.selector()).await?;
            self.roster.look(&pods);
            let desired = self.cluster.desired(self.run).await?;
            if desired.is_some_and(|desired| desired > 0 && self.roster.progress.is_settled(desired)) {
                break;
            }
            if Instant::now() >= deadline {
                let desired = desired.unwrap_or_default();
                output::warn(format_args!(
                    "after {:?} not every one of {desired} nodes records; going on with those that do",
                    self.arguments.startup_timeout
                ));
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(PACE) => {}
                () = interrupts.beyond(0) => return Ok(false),
            }
        }
        if self.roster.progress.nodes(|member| member.stage == Stage::Recording) == 0 {
            bail!("no node records{}", self.roster.why_not());
        }
        Ok(true)
    }

    /// Lets the window pass. Who has to go meanwhile is collected before it goes.
    async fn wait(&mut self, interrupts: &mut Interrupts) {
        self.roster.progress.has_window_begun = true;
        let nodes = self.roster.progress.nodes(|member| member.stage == Stage::Recording);
        let length = self
            .arguments
            .duration
            .map_or_else(String::new, |duration| format!(" for {duration:?}"));
        let hint = if std::io::stderr().is_terminal() {
            "; Ctrl-C ends the window and collects it"
        } else {
            ""
        };
        output::say(format_args!("recording on {nodes} nodes{length}{hint}"));
        let deadline = self
            .arguments
            .duration
            .and_then(|duration| Instant::now().checked_add(duration));
        let mut is_blind = false;
        loop {
            let now = Instant::now();
            let left = deadline.map_or(PACE, |deadline| deadline.saturating_duration_since(now));
            if left.is_zero() || interrupts.count() > 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(PACE)) => {}
                () = interrupts.beyond(0) => return,
            }
            match self.cluster.pods(&self.run.selector()).await {
                Ok(pods) => {
                    is_blind = false;
                    self.roster.look(&pods);
                    let leaving = self.roster.uncollected(|stage| matches!(stage, Stage::Leaving(_)));
                    let there = |name: &String| pods.iter().any(|pod| pod.metadata.name.as_ref() == Some(name));
                    let leaving = leaving.into_iter().filter(|(_, pod)| there(pod)).collect();
                    self.roster.collect(leaving).await;
                }
                Err(error) if !is_blind => {
                    is_blind = true;
                    output::warn(format_args!("{error:#}; the nodes go on recording"));
                }
                Err(_) => {}
            }
        }
    }
}
