//! A document that names a test as proof names one that exists.

use crate::tree::{File, project};
use crate::{assert_accepted, assert_refused, assert_tidy};

/// Tests named in Markdown as `path/to/file.rs::function` that are not there.
fn proofs(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_kind("md")) {
        for (path, function) in file
            .text()
            .unwrap_or_default()
            .split('`')
            .filter_map(|code| code.split_once(".rs::"))
        {
            let path = format!("{path}.rs");
            let there = files.iter().find(|other| other.path == path).and_then(File::text);
            if !there.is_some_and(|text| is_test(text, function)) {
                complaints.push(format!("{}: no test `{path}::{function}`", file.path));
            }
        }
    }
    complaints
}

/// Whether the source holds this function with a `#[test]` among the attributes before it.
fn is_test(source: &str, function: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {function}(")) else {
        return false;
    };
    before
        .rsplit('}')
        .next()
        .is_some_and(|attributes| attributes.contains("#[test]"))
}

#[test]
fn named_proofs_exist() {
    assert_tidy(&proofs(&project()));
}

#[test]
fn a_proof_that_is_no_test_is_refused() {
    let document = ("ARCHITECTURE.md", "| I1 | `a/tests/b.rs::same_bytes` |");
    assert_refused(proofs, &[document], "no test `a/tests/b.rs::same_bytes`");
    assert_refused(
        proofs,
        &[document, ("a/tests/b.rs", "#[test]\nfn other() {}\nfn same_bytes() {}")],
        "no test",
    );
    assert_accepted(
        proofs,
        &[
            document,
            ("a/tests/b.rs", "fn x() {}\n#[test]\n#[cfg(unix)]\nfn same_bytes() {}"),
        ],
    );
}
