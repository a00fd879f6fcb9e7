//! What became of each node, from what its pod says: a pure function of the pods that are seen.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::cluster::clean;
use super::manifest::{NODE_ROLE, ROLE_LABEL};

/// What a pod records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    /// The sockets of a node.
    Node(String),
    /// What the cluster consists of.
    Cluster,
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(formatter, "node {}", clean(name)),
            Self::Cluster => formatter.write_str("metadata of the cluster"),
        }
    }
}

/// Where a pod stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not begun.
    Waiting,
    /// It records.
    Recording,
    /// It cannot begin, and why; a later look may find that it could after all.
    Refused(String),
    /// It is gone or will be soon, and why.
    Leaving(String),
    /// Nothing is heard of its node.
    Lost,
}

/// One unit over time.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The pod last seen.
    pub(super) pod: String,
    pub(super) stage: Stage,
    /// Whether it recorded at some time.
    pub(super) has_recorded: bool,
    /// What makes its part of the window incomplete, in the order of its happening.
    pub(super) troubles: Vec<String>,
    restarts: i32,
}

/// Every unit of a run.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) members: BTreeMap<Unit, Member>,
    /// From here on a node that begins has missed something.
    pub(super) has_window_begun: bool,
}

impl Progress {
    /// Takes in what the pods say now; gives what is worth saying about it.
    pub(super) fn look(&mut self, pods: &[Pod]) -> Vec<String> {
        let mut news = Vec::new();
        let mut seen: BTreeMap<Unit, &Pod> = BTreeMap::new();
        for pod in pods {
            let Some(unit) = unit_of(pod) else { continue };
            // Of two pods of one unit the one that goes is not its future.
            let is_going = |pod: &Pod| matches!(stage_of(pod), Stage::Leaving(_));
            if seen.get(&unit).is_none_or(|other| is_going(other)) {
                seen.insert(unit, pod);
            }
        }
        for (unit, member) in &mut self.members {
            if !seen.contains_key(unit) && !matches!(member.stage, Stage::Leaving(_)) {
                member.turn(unit, Stage::Leaving("its pod is gone".to_owned()), false, &mut news);
            }
        }
        for (unit, pod) in seen {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let member = self.members.entry(unit.clone()).or_insert_with(|| Member {
                pod: name.clone(),
                stage: Stage::Waiting,
                has_recorded: false,
                troubles: Vec::new(),
                restarts: 0,
            });
            if member.pod != name {
                if member.has_recorded {
                    member.trouble(
                        &unit,
                        "its pod was replaced, and took along what it had recorded".to_owned(),
                        &mut news,
                    );
                }
                (member.pod, member.restarts) = (name, 0);
            }
            let restarts = container_of(pod).map_or(0, |container| container.restart_count);
            if restarts > member.restarts && member.has_recorded {
                member.trouble(&unit, "its recorder was started again".to_owned(), &mut news);
            }
            member.restarts = restarts;
            member.turn(&unit, stage_of(pod), self.has_window_begun, &mut news);
        }
        news
    }

    /// How many nodes are where a condition holds.
    pub(super) fn nodes(&self, is: impl Fn(&Member) -> bool) -> usize {
        let node = |(unit, member): &(&Unit, &Member)| matches!(unit, Unit::Node(_)) && is(member);
        self.members.iter().filter(node).count()
    }

    /// Whether no unit needs to be waited for, given how many nodes there should be.
    pub(super) fn is_settled(&self, desired: usize) -> bool {
        let waiting = |member: &Member| member.stage == Stage::Waiting;
        let nodes = self.nodes(|member| !waiting(member));
        let has_watcher = self.members.get(&Unit::Cluster).is_some_and(|member| !waiting(member));
        nodes >= desired && has_watcher && !self.members.values().any(waiting)
    }
}

