//! A recording and its metadata in two directories are one tape, also as one side of a diff.
#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps nothing has failed, and says where"
)]

use std::path::Path;
use std::process::Command;

use flowtape_scenario::{Scenario, tape};
use flowtape_schemas::manifest::{MANIFEST_FILE, Manifest};

const SCENARIO: &str = include_str!("../../testdata/scenarios/dvwa.scenario");

/// Writes the files of the tape for which `keep` holds, with a manifest that lists those.
fn write_part(directory: &Path, files: &[(String, Vec<u8>)], keep: impl Fn(&str) -> bool, nodes: bool) {
    let (_, text) = files.iter().find(|(path, _)| path == MANIFEST_FILE).unwrap();
    let mut manifest = Manifest::parse(text).unwrap();
    manifest.files.retain(|entry| keep(&entry.path));
    if nodes {
        manifest.cluster = None;
    } else {
        manifest.nodes.clear();
        manifest.window = None;
        manifest.tape_id.push_str("-metadata");
    }
    let mut kept: Vec<(String, Vec<u8>)> = files.iter().filter(|(path, _)| keep(path)).cloned().collect();
    kept.push((MANIFEST_FILE.to_owned(), manifest.render().unwrap().into_bytes()));
    tape::write(directory, &kept).unwrap();
}

#[test]
fn a_recording_and_its_metadata_are_one_side() {
    let directory = tempfile::tempdir().unwrap();
    let files = tape::compile(&Scenario::parse(SCENARIO).unwrap()).unwrap();
    tape::write(&directory.path().join("whole"), &files).unwrap();
    write_part(
        &directory.path().join("recording"),
        &files,
        |path| path.starts_with("node="),
        true,
    );
    write_part(
        &directory.path().join("metadata"),
        &files,
        |path| path.starts_with("cluster/"),
        false,
    );
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_flowtape"))
            .args(arguments)
            .current_dir(directory.path())
            .output();
        let output = output.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let same = (0, "0 added, 0 removed, 0 widened, 0 narrowed, 0 undecided\n".to_owned());
    assert_eq!(run(&["diff", "whole", "recording,metadata"]), same);
    assert_eq!(run(&["diff", "tape:recording,metadata", "whole"]), same);
    let (code, together) = run(&["generate", "recording", "metadata"]);
    assert_eq!((code, together), run(&["generate", "whole"]));
    // Without its metadata, a recording has no identities, and nothing it shows is called decided.
    let (code, alone) = run(&["diff", "whole", "recording"]);
    assert_eq!(code, 1);
    assert!(!alone.ends_with(" 0 undecided\n"), "{alone}");
}
