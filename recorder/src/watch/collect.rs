//! Collects what the followers tell: into the history of the cluster, into the tape, and onto the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use flowtape_schemas::manifest::{ClusterGap, ClusterRecording, ClusterSource, FileEntry, Unread};
use flowtape_schemas::metadata::{History, Seen};
use flowtape_schemas::time::Time;
use tokio::sync::mpsc::Receiver;

use super::cluster_tape::ClusterTape;
use super::known::Known;
use super::news::{News, Timeline, What};
use super::resource::Scope;
use crate::output;
use crate::shutdown::{Deadline, Reason};

/// How long to wait for news before looking whether somebody asked to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// Versions in memory at which files are written before their time.
const MANY: usize = 50_000;

/// Reasons beyond this are alike.
const MOST_UNREAD: usize = 100;

/// Every resource was denied: there is nothing to watch.
#[derive(Debug, thiserror::Error)]
#[error(
    "the API server lets nothing be listed: {reason}; give this account `list` and `watch` of the resources that `metadata --help` names"
)]
pub(super) struct NothingAllowed {
    reason: String,
}

/// One follower as seen from here.
struct Watched {
    scope: Scope,
    known: Known,
    listed: bool,
    /// Since when it has no watch, and why.
    lost: Option<(Time, String)>,
    /// What it may not do, with what the API server says.
    denied: BTreeMap<&'static str, String>,
}

/// What has been collected so far.
pub(super) struct Collector {
    timeline: Timeline,
    watched: Vec<Watched>,
    history: History,
    tape: ClusterTape,
    gaps: Vec<ClusterGap>,
    /// Objects that could not be read: resource and reason.
    unreadable: BTreeSet<(&'static str, String)>,
    begun: bool,
    /// Whether the terminal was told that there is no connection, and since when.
    away: Option<Time>,
}

/// What was collected in the end.
pub(super) struct Collected {
    pub(super) files: Vec<FileEntry>,
    pub(super) recording: ClusterRecording,
    pub(super) objects: usize,
    pub(super) reason: Reason,
}

impl Collector {
    pub(super) fn new(timeline: Timeline, scopes: Vec<Scope>, tape: ClusterTape) -> Self {
        let watched = |scope| Watched {
            scope,
            known: Known::default(),
            listed: false,
            lost: None,
            denied: BTreeMap::new(),
        };
        Self {
            timeline,
            watched: scopes.into_iter().map(watched).collect(),
            history: History::default(),
            tape,
            gaps: Vec::new(),
            unreadable: BTreeSet::new(),
            begun: false,
            away: None,
        }
    }

    /// Collects until the window is over or somebody asks to stop.
    pub(super) async fn run(
        mut self,
        mut news: Receiver<News>,
        deadline: Deadline,
        rotation: Duration,
    ) -> anyhow::Result<Collected> {
        let mut stored = Instant::now();
        let reason = loop {
            if let Some(reason) = deadline.reached() {
                break reason;
            }
            if let Ok(Some(news)) = tokio::time::timeout(deadline.wait_at_most(GLANCE), news.recv()).await {
                self.hear(news);
            }
            let begins = !self.begun && self.has_begun()?;
            if begins || stored.elapsed() >= rotation || self.history.ended() >= MANY {
                self.store()?;
                stored = Instant::now();
            }
            if begins {
                self.begun = true;
                let (scopes, objects) = (self.watched.len(), self.objects());
                output::say(format_args!("watching {objects} objects through {scopes} watches"));
            }
        };
        self.finish(reason)
    }

    fn objects(&self) -> usize {
        self.watched.iter().map(|watched| watched.known.len()).sum()
    }

    /// Whether everything was listed that can be. Fails where nothing can.
    fn has_begun(&self) -> Result<bool, NothingAllowed> {
        let denial = |watched: &Watched| watched.denied.get("list").cloned();
        if self
            .watched
            .iter()
            .any(|watched| !watched.listed && denial(watched).is_none())
        {
            return Ok(false);
        }
        if self.watched.iter().any(|watched| watched.listed) {
            return Ok(true);
        }
        let reason = self.watched.iter().find_map(denial).unwrap_or_default();
        Err(NothingAllowed { reason })
    }

