//! `flowtape-scenario`: compiles scenarios, and prints the Kubernetes objects they declare.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use flowtape_scenario::layout::Layout;
use flowtape_scenario::model::Offset;
use flowtape_scenario::{Scenario, kubernetes, tape};

/// Compile readable scenarios to tapes and to Kubernetes objects
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write the tape that recorders would have written
    Compile {
        /// Scenario to read
        file: PathBuf,
        /// Directory to write, new or empty
        #[arg(short, long)]
        output: PathBuf,
        /// Write into a directory that is not empty
        #[arg(long)]
        force: bool,
    },
    /// Print what `kubectl get ... -A -o json` would print
    Kubernetes {
        /// Scenario to read
        file: PathBuf,
        /// Milliseconds since the start of the window
        #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
        at: i64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nothing is left to tell it to if standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(verb: Verb) -> Result<(), String> {
    match verb {
        Verb::Compile { file, output, force } => {
            let scenario = read(&file)?;
            if !force && std::fs::read_dir(&output).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(format!(
                    "`{}` is not empty; choose another or say --force",
                    output.display()
                ));
            }
            let files = tape::compile(&scenario).map_err(|error| format!("{}: {error}", file.display()))?;
            tape::write(&output, &files).map_err(|error| format!("cannot write `{}`: {error}", output.display()))
        }
        Verb::Kubernetes { file, at } => {
            let scenario = read(&file)?;
            let layout = Layout::of(&scenario).map_err(|problems| located(&file, &problems))?;
            let list = kubernetes::list_at(&scenario, &layout, Offset(at.saturating_mul(1_000_000)));
            let written = writeln!(std::io::stdout(), "{list:#}");
            // A reader that has seen enough is not an error.
            match written {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
                _ => Ok(()),
            }
        }
    }
}

fn read(file: &Path) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
    Scenario::parse(&text).map_err(|problems| located(file, &problems))
}

/// Every problem with the file it is in, in the form that editors jump to.
fn located(file: &Path, problems: &flowtape_scenario::Problems) -> String {
    let lines = problems.list().iter().map(|problem| {
        format!(
            "  {}:{}:{}: {}",
            file.display(),
            problem.line,
            problem.column,
            problem.message
        )
    });
    let lines: Vec<String> = lines.collect();
    format!("`{}` is not a scenario:\n{}", file.display(), lines.join("\n"))
}
