//! Changes of policies as a reviewer sees them: `testdata/diff/NAME` holds policies in `base/`, and in `change.md` a patch beside
//! what `flowtape diff` says of it. `BLESS=1` writes anew what it says.

#![expect(clippy::unwrap_used, reason = "what a test prepares must be there")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many changes there are, so that none is lost.
const CHANGES: usize = 9;

#[test]
fn each_change_means_what_is_written_beside_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/diff");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert_eq!(folders.len(), CHANGES);
    let mut wrong = Vec::new();
    for folder in folders {
        let page = folder.join("change.md");
        let text = std::fs::read_to_string(&page).unwrap();
        let (before, console) = text.split_once("```console\n").unwrap();
        let patch = before.split_once("```diff\n").unwrap().1.split_once("```\n").unwrap().0;
        let said = said(&folder.join("base"), patch);
        if bless() {
            std::fs::write(&page, format!("{before}```console\n{said}```\n")).unwrap();
        } else if console != format!("{said}```\n") {
            wrong.push(format!("{}:\n{said}", page.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `flowtape diff` prints and how it ends, for policies and the same with a patch applied.
fn said(base: &Path, patch: &str) -> String {
    let lab = tempfile::tempdir().unwrap();
    for side in ["before", "after"] {
        std::fs::create_dir(lab.path().join(side)).unwrap();
        for entry in std::fs::read_dir(base).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), lab.path().join(side).join(entry.file_name())).unwrap();
        }
    }
    let mut git = Command::new("git")
        .args(["apply", "--whitespace=nowarn", "-"])
        .current_dir(lab.path().join("after"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(patch.as_bytes()).unwrap();
    assert!(
        git.wait().unwrap().success(),
        "{}: the patch does not apply",
        base.display()
    );
    let run = Command::new(env!("CARGO_BIN_EXE_flowtape"))
        .args(["diff", "before", "after"])
        .current_dir(lab.path())
        .output()
        .unwrap();
    let (stdout, code) = (String::from_utf8(run.stdout).unwrap(), run.status.code().unwrap());
    assert_eq!(String::from_utf8(run.stderr).unwrap(), "");
    let code = if code == 0 {
        String::new()
    } else {
        format!("[exit {code}]\n")
    };
    format!("$ flowtape diff before after\n{stdout}{code}")
}

#[expect(
    clippy::disallowed_methods,
    reason = "BLESS is how every test of the project rewrites what it expects"
)]
fn bless() -> bool {
    std::env::var_os("BLESS").is_some_and(|bless| bless == "1")
}
