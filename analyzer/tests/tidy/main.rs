//! The house rules that a compiler cannot check, as tests over every file of the project.
//!
//! A rule is a pure function from files to complaints. Each one runs on the tree, and on a small bad input that it must
//! refuse: a rule that cannot fail protects nothing.

mod catalog;
mod fences;
mod golden;
mod layers;
mod manifests;
mod proofs;
mod rust;
mod text;
mod tree;

use tree::File;

/// Fails with every complaint, so that one run shows all there is to mend.
fn assert_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Asserts that a rule has exactly one complaint about these files, and that it says this.
fn assert_refused(rule: fn(&[File]) -> Vec<String>, files: &[(&str, &str)], says: &str) {
    let files: Vec<File> = files.iter().map(|(path, text)| File::new(path, text)).collect();
    let complaints = rule(&files);
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert!(
        complaints[0].contains(says),
        "`{}` does not say `{says}`",
        complaints[0]
    );
}

/// Asserts that a rule has no complaint about these files.
fn assert_accepted(rule: fn(&[File]) -> Vec<String>, files: &[(&str, &str)]) {
    let files: Vec<File> = files.iter().map(|(path, text)| File::new(path, text)).collect();
    assert_tidy(&rule(&files));
}
