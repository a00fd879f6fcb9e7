//! Which crate of the workspace may depend on which, and what every crate's settings share.

use crate::tree::{File, project};
use crate::{assert_accepted, assert_refused, assert_tidy};

/// Folder of a crate and the crates of ours it may ship with. What tests use is free, where it closes no circle.
const MAY_USE: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("recorder-ebpf", &[]),
    ("recorder", &["flowtape-schemas", "flowtape-recorder-ebpf"]),
    ("recorder/apiserver", &[]),
    ("recorder/lab", &["flowtape-scenario", "flowtape-schemas"]),
    ("analyzer", &["flowtape-schemas"]),
    ("analyzer/fuzz", &["flowtape", "flowtape-schemas"]),
    ("testdata", &["flowtape-schemas"]),
    ("benches", &["flowtape", "flowtape-scenario", "flowtape-schemas"]),
];

/// Dependencies between our crates that the layout does not allow, and crates without the workspace's lints.
fn crates(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.name() == "Cargo.toml") {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else {
            continue; // The workspace itself.
        };
        let text = file.text().unwrap_or_default();
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == folder) else {
            complaints.push(format!(
                "{}: an unknown crate; say in `MAY_USE` what it may use",
                file.path
            ));
            continue;
        };
        for used in shipped_dependencies(text).filter(|used| used.starts_with("flowtape") && !allowed.contains(used)) {
            complaints.push(format!("{}: `{folder}` may not depend on `{used}`", file.path));
        }
        if !text.contains("[lints]\nworkspace = true") {
            complaints.push(format!("{}: `[lints] workspace = true` is missing", file.path));
        }
    }
    complaints
}

/// The names in every section of dependencies but those of tests.
fn shipped_dependencies(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter_map(move |line| {
        if let Some(section) = line.trim().strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
            return None;
        }
        let name = line.split(['.', '=', ' ']).next()?.trim_matches('"');
        (inside && !name.is_empty() && !name.starts_with('#')).then_some(name)
    })
}

/// Settings of the workspace that a crate's own `clippy.toml` lost: Clippy reads one file only.
fn clippy_settings(files: &[File]) -> Vec<String> {
    let Some(base) = files
        .iter()
        .find(|file| file.path == "clippy.toml")
        .and_then(File::text)
    else {
        return vec!["`clippy.toml` is missing".to_owned()];
    };
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("/clippy.toml")) {
        let own = file.text().unwrap_or_default();
        for line in base
            .lines()
            .filter(|line| !line.trim().is_empty() && !own.lines().any(|other| other == *line))
        {
            complaints.push(format!("{}: lacks `{line}` of the workspace's file", file.path));
        }
    }
    complaints
}

#[test]
fn crates_depend_on_what_the_layout_allows() {
    assert_tidy(&crates(&project()));
}

#[test]
fn crates_keep_the_workspace_s_clippy_settings() {
    assert_tidy(&clippy_settings(&project()));
}

#[test]
fn a_dependency_against_the_layout_is_refused() {
    const LINTS: &str = "[lints]\nworkspace = true\n";
    let refused =
        |path: &str, text: &str, says: &str| assert_refused(crates, &[(path, &format!("{LINTS}{text}"))], says);
    refused(
        "analyzer/Cargo.toml",
        "[dependencies]\nflowtape-recorder.workspace = true",
        "`flowtape-recorder`",
    );
    refused(
        "schemas/Cargo.toml",
        "[target.'cfg(unix)'.dependencies]\nflowtape = { path = \"..\" }",
        "`flowtape`",
    );
    refused(
        "analyzer/Cargo.toml",
        "[build-dependencies]\nflowtape-lab = \"1\"",
        "`flowtape-lab`",
    );
    refused("extra/Cargo.toml", "", "unknown crate");
    assert_refused(crates, &[("schemas/Cargo.toml", "[lints]")], "is missing");
    let tests = format!("{LINTS}[dependencies]\nclap = \"4\"\n[dev-dependencies]\nflowtape-scenario.workspace = true");
    assert_accepted(crates, &[("analyzer/Cargo.toml", &tests)]);
}

#[test]
fn a_lost_clippy_setting_is_refused() {
    assert_refused(
        clippy_settings,
        &[("clippy.toml", "a = 1\nb = 2\n"), ("schemas/clippy.toml", "b = 2\n")],
        "lacks `a = 1`",
    );
    assert_refused(clippy_settings, &[], "is missing");
    assert_accepted(
        clippy_settings,
        &[
            ("clippy.toml", "a = 1\n"),
            ("schemas/clippy.toml", "# x\na = 1\nc = 3\n"),
        ],
    );
}
