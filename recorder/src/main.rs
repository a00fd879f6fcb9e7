//! `flowtape-recorder`: parses the command line, runs one verb, and maps its end to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use flowtape_recorder::cli::Cli;
use flowtape_recorder::{cli, exit::Exit, output};

fn main() -> ExitCode {
    let ended = cli::run(Cli::parse());
    ended.map_or_else(
        |error| {
            output::error(&error);
            Exit::Failed.into()
        },
        ExitCode::from,
    )
}
