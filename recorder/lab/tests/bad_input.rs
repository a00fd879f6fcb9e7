//! What is no scenario, given to the program. Touches nothing of the machine.

use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowtape-lab");

#[test]
fn what_is_no_scenario_is_named_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.scenario");
    std::fs::write(&file, "cluster\nnod n1\n").unwrap();
    let output = Command::new(PROGRAM)
        .arg("run")
        .arg(&file)
        .arg("-o")
        .arg(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("line 2, column 1: expected `node`"), "{said}");
}
