//! Questions about policies as a user asks them, of one connection and of all.

#![expect(clippy::unwrap_used, reason = "what a test prepares must be there")]

mod connectivity;
mod eval;

use std::path::Path;
use std::process::Command;

/// What a run of `flowtape` came to.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs `flowtape` with these words.
fn run(directory: &Path, arguments: &str) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_flowtape"))
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
