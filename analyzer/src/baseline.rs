//! What somebody accepted: a file that says which denials of `verify` or changes of `diff`, why, and until when.
//!
//! ```toml
//! [[accept]]
//! from = "ops/job"
//! to = "shop/db"
//! port = "5432/TCP"
//! reason = "goes away with the old importer"
//! until = "2026-03-01T00:00:00Z"
//! ```

use std::fmt::Display;
use std::str::FromStr;

use flowtape_schemas::time::Time;
use serde::de::{Deserialize, Deserializer, Error as _};

use crate::findings::{Code, Findings};
use crate::flow::edge::{Edge, Transport};
use crate::flow::filter::{Filter, PeerPattern, PortPattern};
use crate::policy::model::Direction;
use crate::policy::ports::{PortRange, PortSet};

/// What is accepted.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    #[serde(default)]
    accept: Vec<Accepted>,
}

/// One kind of thing that is accepted.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The client, as `flowtape flows --from` takes it.
    from: Text<PeerPattern>,
    /// The server, as `flowtape flows --to` takes it.
    to: Text<PeerPattern>,
    /// The server's port; every port where it is left out.
    port: Option<Text<PortPattern>>,
    /// Of `verify`, the end that denies; both where it is left out.
    direction: Option<End>,
    /// Of `diff`, the class of the change; every class where it is left out.
    change: Option<ChangeClass>,
    /// Why it is accepted.
    pub reason: String,
    /// Not for recordings that end at this time or later.
    pub until: Option<Time>,
}

/// A text that is no baseline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", line.map_or_else(String::new, |line| format!("line {line}: ")))]
pub struct BaselineError {
    line: Option<usize>,
    message: String,
}

/// Something that is accepted.
#[derive(Clone, Debug)]
pub struct Excused<T> {
    /// What it is.
    pub what: T,
    /// Why it is accepted.
    pub reason: String,
    /// Until when.
    pub until: Option<Time>,
}

impl Baseline {
    /// Reads a baseline.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            BaselineError {
                line: before.map(|before| before.matches('\n').count() + 1),
                message: error.message().to_owned(),
            }
        })
    }

    /// Without the entries that say which class of changes they are about: those are for `diff`, and mean less to `verify` than they
    /// would accept there.
    #[must_use]
    pub fn of_verify(mut self) -> Self {
        self.accept.retain(|entry| entry.change.is_none());
        self
    }

    /// Without the entries that say which end denies: those are for `verify`.
    #[must_use]
    pub fn of_diff(mut self) -> Self {
        self.accept.retain(|entry| entry.direction.is_none());
        self
    }

    /// The first entry that runs out at some time, in words.
    #[must_use]
    pub fn limited(&self) -> Option<String> {
        let entry = self.accept.iter().find(|entry| entry.until.is_some())?;
        Some(entry.told())
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Accepted] {
        &self.accept
    }

    /// Parts things into those that count and those that are accepted at `now`. Entries that have run out, and such as are about
    /// nothing, are findings; `nothing` says what did not happen.
    pub fn part<T>(
        &self,
        things: Vec<T>,
        now: Option<Time>,
        is_about: impl Fn(&Accepted, &T) -> bool,
        nothing: &str,
        findings: &mut Findings,
    ) -> (Vec<T>, Vec<Excused<T>>) {
        let mut needed = vec![false; self.accept.len()];
        let (mut counting, mut excused) = (Vec::new(), Vec::new());
        for thing in things {
            let mut by = None;
            for (entry, needed) in self.accept.iter().zip(&mut needed) {
                if is_about(entry, &thing) {
                    *needed = true;
                    by = by.or_else(|| Some(entry).filter(|entry| entry.holds(now)));
                }
            }
            match by {
                Some(Accepted { reason, until, .. }) => excused.push(Excused {
                    what: thing,
                    reason: reason.clone(),
                    until: *until,
                }),
                None => counting.push(thing),
            }
        }
        for (entry, needed) in self.accept.iter().zip(needed) {
            if !needed {
                findings.report(Code::BaselineUnneeded, format!("nothing {nothing} of {}", entry.told()));
            } else if let Some(until) = entry.until.filter(|_| !entry.holds(now)) {
                findings.report(
                    Code::BaselineExpired,
                    format!("{} was accepted until {until}", entry.told()),
                );
            }
        }
        (counting, excused)
    }
}

impl Accepted {
    /// Whether it is about what one end of an edge does.
    #[must_use]
    pub fn is_about_edge(&self, edge: &Edge, direction: Direction) -> bool {
        let filter = Filter {
            from: vec![self.from.value.clone()],
            to: vec![self.to.value.clone()],
            ports: self.port.iter().map(|port| port.value.clone()).collect(),
            ..Filter::default()
        };
        let here = self.direction.is_none_or(|end| Direction::from(end) == direction);
        here && filter.admits(edge)
    }

    /// The client and the server that it is about.
    #[must_use]
    pub const fn ends(&self) -> [&PeerPattern; 2] {
        [&self.from.value, &self.to.value]
    }

    /// The ports of a protocol that it is about.
    #[must_use]
    pub fn ports(&self, protocol: Transport) -> PortSet {
        let Some(port) = &self.port else { return PortSet::all() };
        let range = port
            .value
            .range(protocol)
            .and_then(|range| PortRange::new(*range.start(), *range.end()));
        range.into_iter().collect()
    }

    /// Whether it is about changes of a class, by its word in JSON.
    #[must_use]
    pub fn is_about_class(&self, word: &str) -> bool {
        self.change.is_none_or(|class| class.word() == word)
    }

    fn holds(&self, end: Option<Time>) -> bool {
        self.until.is_none_or(|until| end.is_none_or(|end| end < until))
    }

    fn told(&self) -> String {
        let port = self
            .port
            .as_ref()
            .map_or_else(String::new, |port| format!(" {}", port.text));
        let (from, to) = (&self.from.text, &self.to.text);
        format!("{from} -> {to}{port}")
    }
}

/// A value that is written as text, and the text.
#[derive(Clone, Debug)]
struct Text<T> {
    value: T,
    text: String,
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = text.parse().map_err(D::Error::custom)?;
        Ok(Self { value, text })
    }
}

/// An end of a connection, as the file names it.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum End {
    Ingress,
    Egress,
}

impl From<End> for Direction {
    fn from(end: End) -> Self {
        match end {
            End::Ingress => Self::Ingress,
            End::Egress => Self::Egress,
        }
    }
}

/// A class of changes, as the file names it.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChangeClass {
    Added,
    Removed,
    Widened,
    Narrowed,
    Undecided,
}

impl ChangeClass {
    const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Widened => "widened",
            Self::Narrowed => "narrowed",
            Self::Undecided => "undecided",
        }
    }
}
