//! `flowtape explain`: what a finding means and what to do about it.

use std::fmt::Write as _;

use crate::cli::args::explain::ExplainArgs;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::findings::{CATALOG, Code};

pub(in crate::cli) fn run(args: &ExplainArgs) -> Result<ExitStatus, Failure> {
    let text = match &args.code {
        Some(number) => page(number)?,
        None => list(),
    };
    output::data(&text)?;
    Ok(ExitStatus::Done)
}

fn page(number: &str) -> Result<String, Failure> {
    let code = Code::from_number(number).ok_or_else(|| {
        Failure::plain(format!("there is no finding with the code `{number}`"))
            .hint("`flowtape explain` lists every code")
    })?;
    Ok(code.entry().page.trim_end().to_owned() + "\n")
}

fn list() -> String {
    let mut text = String::new();
    for entry in CATALOG {
        let _ = writeln!(
            text,
            "{}  {:<8} {}",
            entry.number,
            entry.severity.to_string(),
            entry.title
        );
    }
    text
}
