//! The exit codes of every verb.

use std::process::ExitCode;

/// How a verb ended. A bug is a panic, for which Rust exits with 101; a second interrupt kills, which shells show as 130.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Done, and something the caller gated on was found.
    Found,
    /// Bad usage, unreadable input, or something that is missing; what had to be done was not done.
    Failed,
    /// The user did not want to wait for the end.
    Interrupted,
}

impl Exit {
    /// The number a shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Failed => 2,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
