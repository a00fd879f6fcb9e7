//! `flowtape diff`.

use crate::cli::args::{DiffArgs, Global};
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;

pub(in crate::cli) fn run(_args: &DiffArgs, _global: &Global) -> Result<ExitStatus, Failure> {
    Err(Failure::plain("this build has no `diff` yet"))
}
