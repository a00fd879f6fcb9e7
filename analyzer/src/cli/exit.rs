//! The exit codes of every verb: part of the interface, unlike the text that a verb prints.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitStatus {
    /// Done.
    Done,
    /// Done, and something the caller gated on was found.
    Found,
    /// Bad usage or unreadable input; what had to be done was not done.
    Failed,
    /// A bug of flowtape.
    Bug,
    /// Ended by the user's interrupt. The process leaves it to the system to end it, and shells show 130.
    Interrupted,
}

impl ExitStatus {
    /// The number a shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Failed => 2,
            Self::Bug => 101,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// What help says about exit codes.
pub const HELP: &str = "\
Exit codes:
  0    done
  1    done, and something the caller gated on was found (`diff`, `verify`, `eval --expect`, `--strict`, a failed proof)
  2    bad usage or unreadable input; nothing was written
  101  a bug of flowtape
  130  interrupted";
