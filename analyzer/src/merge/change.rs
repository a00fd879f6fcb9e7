//! What a merge changed, or found and left alone.

use std::fmt;

use crate::policy::model::{Direction, Policy};

/// What happened to a policy or a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A new policy, in a new file.
    Created,
    /// A policy has another name, because one that is not ours has its own.
    Renamed,
    /// A policy selects other pods.
    Selector,
    /// A policy isolates one more direction.
    Direction,
    /// A new rule.
    Added,
    /// A rule that the recording does not need is marked.
    Marked,
    /// A rule was marked before, and the recording still does not need it.
    StillMarked,
    /// A rule that was marked is needed again.
    Unmarked,
    /// A rule that was marked for long is removed.
    Pruned,
    /// A part of a rule is not needed; it stays as it is.
    Partly,
    /// A rule was exercised by what the options leave out; it stays as it is.
    LeftOut,
}

impl Kind {
    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Renamed => "renamed",
            Self::Selector => "selector",
            Self::Direction => "direction",
            Self::Added => "added",
            Self::Marked => "marked",
            Self::StillMarked => "still-marked",
            Self::Unmarked => "unmarked",
            Self::Pruned => "pruned",
            Self::Partly => "partly",
            Self::LeftOut => "left-out",
        }
    }

    /// Whether a file is different for it.
    #[must_use]
    pub const fn edits(self) -> bool {
        match self {
            Self::Created
            | Self::Selector
            | Self::Direction
            | Self::Added
            | Self::Marked
            | Self::Unmarked
            | Self::Pruned => true,
            Self::Renamed | Self::StillMarked | Self::Partly | Self::LeftOut => false,
        }
    }
}

/// One thing that a merge changed, or found and left alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The file; empty where none is meant.
    pub file: String,
    /// The line in it as it was before; 0 for a new file.
    pub line: usize,
    /// Namespace of the policy.
    pub namespace: String,
    /// Its name.
    pub policy: String,
    /// The rule as it stood in the file before, such as `ingress/0`, or its direction for a new one.
    pub rule: Option<String>,
    /// What happened.
    pub kind: Kind,
    /// What it is about.
    pub message: String,
}

impl Change {
    pub(super) fn of_policy(kind: Kind, policy: &Policy, file: &str, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: policy.source.as_ref().map_or(0, |source| source.line),
            namespace: policy.namespace.clone(),
            policy: policy.name.clone(),
            rule: None,
            kind,
            message,
        }
    }

    pub(super) fn of_rule(kind: Kind, policy: &Policy, place: (Direction, Option<usize>), line: usize) -> Self {
        let (direction, index) = place;
        let rule = index.map_or_else(|| direction.to_string(), |index| format!("{direction}/{index}"));
        let file = policy.source.as_ref().map(|source| source.file.to_string());
        Self {
            file: file.unwrap_or_default(),
            line,
            namespace: policy.namespace.clone(),
            policy: policy.name.clone(),
            rule: Some(rule),
            kind,
            message: String::new(),
        }
    }

    pub(super) fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            namespace,
            policy,
            rule,
            kind,
            message,
        } = self;
        write!(formatter, "{:<12}  {namespace}/{policy}", kind.word())?;
        if let Some(rule) = rule {
            write!(formatter, " {rule}")?;
        }
        write!(formatter, ": {message}")?;
        match (file.is_empty(), line) {
            (true, _) => Ok(()),
            (false, 0) => write!(formatter, " ({file})"),
            (false, line) => write!(formatter, " ({file}:{line})"),
        }
    }
}
