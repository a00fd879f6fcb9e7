//! What `diff` and `verify` share as gates of a pipeline: the baseline, and reports in files.

use std::path::Path;

use flowtape_schemas::time::Time;
use serde::Serialize;

use super::args::{Format, Gated, Global, ReportFile};
use super::destination::Destination;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::output;
use super::policies;
use super::report::Report;
use crate::baseline::Baseline;
use crate::findings::Finding;
use crate::render::review::Base;
use crate::render::review::Review;
use crate::render::{junit, markdown, sarif};
use crate::tape::Health;

/// Reads the baseline, and says at which time its entries are judged: what was asked for, or the end of the recording.
pub(super) fn baseline(gated: &Gated, recorded: Option<Time>) -> Result<(Baseline, Option<Time>), Failure> {
    let Some(path) = &gated.baseline else {
        return Ok((Baseline::default(), None));
    };
    let place = path.display();
    let text = policies::text(path).map_err(|problem| Failure::plain(format!("baseline `{place}` {problem}")))?;
    let baseline = Baseline::parse(&text).map_err(|error| {
        Failure::of(format!("baseline `{place}` cannot be used"), &error)
            .hint("`flowtape diff --help` and `flowtape verify --help` show what one looks like")
    })?;
    let now = gated.as_of.or(recorded);
    // Without a time nothing would ever run out.
    if let (None, Some(entry)) = (now, baseline.limited()) {
        let failure = Failure::plain(format!(
            "baseline `{place}` accepts {entry} until some time, and no recording says what time it is"
        ));
        return Err(failure.hint("give the time: `--as-of \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"`"));
    }
    Ok((baseline, now))
}

/// Writes the reports that were asked for, then prints the result.
pub(super) fn print<B: Serialize>(
    report: &Report,
    gated: &Gated,
    global: &Global,
    body: &B,
    text: impl FnOnce() -> String,
    review: impl for<'a> FnOnce(&'a Health, &'a [Finding]) -> Review<'a>,
) -> Result<ExitStatus, Failure> {
    let list = report.findings.list();
    let mut review = review(&report.health, &list);
    let strict = report.status(global);
    if strict == ExitStatus::Found {
        review.fail(
            "--strict",
            "the recording is incomplete, or something is worth a warning",
        );
    }
    for ReportFile { format, path } in &gated.reports {
        if let Some(data) = data(*format, report, body, &review)? {
            Destination::File(path).write(data.as_bytes())?;
        }
    }
    match global.format {
        Format::Markdown | Format::Sarif | Format::Junit => {
            output::data(data(global.format, report, body, &review)?.unwrap_or_default())?;
            Ok(strict)
        }
        Format::Text | Format::Json | Format::Csv | Format::Parquet => report.print(global, body, |_| text()),
    }
}

/// The result in a format of programs; `None` for formats that have none.
fn data<B: Serialize>(
    format: Format,
    report: &Report,
    body: &B,
    review: &Review<'_>,
) -> Result<Option<String>, Failure> {
    Ok(Some(match format {
        Format::Json => report.document(report.schema, body)?,
        Format::Markdown => markdown::text(review),
        Format::Sarif => sarif::text(review).map_err(|error| Failure::of("cannot write SARIF", &error))?,
        Format::Junit => junit::text(review),
        Format::Text | Format::Csv | Format::Parquet => return Ok(None),
    }))
}

/// Where policies are: what stands before the names of the files that were read from there makes them paths from where the verb runs.
pub(super) fn base(path: &Path) -> Base {
    let directory = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or_else(|| Path::new(""))
    };
    let files = match plain(directory).as_str() {
        "" | "." => String::new(),
        text => format!("{text}/"),
    };
    Base {
        path: plain(path),
        files,
    }
}

/// Where a recording is, of whose files no report names any.
pub(super) fn recording(path: &Path) -> Base {
    Base {
        path: plain(path),
        files: String::new(),
    }
}

/// A path without what means nothing at its ends.
fn plain(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = text.trim_end_matches('/');
    text.strip_prefix("./").unwrap_or(text).to_owned()
}
