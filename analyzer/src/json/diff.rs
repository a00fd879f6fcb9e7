//! The body of `flowtape.diff/v1`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::peer::Peer;

/// Body of `flowtape.diff/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Every difference, sorted.
    pub changes: Vec<Change>,
    /// How many there are of each class; every class is there.
    pub summary: BTreeMap<&'static str, u64>,
}

/// One difference in what is seen or allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What kind of difference.
    pub class: Class,
    /// The client.
    pub from: Peer,
    /// The server.
    pub to: Peer,
    /// `TCP`, `UDP`, `SCTP`, or `IP-` and the number.
    pub protocol: String,
    /// The server's ports that differ, such as `80,443,8000-8010`.
    pub ports: String,
    /// A stable word or sentence that says why.
    pub reason: String,
    /// The difference in one sentence.
    pub message: String,
    /// The policies behind it, where policies were compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<By>,
}

/// What kind of difference a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// No connection between these peers and protocol before.
    Added,
    /// No connection between these peers and protocol any more.
    Removed,
    /// More ports of a pair that had some.
    Widened,
    /// Fewer ports of a pair that still has some.
    Narrowed,
    /// The same connections of a peer under another name.
    Renamed,
    /// It cannot be decided.
    Undecided,
}

impl Class {
    /// Every class, in the order of the summary.
    pub const ALL: [Self; 6] = [
        Self::Added,
        Self::Removed,
        Self::Widened,
        Self::Narrowed,
        Self::Renamed,
        Self::Undecided,
    ];

    /// The word in the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Widened => "widened",
            Self::Narrowed => "narrowed",
            Self::Renamed => "renamed",
            Self::Undecided => "undecided",
        }
    }
}

impl Diff {
    /// The body for these changes, which come sorted.
    #[must_use]
    pub fn of(changes: Vec<Change>) -> Self {
        let mut summary: BTreeMap<&'static str, u64> = Class::ALL.iter().map(|class| (class.word(), 0)).collect();
        for change in &changes {
            *summary.entry(change.class.word()).or_default() += 1;
        }
        Self { changes, summary }
    }
}

/// A policy that decided something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct By {
    /// `NetworkPolicy`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The rule, such as `ingress/0`; null: the policy isolates, and no rule matches.
    pub rule: Option<String>,
    /// File it was read from.
    pub file: Option<String>,
    /// Line in that file, from 1.
    pub line: Option<usize>,
}
