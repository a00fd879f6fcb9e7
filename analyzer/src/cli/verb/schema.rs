//! `flowtape schema`: the reference of the tables of a tape.

use flowtape_schemas::reference;

use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::output;

pub(in crate::cli) fn run() -> Result<ExitStatus, Failure> {
    output::data(&reference::markdown())?;
    Ok(ExitStatus::Done)
}
