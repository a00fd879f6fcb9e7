//! Odd and invalid manifests: our verdict against that of a real API server.
//!
//! `FLOWTAPE_CONFORMANCE` names a folder with `invalid-policies/`: manifests, and `expected.jsonl` with `accept`,
//! `reject`, or `reject-unknown-field` for what a strict server refuses and a lenient one drops. We are strict.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data fails")]

use std::fs;
use std::path::{Path, PathBuf};

use flowtape::parse::kubernetes;
use flowtape::parse::report::{Problem, ProblemKind};
use serde_json::Value;

/// Manifests where we differ from the server on purpose, with the reason.
const DELIBERATE: [(&str, &str); 0] = [];

/// The manifests that the folder holds.
const MANIFESTS: usize = 88;

#[test]
fn agrees_with_a_real_api_server() {
    let Some(folder) = folder() else { return };
    let folder = folder.join("invalid-policies");
    let expected = fs::read_to_string(folder.join("expected.jsonl")).unwrap();
    let differences: Vec<String> = expected.lines().filter_map(|line| difference(&folder, line)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(expected.lines().count(), MANIFESTS);
}

/// How our verdict on one manifest differs from the expected one.
fn difference(folder: &Path, line: &str) -> Option<String> {
    let case: Value = serde_json::from_str(line).unwrap();
    let file = case["file"].as_str().unwrap();
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let unknown_fields = case["unknown_fields"].as_array().unwrap();
    let ours = kubernetes::parse([(file, text.as_str())]);
    let expected = case["expected"].as_str().unwrap();
    let agrees = match (expected, &ours) {
        ("accept", Ok(parsed)) => parsed.set.policies().len() == 1 && parsed.skipped.is_empty(),
        ("reject", Err(_)) => true,
        ("reject-unknown-field", Err(problems)) => problems
            .0
            .iter()
            .all(|problem| matches!(problem.what, ProblemKind::UnknownField { .. })),
        _ => false,
    };
    if let Some((_, reason)) = DELIBERATE.iter().find(|(name, _)| *name == file) {
        return agrees.then(|| format!("{file}: listed as a deliberate difference ({reason}), and there is none"));
    }
    if !agrees {
        return Some(format!("{file}: expected {expected}, got {ours:?}"));
    }
    // Every unknown field is named, at its own path.
    let named: Vec<String> = ours
        .err()
        .into_iter()
        .flat_map(|problems| problems.0)
        .filter_map(unknown_field)
        .collect();
    let missed = unknown_fields
        .iter()
        .filter_map(Value::as_str)
        .find(|field| !named.iter().any(|name| name == field));
    missed.map(|field| format!("{file}: unknown field `{field}` is not reported, only {named:?}"))
}

fn unknown_field(problem: Problem) -> Option<String> {
    let path = problem.path.to_string();
    let ProblemKind::UnknownField { field, known: _ } = problem.what else {
        return None;
    };
    Some(if path.is_empty() {
        field
    } else {
        format!("{path}.{field}")
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says where the suites are"
)]
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("FLOWTAPE_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        note("SKIPPED: FLOWTAPE_CONFORMANCE is not set, no invalid manifest was tried");
    }
    folder
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn note(text: &str) {
    eprintln!("{text}");
}
