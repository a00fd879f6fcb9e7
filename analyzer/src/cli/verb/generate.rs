//! `flowtape generate`.

use crate::cli::args::{GenerateArgs, Global};
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;

pub(in crate::cli) fn run(_args: &GenerateArgs, _global: &Global) -> Result<ExitStatus, Failure> {
    Err(Failure::plain("this build has no `generate` yet"))
}
