//! The command `flowtape`: policy of the process only. What it does stands in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Edges and rules are many small texts in ordered maps, made on all threads and given up on one: a third of the time of
/// `generate` went into the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    flowtape::cli::main()
}
