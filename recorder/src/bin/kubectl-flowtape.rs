//! `kubectl flowtape`: parses the command line, runs one verb, and maps its end to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use flowtape_recorder::plugin::cli::{Cli, run};
use flowtape_recorder::{exit::Exit, output};

fn main() -> ExitCode {
    run(Cli::parse()).map_or_else(
        |error| {
            output::error(&error);
            Exit::Failed.into()
        },
        ExitCode::from,
    )
}
