//! Everybody who records for a run, and what has come from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Pod;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::collect::{Collected, collect};
use super::progress::{Progress, Stage, Unit};
use super::unite::{Source, unite};
use super::verdict::Verdict;
use crate::output;
use crate::tape::{CLUSTER_DIRECTORY, Target};

/// Pods that are collected at the same time.
const STREAMS: usize = 8;

/// Where files arrive before they are a tape.
pub(super) struct Incoming(PathBuf);

impl Incoming {
    pub(super) fn beside(output: &Path) -> anyhow::Result<Self> {
        let mut name = output
            .file_name()
            .context("the directory of the tape has no name")?
            .to_owned();
        name.push(".incoming");
        let path = output.with_file_name(name);
        if path.exists() {
            bail!(
                "`{}` is there from an earlier run; keep what you need of it and remove it",
                path.display()
            );
        }
        Ok(Self(path))
    }

    fn of(&self, unit: &Unit) -> PathBuf {
        match unit {
            Unit::Node(name) => self.0.join(format!("node={name}")),
            Unit::Cluster => self.0.join("cluster"),
        }
    }
}

/// The units of a run, and their files.
pub(super) struct Roster<'a> {
    cluster: &'a Cluster,
    incoming: Incoming,
    pub(super) progress: Progress,
    /// What the recorder of each unit said last, once its files are here.
    last: BTreeMap<Unit, String>,
}

impl<'a> Roster<'a> {
    pub(super) fn new(cluster: &'a Cluster, incoming: Incoming) -> Self {
        Self {
            cluster,
            incoming,
            progress: Progress::default(),
            last: BTreeMap::new(),
        }
    }

    /// Takes in what the pods say, and says what is new.
    pub(super) fn look(&mut self, pods: &[Pod]) {
        for line in self.progress.look(pods) {
            output::say(line);
        }
    }

    /// Why nobody records.
    pub(super) fn why_not(&self) -> String {
        let why = self
            .progress
            .members
            .iter()
            .filter_map(|(unit, member)| match &member.stage {
                Stage::Refused(why) | Stage::Leaving(why) => Some(format!("; {unit}: {why}")),
                Stage::Waiting | Stage::Recording | Stage::Lost => None,
            });
        why.collect()
    }

    /// Units that recorded and whose files are not here, where a condition holds.
    pub(super) fn uncollected(&self, is: impl Fn(&Stage) -> bool) -> Vec<(Unit, String)> {
        let members = self.progress.members.iter();
        let wanted =
            members.filter(|(unit, member)| member.has_recorded && !self.last.contains_key(unit) && is(&member.stage));
        wanted
            .map(|(unit, member)| (unit.clone(), member.pod.clone()))
            .collect()
    }

    /// Fetches the files of pods, some at a time. Who cannot be reached is noted.
    pub(super) async fn collect(&mut self, pods: Vec<(Unit, String)>) {
        let (mut waiting, mut running) = (pods.into_iter(), JoinSet::new());
        loop {
            while running.len() < STREAMS
                && let Some((unit, pod)) = waiting.next()
            {
                let (cluster, to) = (self.cluster.clone(), self.incoming.of(&unit));
                running.spawn(async move {
                    let collected = collect(&cluster, &pod, &to).await;
                    (unit, collected)
                });
            }
            let Some(Ok((unit, collected))) = running.join_next().await else {
                return;
            };
            match collected {
                Ok(Collected { last, received }) => {
                    output::say(format_args!(
                        "{unit}: {} bytes in {} files",
                        received.bytes, received.files
                    ));
                    self.last.insert(unit, last);
                }
                Err(error) => {
                    output::warn(format_args!("{unit}: {error:#}"));
                    if let Some(member) = self.progress.members.get_mut(&unit) {
                        member.troubles.push(format!("{error:#}"));
                    }
                }
            }
        }
    }

    /// Makes one tape of everything that is here.
    pub(super) fn unite(self, target: Target) -> anyhow::Result<Verdict> {
        let incoming = &self.incoming.0;
        if self.last.is_empty() {
            bail!(
                "no pod could be collected; what arrived, if anything, is in `{}`",
                incoming.display()
            );
        }
        let source = |unit: &Unit| Source {
            node: match unit {
                Unit::Node(name) => Some(name.clone()),
                Unit::Cluster => None,
            },
            directory: self.incoming.of(unit),
        };
        let (mut sources, mut absent) = (Vec::new(), Vec::new());
        for (unit, member) in &self.progress.members {
            // Also what arrived of a transfer that did not end.
            if self.incoming.of(unit).exists() {
                sources.push(source(unit));
            } else if let Unit::Node(name) = unit {
                let why = match &member.stage {
                    Stage::Refused(why) | Stage::Leaving(why) => why.clone(),
                    Stage::Waiting | Stage::Recording | Stage::Lost => {
                        let last = member.troubles.last().cloned();
                        last.unwrap_or_else(|| "it had not begun in time".to_owned())
                    }
                };
                absent.push((name.clone(), why));
            }
        }
        let tape = target.prepare(CLUSTER_DIRECTORY)?;
        let (manifest, broken) = unite(&tape, &sources, &absent)?;
        std::fs::remove_dir_all(incoming).with_context(|| format!("cannot remove `{}`", incoming.display()))?;
        output::say(format_args!("wrote {}", tape.display()));
        Ok(Verdict::of(&self.progress, &self.last, &manifest, &broken))
    }
}
