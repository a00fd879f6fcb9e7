//! What somebody who reviews a change looks at: the same items for a pull request, a code scanner and a test report.
//!
//! A verb's result becomes a list of items, most dangerous first. Markdown, SARIF and JUnit are three ways to write it, so that
//! they cannot tell different stories.

pub mod diff;
pub mod verify;

use flowtape_schemas::time::Time;

use crate::diff::change::Side;
use crate::findings::Finding;
use crate::policy::model::Source;
use crate::semantics::eval::By;
use crate::tape::Health;

/// What a verb found, for whoever reviews it.
#[derive(Clone, Debug)]
pub struct Review<'a> {
    /// The verb.
    pub verb: &'static str,
    /// Whether the gate lets it pass.
    pub passed: bool,
    /// What was found, in one line.
    pub summary: String,
    /// What to look at: what fails the gate first, then by risk, then by name.
    pub items: Vec<Item>,
    /// Whether what was read is complete.
    pub health: &'a Health,
    /// What else is to be known.
    pub findings: &'a [Finding],
    /// Where the sides are.
    pub bases: Bases,
}

/// Where the sides are, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases {
    /// The first side.
    pub before: Base,
    /// The second, and what a recording is played against.
    pub after: Base,
}

/// Where a side is: a recording, or policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// What it was given as.
    pub path: String,
    /// What stands before the names of its files; empty or with a slash at its end.
    pub files: String,
}

impl Review<'_> {
    /// Lets it fail for a reason that is no item of its own.
    pub fn fail(&mut self, subject: &str, why: &str) {
        self.passed = false;
        let mut items = std::mem::take(&mut self.items);
        items.push(doubt(subject, why));
        self.items = by_risk(items);
    }

    /// Where a side is.
    #[must_use]
    pub const fn base(&self, side: Side) -> &Base {
        match side {
            Side::Before => &self.bases.before,
            Side::After => &self.bases.after,
        }
    }
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Whether it fails the gate.
    pub standing: Standing,
    /// How much it opens, the most first.
    pub reach: Reach,
    /// Who and what it is about: `shop/Deployment/web -> shop/Deployment/db TCP 5432`.
    pub subject: String,
    /// Why it is there.
    pub why: String,
    /// The policies and rules behind it.
    pub by: Vec<By>,
    /// The side whose policies they are.
    pub side: Side,
}

impl Item {
    /// Where the first policy or rule behind it stands.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        self.by.iter().find_map(|by| by.source.as_ref())
    }

    fn order(&self) -> impl Ord + '_ {
        (self.standing.rank(), self.kind, self.reach, &self.subject, &self.why)
    }
}

/// What fails the gate and is about no connection.
fn doubt(subject: &str, why: &str) -> Item {
    Item {
        kind: Kind::Doubt,
        standing: Standing::Fails,
        reach: Reach::Namespace,
        subject: subject.to_owned(),
        why: why.to_owned(),
        by: Vec::new(),
        side: Side::After,
    }
}

/// Puts items into the order of their risk.
fn by_risk(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by(|left, right| left.order().cmp(&right.order()));
    items
}

/// What an item does to the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It fails.
    Fails,
    /// It is said, and passes.
    Said,
    /// It would fail, and somebody accepted it.
    Accepted {
        /// Why.
        reason: String,
        /// Until when; `None` for ever.
        until: Option<Time>,
    },
}

impl Standing {
    const fn rank(&self) -> u8 {
        match self {
            Self::Fails => 0,
            Self::Said => 1,
            Self::Accepted { .. } => 2,
        }
    }
}

/// How far the peers of an item are apart, the farthest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Whole prefixes of addresses.
    Prefix,
    /// An address outside, or somebody who is not known.
    Outside,
    /// Another namespace, or a node.
    Namespaces,
    /// One namespace.
    Namespace,
}

/// What an item is, what opens the cluster first, then what breaks, then what is only untidy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A direction of a workload in which everything is allowed.
    NotIsolated,
    /// A connection that was not there before.
    Added,
    /// More ports of a connection.
    Widened,
    /// What was recorded, and would be denied.
    Denied,
    /// A connection that is not there any more.
    Removed,
    /// Fewer ports of a connection.
    Narrowed,
    /// The same under another name.
    Renamed,
    /// What cannot be decided.
    Undecided,
    /// What was read is not enough: an incomplete recording proves nothing by what it does not show.
    Doubt,
    /// A rule that nothing recorded needs.
    DeadRule,
    /// A part of a rule that nothing recorded needs.
    LooseRule,
}

impl Kind {
    /// Every kind, in the order of their risk.
    pub const ALL: [Self; 11] = [
        Self::NotIsolated,
        Self::Added,
        Self::Widened,
        Self::Denied,
        Self::Removed,
        Self::Narrowed,
        Self::Renamed,
        Self::Undecided,
        Self::Doubt,
        Self::DeadRule,
        Self::LooseRule,
    ];

    /// The stable word of reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotIsolated => "not-isolated",
            Self::Added => "added",
            Self::Widened => "widened",
            Self::Denied => "denied",
            Self::Removed => "removed",
            Self::Narrowed => "narrowed",
            Self::Renamed => "renamed",
            Self::Undecided => "undecided",
            Self::Doubt => "doubt",
            Self::DeadRule => "dead-rule",
            Self::LooseRule => "loose-rule",
        }
    }

    /// What it means, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotIsolated => "No policy isolates this direction of the workload, so everything is allowed there.",
            Self::Added => "These peers had no connection of this protocol before.",
            Self::Widened => "These peers had connections before, and not on these ports.",
            Self::Denied => "A connection that was recorded would be denied.",
            Self::Removed => "These peers have no connection of this protocol any more.",
            Self::Narrowed => "These peers still have connections, and not on these ports.",
            Self::Renamed => "The same is there under another name.",
            Self::Undecided => "It cannot be decided whether this differs.",
            Self::Doubt => "What was read is not enough to let it pass.",
            Self::DeadRule => "Nothing recorded needs this rule.",
            Self::LooseRule => "Nothing recorded needs a part of this rule.",
        }
    }
}
