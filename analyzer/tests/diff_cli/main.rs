//! `flowtape flows`, `flowtape diff` and `flowtape verify` as a user runs them: whole output, whole messages, exit codes.

#![expect(clippy::unwrap_used, reason = "what a test prepares must be there")]

mod flows;
mod gates;
mod hostile;
mod policies;
mod tapes;
mod verify;

use std::path::{Path, PathBuf};
use std::process::Command;

use flowtape_scenario::{Scenario, tape};

/// The cluster of most tests; traffic follows.
pub(crate) const CLUSTER: &str = "
window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  node n2 172.31.0.12 pods 10.244.2.0/24
  deployment shop/web on n1 labels app=web ports http:80
  deployment shop/db on n2 labels app=db ports sql:5432
  deployment shop/api on n2 labels app=api ports http:8080
  deployment ops/job on n1 labels app=job
  service shop/db 10.96.0.20 selects app=db ports sql:5432->sql
  service shop/old 10.96.0.21 selects app=old ports 80
  external 203.0.113.7
traffic
";

/// What the synthetic rows of one tape are said with.
pub(crate) const SYNTHETIC: &str = "rows were written by hand or made from a scenario, and not observed";

/// A directory of tapes and policies that is removed in the end.
pub(crate) struct Lab {
    directory: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the tape of a scenario.
    pub(crate) fn tape(&self, name: &str, text: &str) {
        let scenario = Scenario::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
        tape::write(&self.path(name), &tape::compile(&scenario).unwrap()).unwrap();
    }

    /// Writes the tape of this traffic in [`CLUSTER`].
    pub(crate) fn traffic(&self, name: &str, traffic: &str) {
        self.tape(name, &format!("{CLUSTER}{traffic}"));
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs `flowtape` with words that are separated by blanks, in the directory.
    pub(crate) fn run(&self, words: &str) -> Run {
        run(self.directory.path(), words)
    }
}

/// What a run printed and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Run {
    /// Compares all of it, but for the number of synthetic rows; the texts begin with a line break, which does not count.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, stdout: &str, stderr: &str) {
        let text = |text: &str| text.strip_prefix('\n').unwrap_or(text).to_owned();
        let rows = |line: &str| match line.split_once(SYNTHETIC) {
            Some((before, _)) => format!("{before}{SYNTHETIC}\n"),
            None => format!("{line}\n"),
        };
        let said: String = self.stderr.lines().map(rows).collect();
        assert_eq!(
            (self.code, self.stdout.as_str(), said.as_str()),
            (code, text(stdout).as_str(), text(stderr).as_str()),
            "\nstdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

fn run(directory: &Path, words: &str) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_flowtape"))
        .args(words.split_whitespace())
        .current_dir(directory)
        .output()
        .unwrap();
    Run {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}
