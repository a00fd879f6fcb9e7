//! Denials that somebody accepted: a file that says which, why, and until when.
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

use super::Denied;
use crate::findings::{Code, Findings};
use crate::flow::filter::{Filter, PeerPattern, PortPattern};
use crate::policy::model::Direction;

/// Denials that are accepted.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    #[serde(default)]
    accept: Vec<Accepted>,
}

/// Denials of one kind that are accepted.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The client, as `flowtape flows --from` takes it.
    from: Text<PeerPattern>,
    /// The server, as `flowtape flows --to` takes it.
    to: Text<PeerPattern>,
    /// The server's port; every port where it is left out.
    port: Option<Text<PortPattern>>,
    /// The end that denies; both where it is left out.
    direction: Option<End>,
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

/// A denial that is accepted.
#[derive(Clone, Debug)]
pub struct Excused<'a> {
    /// The denial.
    pub denied: Denied<'a>,
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

    /// Parts denials into those that count and those that are accepted for a recording that ends at `end`. Entries that have
    /// run out, and such as nothing is denied for, are findings.
    pub fn part<'a>(
        &self,
        denied: Vec<Denied<'a>>,
        end: Option<Time>,
        findings: &mut Findings,
    ) -> (Vec<Denied<'a>>, Vec<Excused<'a>>) {
        let mut needed = vec![false; self.accept.len()];
        let (mut counting, mut excused) = (Vec::new(), Vec::new());
        for denied in denied {
            let mut by = None;
            for (entry, needed) in self.accept.iter().zip(&mut needed) {
                if entry.is_about(&denied) {
                    *needed = true;
                    by = by.or_else(|| Some(entry).filter(|entry| entry.holds(end)));
                }
            }
            match by {
                Some(Accepted { reason, until, .. }) => excused.push(Excused {
                    denied,
                    reason: reason.clone(),
                    until: *until,
                }),
                None => counting.push(denied),
            }
        }
        for (entry, needed) in self.accept.iter().zip(needed) {
            if !needed {
                findings.report(Code::BaselineUnneeded, format!("nothing is denied of {}", entry.told()));
            } else if let Some(until) = entry.until.filter(|_| !entry.holds(end)) {
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
    fn is_about(&self, denied: &Denied<'_>) -> bool {
        let filter = Filter {
            from: vec![self.from.value.clone()],
            to: vec![self.to.value.clone()],
            ports: self.port.iter().map(|port| port.value.clone()).collect(),
            ..Filter::default()
        };
        let here = self
            .direction
            .is_none_or(|end| Direction::from(end) == denied.direction);
        here && filter.admits(denied.edge)
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
