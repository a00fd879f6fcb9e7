//! The result of a verb: one JSON document, or text on stdout and findings on stderr.

use serde::Serialize;

use super::args::{Format, Global};
use super::destination::Destination;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::output;
use crate::findings::{Finding, Findings, Severity};
use crate::flow::Flows;
use crate::json::{self, Input, Shares};
use crate::render::text::{findings, shares};
use crate::tape::{Health, Tape};

/// What a verb found out, apart from its body.
pub(super) struct Report {
    /// The JSON document's schema, such as `flowtape.inspect/v1`.
    pub(super) schema: &'static str,
    /// What was read.
    pub(super) inputs: Vec<Input>,
    /// Whether what was read is complete.
    pub(super) health: Health,
    /// How much of it has a peer that is not known, for each side.
    pub(super) shares: Vec<Shares>,
    /// What the user must know.
    pub(super) findings: Findings,
    /// What else is said on the terminal, where it is not in the data.
    pub(super) remark: String,
}

impl Report {
    /// A report about one tape.
    pub(super) fn of_tape(schema: &'static str, tape: &Tape, flows: &Flows, findings: Findings) -> Self {
        Self {
            schema,
            inputs: Input::of_tape(tape),
            health: tape.health.clone(),
            shares: vec![Shares::new(None, &flows.shares)],
            findings,
            remark: String::new(),
        }
    }

    /// Prints the report with its body, as JSON or as `text` makes it, and says how `--strict` sees it.
    pub(super) fn print<B: Serialize>(
        &self,
        global: &Global,
        body: &B,
        text: impl FnOnce(&B) -> String,
    ) -> Result<ExitStatus, Failure> {
        self.write(Destination::Stdout, global, body, |body| Ok(text(body).into_bytes()))
    }

    /// The same with a place to go to, and data of any kind.
    pub(super) fn write<B: Serialize>(
        &self,
        destination: Destination<'_>,
        global: &Global,
        body: &B,
        data: impl FnOnce(&B) -> Result<Vec<u8>, Failure>,
    ) -> Result<ExitStatus, Failure> {
        match global.format {
            Format::Json => destination.write(self.document(self.schema, body)?.as_bytes())?,
            Format::Text | Format::Csv | Format::Parquet | Format::Markdown | Format::Sarif | Format::Junit => {
                let data = data(body)?;
                self.say();
                destination.write(&data)?;
            }
        }
        Ok(self.status(global))
    }

    /// How `--strict` sees it.
    pub(super) fn status(&self, global: &Global) -> ExitStatus {
        strict_status(global, &self.health, &self.findings)
    }

    /// The same for rows that are written as they are made, because there may be more of them than fit anywhere. The last
    /// field of `body` is an empty list, in whose place the rows go.
    pub(super) fn stream<B: Serialize>(
        &self,
        global: &Global,
        body: &B,
        rows: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<ExitStatus, Failure> {
        match global.format {
            Format::Json => {
                let document = self.document(self.schema, body)?;
                let (before, after) = document.rsplit_once(']').unwrap_or((&document, ""));
                output::data(before)?;
                rows()?;
                output::data(format!("\n  ]{after}"))?;
            }
            Format::Text | Format::Csv | Format::Parquet | Format::Markdown | Format::Sarif | Format::Junit => {
                self.say();
                rows()?;
            }
        }
        Ok(self.status(global))
    }

    /// Says what is not data. It goes first: on a terminal, what was asked for then stands last, where it is read.
    fn say(&self) {
        let said = findings::text(&self.findings.list());
        let told = format!("{said}{}{}", shares::text(&self.shares), self.remark);
        if !told.is_empty() {
            output::say(&format!("{told}\n"));
        }
    }

    /// One JSON document with what the report says of every body.
    pub(super) fn document<B: Serialize>(&self, schema: &'static str, body: &B) -> Result<String, Failure> {
        let list = self.findings.list();
        self.unwritten(schema, &list, body)
            .render()
            .map_err(|error| unwritable(&error))
    }

    /// What a JSON document begins with, up to the fields of its body.
    pub(super) fn head(&self, schema: &'static str) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct Nothing {}
        let list = self.findings.list();
        let document = self.unwritten(schema, &list, &Nothing {});
        document.head().map_err(|error| unwritable(&error))
    }

    fn unwritten<'a, B: Serialize>(
        &'a self,
        schema: &'static str,
        findings: &'a [Finding],
        body: &'a B,
    ) -> json::Document<'a, B> {
        json::Document::new(schema, &self.inputs, &self.health, &self.shares, findings, body)
    }
}

fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::of("cannot write JSON", error)
}

fn strict_status(global: &Global, health: &Health, findings: &Findings) -> ExitStatus {
    let clean = health.is_complete() && findings.worst().is_none_or(|worst| worst < Severity::Warning);
    if global.strict && !clean {
        ExitStatus::Found
    } else {
        ExitStatus::Done
    }
}
