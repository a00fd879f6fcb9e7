//! The command line: arguments in, one verb, its output and its exit code.
//!
//! With `tape`, the only door to the file system, and the only one to the terminal and the arguments.

pub mod args;
mod cluster;
mod destination;
mod directory;
mod edges;
pub mod exit;
mod failure;
mod gate;
mod manifests;
mod output;
mod panic;
mod policies;
mod report;
mod side;
mod verb;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser as _;

use self::args::{Args, Format, Verb};
use self::exit::ExitStatus;
use self::failure::Failure;
use crate::tape::with_threads;

/// Runs the process: the arguments it was called with, to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let status = panic::caught(|| run(std::env::args_os()));
    status.into()
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    match parsed(arguments).and_then(|args| dispatch(&args)) {
        Ok(status) => status,
        // The reader of a pipe has seen enough; that is no error.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitStatus::Done,
        Err(failure) => {
            output::say(&failure.text());
            ExitStatus::Failed
        }
    }
}

/// The arguments, or what is to be said in place of running: help, the version, or a mistake.
fn parsed(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, Failure> {
    Args::try_parse_from(arguments).or_else(|error| {
        let text = error.render().to_string();
        if error.use_stderr() {
            return Err(Failure::Usage(text));
        }
        output::data(&text)?;
        Err(Failure::Output(ErrorKind::BrokenPipe.into()))
    })
}

fn dispatch(args: &Args) -> Result<ExitStatus, Failure> {
    let Args { global, verb } = args;
    let misfit = match (global.format, verb) {
        (Format::Text | Format::Json, _)
        | (Format::Csv | Format::Parquet, Verb::Flows(_) | Verb::Query(_))
        | (Format::Markdown | Format::Sarif | Format::Junit, Verb::Diff(_) | Verb::Verify(_)) => None,
        (Format::Csv, Verb::Connectivity(args)) if !args.group => None,
        (Format::Csv, Verb::Connectivity(_)) => Some("classes are no rows for `--format csv`"),
        (Format::Csv, _) => Some("only `flows`, `query` and `connectivity` have rows for `--format csv`"),
        (Format::Parquet, _) => Some("only `flows` and `query` have rows for `--format parquet`"),
        (Format::Markdown, _) => Some("only `diff` and `verify` have a review for `--format markdown`"),
        (Format::Sarif, _) => Some("only `diff` and `verify` have a review for `--format sarif`"),
        (Format::Junit, _) => Some("only `diff` and `verify` have a review for `--format junit`"),
    };
    if let Some(misfit) = misfit {
        return Err(Failure::plain(misfit).hint("`--format json` is there for every verb"));
    }
    let run = || match verb {
        Verb::Inspect(args) => verb::inspect::run(args, global),
        Verb::Flows(args) => verb::flows::run(args, global),
        Verb::Generate(args) => verb::generate::run(args, global),
        Verb::Verify(args) => verb::verify::run(args, global),
        Verb::Diff(args) => verb::diff::run(args, global),
        Verb::Import(args) => verb::import::run(args, global),
        Verb::Connectivity(args) => verb::connectivity::run(args, global),
        Verb::Eval(args) => verb::eval::run(args, global),
        Verb::Query(args) => verb::query::run(args, global),
        Verb::Explain(args) => verb::explain::run(args, global),
        Verb::Schema(args) => verb::schema::run(args),
    };
    with_threads(global.threads, run)?
}
