//! The command `flowtape`: policy of the process only. What it does stands in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    flowtape::cli::main()
}
