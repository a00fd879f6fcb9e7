//! Runs the command, and finds the files of a tape.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The command under test.
pub(crate) fn recorder() -> Command {
    Command::new(env!("CARGO_BIN_EXE_flowtape-recorder"))
}

/// What a run of the command gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the command with arguments, in an empty home.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    recorder().args(arguments).output().unwrap().into()
}

/// Runs the command with arguments and a text on its stdin.
pub(crate) fn run_with_input(arguments: &[&str], input: &str) -> Ran {
    let mut child = recorder()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments reads nothing, and the pipe breaks.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// Every file below a directory, sorted.
pub(crate) fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The paths below a directory, with `/`.
pub(crate) fn names(below: &Path) -> Vec<String> {
    let name = |path: &PathBuf| path.strip_prefix(below).unwrap().display().to_string();
    files(below).iter().map(name).collect()
}

/// Runs the command as a user without any privilege, or says why that is not tried: only root can become nobody.
pub(crate) fn run_as_nobody(arguments: &[&str]) -> Option<Ran> {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout.trim_ascii() != b"0" {
        skipped("only root can become a user without privileges");
        return None;
    }
    // Nobody may not look below the build directory, so the command is copied to where anybody may.
    let home = tempfile::tempdir().unwrap();
    let command = home.path().join("flowtape-recorder");
    std::fs::copy(env!("CARGO_BIN_EXE_flowtape-recorder"), &command).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(home.path(), open(0o755)).unwrap();
    let ran = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ])
        .arg(command)
        .args(arguments)
        .output();
    match ran {
        Ok(ran) => Some(ran.into()),
        Err(error) => {
            skipped(&format!("`setpriv` of util-linux: {error}"));
            None
        }
    }
}

/// Says so even where the output of tests that pass is not shown.
fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
