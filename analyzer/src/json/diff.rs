//! The body of `flowtape.diff/v1`.

use flowtape_schemas::time::Time;
use serde::Serialize;

use super::peer::Peer;
use crate::baseline::Excused;
use crate::diff::change::{Cause, Change as DomainChange, Class, Diff as DomainDiff};
use crate::diff::rewrite::Rewrite;
use crate::semantics::eval::By as DomainBy;

/// Body of `flowtape.diff/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Every difference, by class, then by peers and protocol.
    pub changes: Vec<Change>,
    /// Differences that the baseline accepts; not in the list above and not in the summary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accepted>,
    /// Of two policy sets, what happened to the policies themselves, whether it makes a difference or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Rewritten>,
    /// How many there are of each class.
    pub summary: Summary,
}

/// What happened to a policy.
#[derive(Clone, Debug, Serialize)]
pub struct Rewritten {
    /// `added`, `removed`, `changed` or `renamed`.
    pub class: &'static str,
    /// The policy before; null if it is new.
    pub before: Option<By>,
    /// The policy after; null if it is gone.
    pub after: Option<By>,
}

/// A difference that the baseline accepts.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// The difference.
    #[serde(flatten)]
    pub change: Change,
    /// By what.
    pub accepted: Acceptance,
}

/// Why and for how long something is accepted.
#[derive(Clone, Debug, Serialize)]
pub struct Acceptance {
    /// Why.
    pub reason: String,
    /// Until when; null for ever.
    pub until: Option<Time>,
}

/// How many changes there are of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// No connection between these peers and protocol before.
    pub added: u64,
    /// No connection between these peers and protocol any more.
    pub removed: u64,
    /// More ports of a pair that had some.
    pub widened: u64,
    /// Fewer ports of a pair that still has some.
    pub narrowed: u64,
    /// The same policy under another name, which is no difference in what is allowed.
    pub renamed: u64,
    /// It cannot be decided.
    pub undecided: u64,
}

/// One difference in what is seen or allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `added`, `removed`, `widened`, `narrowed`, `renamed` or `undecided`.
    pub class: &'static str,
    /// The client.
    pub from: Peer,
    /// The server.
    pub to: Peer,
    /// `TCP`, `UDP`, `SCTP`, or `IP-` and the number.
    pub protocol: String,
    /// The server's ports that differ, such as `80,443,8000-8010`; empty where they are not known.
    pub ports: String,
    /// The side that has the connection: `before` or `after`.
    pub side: &'static str,
    /// A stable word that says why the other side has it not, or why that cannot be decided.
    pub reason: &'static str,
    /// Of two recordings, a stable word that says why the other one does not show it, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// The difference in one sentence.
    pub message: String,
    /// The policies and rules behind it, where policies were compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<By>,
}

/// A policy that decided something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct By {
    /// `NetworkPolicy`, or the name of another kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The rule, such as `ingress/0`; null: the policy isolates, and no rule matches.
    pub rule: Option<String>,
    /// File it was read from, below the path given.
    pub file: Option<String>,
    /// Line in that file, from 1.
    pub line: Option<usize>,
}

impl Diff {
    /// A diff; `excused` are the changes that a baseline took out.
    #[must_use]
    pub fn new(diff: &DomainDiff, excused: &[Excused<DomainChange>]) -> Self {
        let counts = diff.summary();
        let count = |class| counts.get(&class).copied().unwrap_or(0);
        Self {
            changes: diff.changes.iter().map(Change::from).collect(),
            policies: diff.rewrites.iter().map(Rewritten::from).collect(),
            accepted: excused.iter().map(Accepted::from).collect(),
            summary: Summary {
                added: count(Class::Added),
                removed: count(Class::Removed),
                widened: count(Class::Widened),
                narrowed: count(Class::Narrowed),
                renamed: count(Class::Renamed),
                undecided: count(Class::Undecided),
            },
        }
    }
}

impl From<&Rewrite> for Rewritten {
    fn from(rewrite: &Rewrite) -> Self {
        let [before, after] = rewrite.sides();
        Self {
            class: rewrite.word(),
            before: before.map(By::from),
            after: after.map(By::from),
        }
    }
}

impl From<&Excused<DomainChange>> for Accepted {
    fn from(excused: &Excused<DomainChange>) -> Self {
        let Excused { what, reason, until } = excused;
        Self {
            change: what.into(),
            accepted: Acceptance {
                reason: reason.clone(),
                until: *until,
            },
        }
    }
}

impl From<&DomainChange> for Change {
    fn from(change: &DomainChange) -> Self {
        let DomainChange {
            class,
            pair,
            ports,
            side,
            kind: _,
            reason,
            cause,
            by,
        } = change;
        Self {
            class: class.word(),
            from: (&pair.from).into(),
            to: (&pair.to).into(),
            protocol: pair.protocol.to_string(),
            ports: ports.to_string(),
            side: side.word(),
            reason: reason.word(),
            cause: cause.map(Cause::word),
            message: change.to_string(),
            by: by.iter().map(By::from).collect(),
        }
    }
}

impl From<&DomainBy> for By {
    fn from(by: &DomainBy) -> Self {
        let DomainBy {
            kind,
            namespace,
            name,
            rule,
            source,
        } = by;
        Self {
            kind,
            namespace: namespace.clone(),
            name: name.clone(),
            rule: rule.map(|rule| rule.to_string()),
            file: source.as_ref().map(|source| source.file.to_string()),
            line: source.as_ref().map(|source| source.line),
        }
    }
}
