//! `flowtape-recorder check`: prints what was looked at and how it came out, and explains a recording that cannot begin.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Serialize;

use crate::check::{Check, Verdict};
use crate::cli::Format;
use crate::exit::Exit;
use crate::kernel::error::KernelError;
use crate::tape::tool;
use crate::{check, output};

/// What `--format json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    tool: flowtape_schemas::manifest::Tool,
    /// Whether a recording is possible.
    ready: bool,
    checks: &'a [Check],
}

/// Runs the verb. A recording that would lack something is possible all the same; one that is not gives exit code 1.
pub fn run(format: Format) -> anyhow::Result<Exit> {
    let checks = check::run();
    let ready = is_ready(&checks);
    let text = match format {
        Format::Text => text(&checks),
        Format::Json => json(&checks, ready).context("cannot render the answer")?,
    };
    output::data(&text).context("cannot write to stdout")?;
    Ok(if ready { Exit::Done } else { Exit::Found })
}

/// Adds to the kernel's refusal what is missing and what to do about it.
#[must_use]
pub fn explain(error: KernelError) -> anyhow::Error {
    // A size that was asked for is no matter of privileges.
    if matches!(error, KernelError::Size { .. }) {
        return error.into();
    }
    let checks = check::run();
    let missing = lines(checks.iter().filter(|check| check.ok == Verdict::No));
    let mut what = "cannot record here".to_owned();
    if !missing.is_empty() {
        let _ = write!(what, "; `flowtape-recorder check` finds:\n{}", missing.trim_end());
    }
    anyhow::Error::from(error).context(what)
}

fn is_ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.ok != Verdict::No)
}

fn text(checks: &[Check]) -> String {
    let mut text = lines(checks.iter());
    text.push_str(if is_ready(checks) {
        "recording works here\n"
    } else {
        "recording does not work here\n"
    });
    text
}

/// The checks with their names in a column.
fn lines<'a>(checks: impl Iterator<Item = &'a Check> + Clone) -> String {
    let width = checks.clone().map(|check| check.name.len()).max().unwrap_or_default();
    checks.map(|check| line(check, width)).collect()
}

/// One check, and below it what to do.
fn line(check: &Check, width: usize) -> String {
    let word = match check.ok {
        Verdict::Yes => "yes",
        Verdict::Degraded => "less",
        Verdict::No => "no",
    };
    let mut line = format!("{word:<5}{:<width$} {}\n", check.name, check.detail);
    if let Some(remedy) = &check.remedy {
        let _ = writeln!(line, "{:1$}-> {remedy}", "", width + 6);
    }
    line
}

fn json(checks: &[Check], ready: bool) -> serde_json::Result<String> {
    let document = Document {
        schema: "flowtape.check/v1",
        tool: tool(),
        ready,
        checks,
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::{json, text};
    use crate::check::{Check, Verdict};

    fn checks(last: Verdict) -> Vec<Check> {
        let check = |name, ok, remedy: Option<&str>| Check {
            name,
            ok,
            detail: format!("about {name}"),
            remedy: remedy.map(str::to_owned),
        };
        vec![
            check("kernel", Verdict::Yes, None),
            check("cap-bpf", last, Some("run as root")),
        ]
    }

    #[test]
    fn each_line_says_how_it_came_out_and_what_to_do() {
        assert_eq!(
            text(&checks(Verdict::No)),
            "yes  kernel  about kernel\n\
             no   cap-bpf about cap-bpf\n             -> run as root\n\
             recording does not work here\n"
        );
        assert!(text(&checks(Verdict::Degraded)).ends_with("recording works here\n"));
    }

    #[test]
    fn json_carries_its_schema() {
        let document: serde_json::Value = serde_json::from_str(&json(&checks(Verdict::No), false).unwrap()).unwrap();
        assert_eq!(document["schema"], "flowtape.check/v1");
        assert_eq!(document["ready"], false);
        assert_eq!(document["checks"][1]["ok"], "no");
        assert_eq!(document["checks"][1]["remedy"], "run as root");
    }
}