impl Member {
    fn turn(&mut self, unit: &Unit, stage: Stage, is_late: bool, news: &mut Vec<String>) {
        // That a pod which recorded is not seen to be ready for a moment says nothing about the recording.
        let means_nothing = match stage {
            Stage::Waiting => self.has_recorded,
            // A container that has just begun is ready a moment later.
            Stage::Lost => !self.has_recorded,
            Stage::Recording | Stage::Refused(_) | Stage::Leaving(_) => false,
        };
        if stage == self.stage || means_nothing {
            return;
        }
        match &stage {
            Stage::Waiting => {}
            Stage::Recording if self.has_recorded => news.push(format!("{unit}: is seen again")),
            Stage::Recording if is_late => {
                self.trouble(unit, "joined when the window had begun".to_owned(), news);
            }
            Stage::Recording => news.push(format!("{unit}: records")),
            Stage::Lost => self.trouble(unit, "its node was lost: nothing was heard of it".to_owned(), news),
            Stage::Refused(why) => news.push(format!("{unit}: does not record: {why}")),
            Stage::Leaving(why) => {
                if self.has_recorded {
                    self.trouble(unit, why.clone(), news);
                } else {
                    news.push(format!("{unit}: does not record: {why}"));
                }
            }
        }
        self.has_recorded |= stage == Stage::Recording;
        self.stage = stage;
    }

    fn trouble(&mut self, unit: &Unit, trouble: String, news: &mut Vec<String>) {
        news.push(format!("{unit}: {trouble}"));
        if !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
        }
    }
}

/// The unit of a pod. A pod of a DaemonSet that is not scheduled yet names its node in its affinity (Kubernetes
/// "DaemonSet", how daemon pods are scheduled).
fn unit_of(pod: &Pod) -> Option<Unit> {
    let role = pod.metadata.labels.as_ref()?.get(ROLE_LABEL)?;
    if role != NODE_ROLE {
        return Some(Unit::Cluster);
    }
    let spec = pod.spec.as_ref()?;
    let wanted = || {
        let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
        let terms = &affinity
            .required_during_scheduling_ignored_during_execution
            .as_ref()?
            .node_selector_terms;
        let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
        fields
            .filter(|field| field.key == "metadata.name")
            .find_map(|field| field.values.as_ref()?.first().cloned())
    };
    let name = spec.node_name.clone().filter(|name| !name.is_empty()).or_else(wanted)?;
    Some(Unit::Node(name))
}

fn container_of(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn stage_of(pod: &Pod) -> Stage {
    let status = pod.status.as_ref();
    let because = |what: &str, reason: Option<&String>, message: Option<&String>| {
        let parts = [Some(what.to_owned()), reason.cloned(), message.cloned()];
        let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        clean(parts.join(": ").trim())
    };
    let (reason, message) = status.map_or((None, None), |status| (status.reason.as_ref(), status.message.as_ref()));
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Failed") if reason.is_some_and(|reason| reason == "Evicted") => {
            return Stage::Leaving(because("its pod was evicted", None, message));
        }
        Some("Failed" | "Succeeded") => return Stage::Leaving(because("its pod ended", reason, message)),
        _ => {}
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Stage::Leaving(because("its pod was deleted", reason, message));
    }
    let container = container_of(pod);
    if let Some(why) = container.and_then(refusal) {
        return Stage::Refused(why);
    }
    let condition = |kind: &str| {
        let conditions = status.and_then(|status| status.conditions.as_ref());
        conditions.and_then(|all| all.iter().find(|condition| condition.type_ == kind))
    };
    if let Some(scheduled) = condition("PodScheduled").filter(|condition| condition.status == "False") {
        return Stage::Refused(because("not schedulable", None, scheduled.message.as_ref()));
    }
    let has_started = container.is_some_and(|container| container.started == Some(true));
    match condition("Ready") {
        Some(ready) if ready.status == "True" => Stage::Recording,
        // The node's controller says so of every pod of a node that it hears nothing of.
        Some(_) if has_started => Stage::Lost,
        Some(_) | None => Stage::Waiting,
    }
}

/// Why a container cannot begin.
fn refusal(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let said = waiting.message.clone().unwrap_or_default();
    match reason {
        "" | "ContainerCreating" | "PodInitializing" => None,
        // Its own last words say more than that it died again.
        "CrashLoopBackOff" => {
            let ended = container
                .last_state
                .as_ref()
                .and_then(|state| state.terminated.as_ref());
            let words = ended.and_then(|ended| ended.message.clone()).unwrap_or(said);
            Some(clean(words.trim()))
        }
        other => Some(clean(format!("{other}: {said}").trim())),
    }
}

#[cfg(test)]
mod tests;
