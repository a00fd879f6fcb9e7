//! The README shows what the program prints: every command in a block marked `console run` is run, in the workspace's
//! directory with `flowtape` on the path, and what it prints must be what the README says. `BLESS=1` writes it anew.
//!
//! A command must end with exit code 0; one that is meant to end otherwise is followed by `; echo "exit code $?"`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const OPENING: &str = "```console run";

/// The document with every runnable block rewritten to what `run` prints for its commands.
fn rewritten(document: &str, run: &mut dyn FnMut(&str) -> String) -> String {
    let mut result = String::new();
    let mut inside = false;
    for line in document.lines() {
        if inside && line != "```" {
            if let Some(command) = line.strip_prefix("$ ") {
                let printed = run(command);
                let newline = if printed.is_empty() || printed.ends_with('\n') {
                    ""
                } else {
                    "\n"
                };
                write!(result, "{line}\n{printed}{newline}").expect("a string takes every text");
            }
            continue; // What the document says the command prints.
        }
        inside = line == OPENING;
        result.push_str(line);
        result.push('\n');
    }
    result
}

/// What a command prints, errors and data in the order they came.
fn printed_by(command: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_flowtape"));
    let folder = binary.parent().expect("a program lies in a folder").display();
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\nPATH='{folder}':\"$PATH\"\n{command}")])
        .current_dir(root())
        .env("LC_ALL", "C")
        .env("NO_COLOR", "1")
        .output()
        .expect("`sh` runs");
    let text = String::from_utf8(output.stdout).expect("the output is UTF-8");
    assert!(
        output.status.success(),
        "`{command}` ended with {}:\n{text}",
        output.status
    );
    text
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in a workspace")
        .to_path_buf()
}

#[test]
#[cfg(unix)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test is asked by `make bless` to rewrite what it compares with"
)]
fn the_readme_shows_what_the_commands_print() {
    let path = root().join("README.md");
    let document = std::fs::read_to_string(&path).expect("the README is there");
    let real = rewritten(&document, &mut printed_by);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &real).expect("the README can be written");
        return;
    }
    assert_eq!(
        document, real,
        "the README is stale; `make bless` writes its output anew"
    );
}

#[test]
fn only_output_of_runnable_blocks_is_rewritten() {
    let document = "a\n```console run\n$ one\nold\n$ two\n```\n```console\n$ three\nkept\n```\n";
    let mut asked = Vec::new();
    let real = rewritten(document, &mut |command| {
        asked.push(command.to_owned());
        format!("<{command}>")
    });
    assert_eq!(
        real,
        "a\n```console run\n$ one\n<one>\n$ two\n<two>\n```\n```console\n$ three\nkept\n```\n"
    );
    assert_eq!(asked, ["one", "two"]);
}

#[test]
#[cfg(unix)]
#[should_panic(expected = "ended with")]
fn a_command_that_fails_is_not_shown() {
    printed_by("flowtape --no-such-flag-anywhere; exit 3");
}