    fn hear(&mut self, News { follower, at, what }: News) {
        let watched = &mut self.watched[follower];
        let resource = watched.scope.resource.plural;
        let seen = |bound| Seen { at: Some(at), bound };
        match what {
            What::Listed(objects) => {
                watched.known.listed(objects, at, &mut self.history);
                watched.listed = true;
                watched.denied.remove("list");
            }
            What::Put(object, bound) => watched.known.put(object, seen(bound), &mut self.history),
            What::Removed(object, bound) => watched.known.removed(object, seen(bound), &mut self.history),
            What::Lost { since, reason } => {
                let is_denied = !watched.denied.is_empty();
                watched.lost = Some((since, reason.clone()));
                if !is_denied && self.away.is_none() {
                    self.away = Some(since);
                    output::warn(format_args!(
                        "no watch of `{resource}`: {reason}; trying again until there is one"
                    ));
                }
            }
            What::Found {
                start,
                caught_up,
                reason,
            } => {
                watched.lost = None;
                if caught_up {
                    watched.denied.remove("watch");
                }
                self.gap(resource, start, at, caught_up, reason);
                self.back(at);
            }
            What::Denied { verb, reason } => {
                if watched.denied.insert(verb, reason.clone()).is_none() {
                    output::warn(format_args!("cannot {verb} `{resource}`: {reason}; the others go on"));
                }
            }
            What::Unreadable(reason) => {
                if self.unreadable.len() < MOST_UNREAD && self.unreadable.insert((resource, reason.clone())) {
                    output::warn(format_args!("an object of `{resource}` is left out: {reason}"));
                }
            }
        }
    }

    /// Says once that all watches are there again.
    fn back(&mut self, at: Time) {
        let is_away = |watched: &Watched| watched.lost.is_some() && watched.denied.is_empty();
        if self.watched.iter().any(is_away) {
            return;
        }
        if let Some(since) = self.away.take() {
            let seconds = Duration::from_nanos(at.0.saturating_sub(since.0).max(0).unsigned_abs()).as_secs_f64();
            output::say(format_args!("all watches are there again after {seconds:.1} s"));
        }
    }

    /// Notes a gap; one that goes on from where another of the resource began, or ended, is the same.
    fn gap(&mut self, resource: &str, start: Time, end: Time, caught_up: bool, reason: String) {
        let same = |gap: &&mut ClusterGap| gap.resource == resource && gap.start <= start && start <= gap.end;
        if let Some(gap) = self.gaps.iter_mut().rev().find(same) {
            gap.end = gap.end.max(end);
            gap.caught_up &= caught_up;
            return;
        }
        self.gaps.push(ClusterGap {
            resource: resource.to_owned(),
            start,
            end,
            caught_up,
            reason,
        });
    }

    /// Writes what ended and what is open, so that a crash later cannot take it.
    fn store(&mut self) -> anyhow::Result<()> {
        for watched in &mut self.watched {
            watched.known.settle();
        }
        self.tape.store(self.history.take_ended(), self.history.open())
    }

    fn finish(mut self, reason: Reason) -> anyhow::Result<Collected> {
        let end = self.timeline.now();
        let mut unread: BTreeSet<(&str, String)> = std::mem::take(&mut self.unreadable);
        let mut open_gaps = Vec::new();
        for watched in &self.watched {
            let resource = watched.scope.resource.plural;
            for (verb, reason) in &watched.denied {
                unread.insert((resource, format!("cannot {verb}: {reason}")));
            }
            if !watched.listed && watched.denied.is_empty() {
                let why = watched
                    .lost
                    .as_ref()
                    .map_or("the window was over first", |(_, reason)| reason);
                unread.insert((resource, format!("was never listed: {why}")));
            } else if let Some((since, reason)) = watched.lost.clone().filter(|_| watched.denied.is_empty()) {
                open_gaps.push((resource, since, reason));
            }
        }
        for (resource, since, reason) in open_gaps {
            self.gap(resource, since, end, false, reason);
        }
        self.gaps
            .sort_by(|a, b| (&a.resource, a.start).cmp(&(&b.resource, b.start)));
        let mut recording = ClusterRecording::new(ClusterSource::Watch, vec![self.timeline.start(), end]);
        recording.gaps = self.gaps;
        recording.unread = unread
            .into_iter()
            .map(|(resource, reason)| Unread {
                resource: resource.to_owned(),
                reason,
            })
            .collect();
        Ok(Collected {
            objects: self.watched.iter().map(|watched| watched.known.len()).sum(),
            files: self.tape.finish(self.history.take_ended(), self.history.open())?,
            recording,
            reason,
        })
    }
}
