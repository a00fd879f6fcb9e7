//! The command `flowtape`: policy of the process only. What it does stands in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// A large cluster is millions of small values, which it makes and frees in half the time of the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    flowtape::cli::main()
}
