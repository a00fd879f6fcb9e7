//! `flowtape schema`: the reference of the tables of a tape, of those that a query can name, or of imported formats.

use flowtape_schemas::reference;

use crate::cli::args::schema::{SchemaArgs, Tables};
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::frame::tables;
use crate::import::format;

pub(in crate::cli) fn run(args: &SchemaArgs) -> Result<ExitStatus, Failure> {
    let text = match args.tables {
        Tables::Tape => reference::markdown(),
        Tables::Query => tables::reference()?,
        Tables::Import => format::reference(),
    };
    output::data(&text)?;
    Ok(ExitStatus::Done)
}
