//! The JSON documents: the stable interface of every verb.
//!
//! Fields are added, never renamed; consumers accept words they do not know in `role`, `reason` and `code`. The order
//! of fields is the order of the declarations, and every list is sorted, so that equal results are equal bytes.

pub mod activity;
pub mod connectivity;
pub mod diff;
pub mod edge;
pub mod eval;
pub mod evidence;
pub mod explain;
pub mod generate;
pub mod import;
pub mod inspect;
pub mod peer;
pub mod proof;
pub mod verify;

use std::fmt::Write as _;
use std::io::{self, Write};

use flowtape_schemas::time::Time;
use flowtape_schemas::value::Words as _;
use rayon::iter::ParallelIterator as _;
use rayon::slice::ParallelSlice as _;
use serde::Serialize;

use crate::diff::change::Side;
use crate::findings::{Finding as DomainFinding, Sample as DomainSample};
use crate::flow::edge::Transport;
use crate::flow::share::{Share as DomainShare, Shares as DomainShares};
use crate::tape::{Health as DomainHealth, Tape};

/// Members of a list that are made by one thread at a time.
const CHUNK: usize = 64;

/// Members of a list whose text is in memory at once.
const AT_ONCE: usize = 64 * CHUNK;

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
    /// How much of what was read has a peer that is not known, for each side.
    pub shares: Vec<Shares>,
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
    /// The first few rows it rests on, by time; none where it is about no rows.
    pub samples: Vec<Sample<'a>>,
}

/// A row of table `flows` that a finding rests on, its addresses as people write them.
#[derive(Clone, Debug, Serialize)]
pub struct Sample<'a> {
    /// Name of the node that recorded it.
    pub node: &'a str,
    /// Which side of the connection the socket was: `in`, `out`, `none` or `unknown`.
    pub direction: &'static str,
    /// `TCP`, `UDP`, `SCTP`, or `IP-` and the number.
    pub protocol: String,
    /// Address of the socket.
    pub local_ip: Option<String>,
    /// Address of the peer.
    pub remote_ip: Option<String>,
    /// The server's port as this side saw it.
    pub port: Option<u16>,
    /// How the attempts ended.
    pub outcome: &'static str,
    /// Connections or datagrams.
    pub count: u64,
    /// The first of them.
    pub first_seen: Time,
    /// The last of them.
    pub last_seen: Time,
}

/// How much of a recording has a peer that is not known.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shares {
    /// `before` or `after`, where two recordings are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// Of the edges.
    pub edges: Share,
    /// Of the operations.
    pub operations: Share,
}

/// How many there are, and of how many a peer is not known.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Share {
    /// All of them.
    pub total: u64,
    /// Of these a peer is not known.
    pub unknown: u64,
    /// Of these a peer is one of several.
    pub ambiguous: u64,
    /// Of these the server is supposed and was not seen.
    pub supposed: u64,
}

impl Shares {
    /// Those of one side; of none where only one recording is read.
    #[must_use]
    pub fn new(side: Option<Side>, shares: &DomainShares) -> Self {
        let share = |share: DomainShare| {
            let DomainShare {
                total,
                unknown,
                ambiguous,
                supposed,
            } = share;
            Share {
                total,
                unknown,
                ambiguous,
                supposed,
            }
        };
        Self {
            side: side.map(Side::word),
            edges: share(shares.edges),
            operations: share(shares.operations),
        }
    }
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
        shares: &[Shares],
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
            shares: shares.to_vec(),
            findings: findings.iter().map(finding).collect(),
            body,
        }
    }

    /// The text of the document, with a final newline.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(escaped(text))
    }

    /// The text of the document up to where more fields of its body follow.
    pub fn head(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.truncate(text.strip_suffix("\n}").expect("a document has fields").len());
        Ok(escaped(text))
    }
}

/// Writes a list as the next field of a document, a line for each member: they are made side by side, and few are in memory at once.
pub fn write_list<'m, T: Sync, S: Serialize>(
    field: &str,
    members: &'m [T],
    shown: impl Fn(&'m T) -> S + Sync,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, ",\n  \"{field}\": [")?;
    let mut between = "\n    ";
    for some in members.chunks(AT_ONCE) {
        let texts = some.par_chunks(CHUNK).map(|members| lines(members, &shown));
        for text in texts.collect::<Vec<serde_json::Result<String>>>() {
            out.write_all(std::mem::replace(&mut between, ",\n    ").as_bytes())?;
            out.write_all(text?.as_bytes())?;
        }
    }
    out.write_all(if members.is_empty() { b"]" } else { b"\n  ]" })
}

/// Members of a list, a line for each.
fn lines<'m, T, S: Serialize>(members: &'m [T], shown: impl Fn(&'m T) -> S) -> serde_json::Result<String> {
    let mut text = Vec::new();
    for (at, member) in members.iter().enumerate() {
        text.extend_from_slice(if at == 0 { b"" } else { b",\n    " });
        serde_json::to_writer(&mut text, &shown(member))?;
    }
    Ok(escaped(String::from_utf8(text).expect("JSON is UTF-8")))
}

/// JSON with everything escaped that could move a terminal's cursor.
fn escaped(text: String) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
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
    escaped
}

/// One value on one line.
pub fn line<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    Ok(escaped(serde_json::to_string(value)?))
}

fn finding(finding: &DomainFinding) -> Finding<'_> {
    let entry = finding.code.entry();
    Finding {
        code: entry.number,
        severity: entry.severity.to_string(),
        count: finding.count,
        message: &finding.message,
        samples: finding.samples.iter().map(sample).collect(),
    }
}

fn sample(sample: &DomainSample) -> Sample<'_> {
    let DomainSample { time, node, row } = sample;
    Sample {
        node,
        direction: row.direction.word(),
        protocol: Transport(row.protocol).to_string(),
        local_ip: row.local_ip.map(|address| address.to_string()),
        remote_ip: row.remote_ip.map(|address| address.to_string()),
        port: row.service_port,
        outcome: row.outcome.word(),
        count: row.count,
        first_seen: *time,
        last_seen: row.last_seen,
    }
}
