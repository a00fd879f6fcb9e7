//! Where a result goes: to stdout, or into a file that is not overwritten unasked.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use super::args::{Destined, Format};
use super::failure::Failure;
use super::output;

/// Where a result goes.
#[derive(Clone, Copy)]
pub(super) enum Destination<'a> {
    /// To whoever reads stdout.
    Stdout,
    /// Into this file, which is not there yet or may be replaced.
    File(&'a Path),
}

impl<'a> Destination<'a> {
    /// What was asked for, unless it must not be: before any work is done, nothing is in danger.
    pub(super) fn checked(destined: &'a Destined, format: Format) -> Result<Self, Failure> {
        let Destined { output, force } = destined;
        match output {
            None if format == Format::Parquet && io::stdout().is_terminal() => {
                let failure = Failure::plain("Parquet is not for a terminal");
                Err(failure.hint("write it into a file with `-o FILE`"))
            }
            None => Ok(Self::Stdout),
            Some(path) if path.is_dir() => Err(Failure::plain(format!(
                "`{}` is a directory, give the name of a file",
                path.display()
            ))),
            Some(path) if path.exists() && !force => {
                let failure = Failure::plain(format!(
                    "`{}` is there already, and nothing was written",
                    path.display()
                ));
                Err(failure.hint("choose a new name, or replace the file with `--force`"))
            }
            Some(path) => Ok(Self::File(path)),
        }
    }

    /// Writes the whole result: a file is there as a whole, or as it was before.
    pub(super) fn write(self, data: &[u8]) -> Result<(), Failure> {
        let Self::File(path) = self else {
            return Ok(output::data(data)?);
        };
        let mut beside = OsString::from(path);
        beside.push(".tmp");
        let written = fs::write(&beside, data).and_then(|()| fs::rename(&beside, path));
        written.map_err(|error| {
            // What was not written is not there to remove.
            let _ = fs::remove_file(&beside);
            Failure::of(format!("cannot write `{}`", path.display()), &error)
        })
    }
}
