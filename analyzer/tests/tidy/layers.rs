//! Who may import whom inside the analyzer: data flows one way, and a stage knows only what lies before it.

use crate::rust::{references, tokens};
use crate::tree::{File, project};
use crate::{assert_accepted, assert_refused, assert_tidy};

/// Part of `analyzer/src` and the parts it may name, besides itself. The longest matching path decides. A part that is
/// not here is refused: a new one says where it stands in the flow before it is merged.
const LAYERS: &[(&str, &[&str])] = &[
    ("counted", &[]),
    ("escape", &[]),
    ("sorted", &[]),
    ("findings", &["sorted"]),
    ("tape", &["counted", "findings"]),
    // Other tools' recordings become the rows that a tape is written of.
    ("import", &[]),
    ("identity", &["findings", "tape"]),
    ("flow", &["findings", "sorted", "tape", "identity"]),
    // What everything about policies builds on knows nothing of tapes, time or evidence.
    ("policy", &["sorted"]),
    ("semantics", &["findings", "policy"]),
    ("parse", &["findings", "policy"]),
    ("synthesis", &["counted", "findings", "identity", "flow", "policy"]),
    ("replay", &["sorted", "identity", "flow", "policy", "semantics"]),
    // What somebody accepted of a diff or of denials.
    ("baseline", &["findings", "flow", "policy"]),
    (
        "diff",
        &[
            "baseline",
            "counted",
            "findings",
            "identity",
            "flow",
            "policy",
            "semantics",
            "replay",
        ],
    ),
    (
        "verify",
        &[
            "baseline",
            "findings",
            "identity",
            "flow",
            "policy",
            "semantics",
            "replay",
        ],
    ),
    (
        "explain",
        &["identity", "flow", "policy", "semantics", "replay", "synthesis"],
    ),
    (
        "enforcer",
        &["identity", "flow", "policy", "semantics", "replay", "synthesis"],
    ),
    (
        "json",
        &[
            "escape",
            "findings",
            "tape",
            "identity",
            "flow",
            "policy",
            "semantics",
            "replay",
            "synthesis",
            "baseline",
            "diff",
            "verify",
            "explain",
            "enforcer",
        ],
    ),
    ("frame", &["findings", "tape", "identity", "flow", "json"]),
    ("query", &["frame"]),
    (
        "render",
        &[
            "counted",
            "escape",
            "sorted",
            "findings",
            "tape",
            "identity",
            "flow",
            "policy",
            "semantics",
            "replay",
            "synthesis",
            "baseline",
            "diff",
            "verify",
            "explain",
            "enforcer",
            "json",
            "frame",
        ],
    ),
    // Existing manifests are read, edited line by line, and read again.
    ("merge", &["counted", "policy", "parse", "render"]),
    (
        "cli",
        &[
            "counted",
            "escape",
            "findings",
            "tape",
            "identity",
            "import",
            "flow",
            "policy",
            "semantics",
            "parse",
            "synthesis",
            "replay",
            "baseline",
            "diff",
            "verify",
            "explain",
            "enforcer",
            "json",
            "frame",
            "query",
            "render",
            "merge",
        ],
    ),
    ("main", &["cli"]),
];

/// The parts of the analyzer that a file names without being allowed to.
fn one_way(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let Some(place) = file
            .path
            .strip_prefix("analyzer/src/")
            .and_then(|path| path.strip_suffix(".rs"))
        else {
            continue;
        };
        // The crate's root only lists its modules; files of unit tests may look anywhere.
        if place == "lib" || file.name() == "tests.rs" {
            continue;
        }
        let own = place.split('/').next().unwrap_or(place);
        let Some(allowed) = allowed_at(place) else {
            complaints.push(format!(
                "{}: `{own}` has no place in the flow; give it one in `LAYERS` of analyzer/tests/tidy/layers.rs",
                file.path
            ));
            continue;
        };
        for reference in references(&tokens(file).unwrap_or_default()) {
            if let Some(named) = part_named(place, &reference.parts)
                && named != own
                && LAYERS.iter().any(|(part, _)| *part == named)
                && !allowed.contains(&named.as_str())
            {
                let line = reference.line;
                complaints.push(format!("{}:{line}: `{place}` may not know `{named}`", file.path));
            }
        }
    }
    complaints
}

/// What the file at `place` may name; `None` where it stands nowhere in the flow.
fn allowed_at(place: &str) -> Option<&'static [&'static str]> {
    LAYERS
        .iter()
        .filter(|(part, _)| place == *part || place.starts_with(&format!("{part}/")))
        .max_by_key(|(part, _)| part.len())
        .map(|(_, allowed)| *allowed)
}

/// The top-level module that a path leads to, seen from the file at `place`; `None` if it stays below the file's own.
fn part_named(place: &str, parts: &[String]) -> Option<String> {
    match parts[0].as_str() {
        "crate" | "flowtape" => Some(parts[1].clone()),
        "super" => {
            let ups = parts.iter().take_while(|part| *part == "super").count();
            let depth = place.trim_end_matches("/mod").split('/').count();
            (ups >= depth).then(|| parts.get(ups).cloned()).flatten()
        }
        _ => None,
    }
}

#[test]
fn data_flows_one_way() {
    assert_tidy(&one_way(&project()));
}

#[test]
fn an_import_against_the_flow_is_refused() {
    assert_refused(
        one_way,
        &[("analyzer/src/flow/edge.rs", "use crate::policy::model::Rule;")],
        "may not know `policy`",
    );
    assert_refused(
        one_way,
        &[("analyzer/src/flow/edge.rs", "use super::super::render::text;")],
        "may not know `render`",
    );
    assert_refused(
        one_way,
        &[("analyzer/src/flow/mod.rs", "fn f() { super::cli::run() }")],
        "may not know `cli`",
    );
    assert_refused(
        one_way,
        &[("analyzer/src/semantics/eval.rs", "use crate::{policy, flow::Edge};")],
        "`flow`",
    );
    assert_refused(
        one_way,
        &[("analyzer/src/policy/model.rs", "use crate::flow::Edge;")],
        "`policy/model`",
    );
    assert_refused(
        one_way,
        &[("analyzer/src/extra.rs", "")],
        "`extra` has no place in the flow",
    );
}

#[test]
fn an_import_with_the_flow_is_accepted() {
    assert_accepted(
        one_way,
        &[(
            "analyzer/src/flow/edge.rs",
            "use crate::identity::Peer; use super::evidence::Evidence;",
        )],
    );
    assert_accepted(one_way, &[("analyzer/src/synthesis/mod.rs", "use crate::flow::Edge;")]);
    assert_accepted(one_way, &[("analyzer/src/main.rs", "use flowtape::cli::run;")]);
    assert_accepted(one_way, &[("analyzer/src/flow/tests.rs", "use crate::render::text;")]);
}
