//! `flowtape flows`.

use crate::cli::args::{FlowsArgs, Global};
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;

pub(in crate::cli) fn run(_args: &FlowsArgs, _global: &Global) -> Result<ExitStatus, Failure> {
    Err(Failure::plain("this build has no `flows` yet"))
}
