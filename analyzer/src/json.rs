//! The JSON documents: the stable interface of every verb.
//!
//! Fields are added, never renamed; consumers accept words they do not know in `role`, `reason` and `code`. The order
//! of fields is the order of the declarations, and every list is sorted, so that equal results are equal bytes.

pub mod diff;
pub mod edge;
pub mod generate;
pub mod inspect;
pub mod peer;

use std::fmt::Write as _;

use serde::Serialize;

use crate::findings::Finding as DomainFinding;
use crate::tape::{Health as DomainHealth, Tape};

/// What every document holds besides its body.
#[derive(Clone, Debug, Serialize)]
pub struct Document<'a, B: Serialize> {
    /// Name and version of the body's shape, such as `flowtape.flows/v1`.
    pub schema: &'static str,
    /// What wrote the document.
    pub tool: Tool,
    /// What was read, sorted within each side.
    pub inputs: &'a [Input],
    /// Whether what was read is complete.
    pub health: Health<'a>,
    /// What the user must know.
    pub findings: Vec<Finding<'a>>,
    /// The fields of the verb.
    #[serde(flatten)]
    pub body: &'a B,
}

/// What wrote a document.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tool {
    /// Its version.
    pub version: &'static str,
}

/// Something that was read. Never a path: where a file lies must not reach the output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Input {
    /// `tape` or `policies`.
    pub kind: &'static str,
    /// Id of the tape; for policies the hash of what they mean.
    pub id: String,
}

/// Whether what was read is complete.
#[derive(Clone, Debug, Serialize)]
pub struct Health<'a> {
    /// Whether nothing is missing.
    pub complete: bool,
    /// What is missing, one sentence each.
    pub reasons: Vec<&'a str>,
}

/// What the user must know.
#[derive(Clone, Debug, Serialize)]
pub struct Finding<'a> {
    /// Its stable code.
    pub code: &'static str,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// How often it occurred.
    pub count: u64,
    /// What it is about.
    pub message: &'a str,
}

impl Input {
    /// The recordings of a tape.
    #[must_use]
    pub fn of_tape(tape: &Tape) -> Vec<Self> {
        let input = |id: &String| Self {
            kind: "tape",
            id: id.clone(),
        };
        tape.ids.iter().map(input).collect()
    }
}

impl<'a, B: Serialize> Document<'a, B> {
    /// A document of this build.
    #[must_use]
    pub fn new(
        schema: &'static str,
        inputs: &'a [Input],
        health: &'a DomainHealth,
        findings: &'a [DomainFinding],
        body: &'a B,
    ) -> Self {
        Self {
            schema,
            tool: Tool {
                version: env!("CARGO_PKG_VERSION"),
            },
            inputs,
            health: Health {
                complete: health.is_complete(),
                reasons: health.reasons.iter().map(String::as_str).collect(),
            },
            findings: findings.iter().map(finding).collect(),
            body,
        }
    }

    /// The text of the document, with a final newline. Characters that could move a terminal's cursor are escaped.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string_pretty(self)?;
        let mut escaped = String::with_capacity(text.len() + 1);
        for character in text.chars() {
            // serde_json escapes the first 32; the rest can only stand inside strings, where an escape is the same.
            if character != '\n' && crate::escape::is_hostile(character) {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            } else {
                escaped.push(character);
            }
        }
        escaped.push('\n');
        Ok(escaped)
    }
}

fn finding(finding: &DomainFinding) -> Finding<'_> {
    let entry = finding.code.entry();
    Finding {
        code: entry.number,
        severity: entry.severity.to_string(),
        count: finding.count,
        message: &finding.message,
    }
}
