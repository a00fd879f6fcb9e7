//! The result of a verb: one JSON document, or text on stdout and findings on stderr.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::args::{Format, Global};
use super::exit::ExitStatus;
use super::failure::Failure;
use super::output;
use crate::escape::escaped;
use crate::findings::{Code, Finding, Findings, Severity};
use crate::json::{self, Input};
use crate::tape::{Health, Tape};

/// Findings of one code that text lists one by one; JSON lists them all.
const LISTED: usize = 10;

/// What a verb found out, apart from its body.
pub(super) struct Report {
    /// The JSON document's schema, such as `flowtape.inspect/v1`.
    pub(super) schema: &'static str,
    /// What was read.
    pub(super) inputs: Vec<Input>,
    /// Whether what was read is complete.
    pub(super) health: Health,
    /// What the user must know.
    pub(super) findings: Findings,
}

impl Report {
    /// A report about one tape.
    pub(super) fn of_tape(schema: &'static str, tape: &Tape, findings: Findings) -> Self {
        Self {
            schema,
            inputs: Input::of_tape(tape),
            health: tape.health.clone(),
            findings,
        }
    }

    /// Prints the report with its body, as JSON or as `text` makes it, and says how `--strict` sees it.
    pub(super) fn print<B: Serialize>(
        &self,
        global: &Global,
        body: &B,
        text: impl FnOnce(&B) -> String,
    ) -> Result<ExitStatus, Failure> {
        match global.format {
            Format::Json => self.print_json(body)?,
            // Verbs without rows are not called with CSV.
            Format::Text | Format::Csv => self.print_data(&text(body))?,
        }
        Ok(strict_status(global, &self.health, &self.findings))
    }

    /// Findings go first: on a terminal, what was asked for then stands last, where it is read.
    fn print_data(&self, data: &str) -> Result<(), Failure> {
        let said = findings_text(&self.findings.list());
        if !said.is_empty() {
            output::say(&said);
        }
        Ok(output::data(data)?)
    }

    fn print_json<B: Serialize>(&self, body: &B) -> Result<(), Failure> {
        let list = self.findings.list();
        let document = json::Document::new(self.schema, &self.inputs, &self.health, &list, body);
        let text = document.render();
        Ok(output::data(
            &text.map_err(|error| Failure::of("cannot write JSON", &error))?,
        )?)
    }
}

fn strict_status(global: &Global, health: &Health, findings: &Findings) -> ExitStatus {
    let clean = health.is_complete() && findings.worst().is_none_or(|worst| worst < Severity::Warning);
    if global.strict && !clean {
        ExitStatus::Found
    } else {
        ExitStatus::Done
    }
}

/// One line for each finding, the gravest first.
fn findings_text(list: &[Finding]) -> String {
    let mut by_code: BTreeMap<(std::cmp::Reverse<Severity>, Code), Vec<&Finding>> = BTreeMap::new();
    for finding in list {
        let severity = finding.code.entry().severity;
        by_code
            .entry((std::cmp::Reverse(severity), finding.code))
            .or_default()
            .push(finding);
    }
    let mut text = String::new();
    for ((severity, code), found) in &by_code {
        for finding in found.iter().take(LISTED) {
            let times = if finding.count > 1 {
                format!(" ({})", finding.count)
            } else {
                String::new()
            };
            let _ = writeln!(text, "{}[{code}]: {}{times}", severity.0, escaped(&finding.message));
        }
        if let Some(more) = found.len().checked_sub(LISTED).filter(|more| *more > 0) {
            let _ = writeln!(
                text,
                "{}[{code}]: and {more} more, which `--format json` lists",
                severity.0
            );
        }
    }
    if let Some((_, code)) = by_code.keys().next() {
        let _ = writeln!(
            text,
            "hint: `flowtape explain {code}` says what it means and what to do\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::findings_text;
    use crate::findings::{Code, Findings};

    #[test]
    fn findings_are_listed_gravest_first_and_hostile_names_escaped() {
        let mut findings = Findings::default();
        findings.report_many(Code::SyntheticRows, "node `n\u{1b}[2J`", 3);
        for pod in 0..12 {
            findings.report(Code::UnknownPeer, format!("address 10.0.0.{pod:02}"));
        }
        findings.report(Code::UncleanStop, "node `n1`");
        let text = findings_text(&findings.list());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "error[FT1005]: node `n1`");
        assert_eq!(lines[1], "warning[FT2001]: address 10.0.0.00");
        assert_eq!(lines[11], "warning[FT2001]: and 2 more, which `--format json` lists");
        assert_eq!(lines[12], "info[FT1009]: node `n\\u{1b}[2J` (3)");
        assert_eq!(
            lines[13],
            "hint: `flowtape explain FT1005` says what it means and what to do"
        );
    }
}
