//! The files of the project, and what the top level may hold.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{assert_accepted, assert_refused, assert_tidy};

/// Everything that may stand at the top, less dot-files and dot-directories.
const TOP: [&str; 21] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "analyzer",
    "benches",
    "clippy.toml",
    "deny.toml",
    "recorder",
    "recorder-ebpf",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "schemas",
    "testdata",
    "typos.toml",
];

/// One file: its path from the top with `/` between the parts, and its content.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

impl File {
    /// A file made up by a test.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            bytes: text.as_bytes().to_vec(),
        }
    }

    /// The content as text; `None` for what is not UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// Whether the name ends with a dot and this.
    pub(crate) fn is_kind(&self, kind: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| found == kind)
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The directory that holds the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in a workspace")
        .to_path_buf()
}

/// Every file that git tracks or would track, so that a new file is judged before it is committed.
pub(crate) fn project() -> Vec<File> {
    let root = root();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .expect("git lists the files of the project");
    assert!(
        listed.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let files: Vec<File> = names
        .split_terminator('\0')
        .filter_map(|path| {
            Some(File {
                path: path.to_owned(),
                bytes: std::fs::read(root.join(path)).ok()?,
            })
        })
        .collect();
    assert!(
        files.iter().any(|file| file.path == "analyzer/tests/tidy/tree.rs"),
        "the list misses this very file"
    );
    files
}

/// The top level is fixed: a new directory there is a decision, not an accident.
fn top_level(files: &[File]) -> Vec<String> {
    let mut strangers: Vec<&str> = files
        .iter()
        .filter_map(|file| file.path.split('/').next())
        .filter(|top| !top.starts_with('.') && !TOP.contains(top))
        .collect();
    strangers.sort_unstable();
    strangers.dedup();
    strangers
        .into_iter()
        .map(|top| format!("`{top}` has no place at the top level"))
        .collect()
}

#[test]
fn the_top_level_is_fixed() {
    assert_tidy(&top_level(&project()));
}

#[test]
fn a_new_top_level_directory_is_refused() {
    assert_refused(top_level, &[("docs/a.md", ""), ("docs/b.md", "")], "`docs`");
    assert_accepted(
        top_level,
        &[(".ci/run", ""), ("schemas/src/lib.rs", ""), ("README.md", "")],
    );
}
