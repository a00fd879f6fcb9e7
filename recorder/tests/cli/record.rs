//! What `flowtape-recorder record` refuses before it records anything. What it records is tested live.

use std::fs;
use std::path::Path;

use crate::run::{names, run, run_as_nobody};

#[test]
fn without_privileges_it_says_what_is_missing_and_touches_nothing() {
    let home = tempfile::tempdir().unwrap();
    let tape = home.path().join("tape").display().to_string();
    let Some(ran) = run_as_nobody(&["record", "--duration", "1s", "-o", &tape]) else {
        return;
    };
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
    for part in [
        "error: cannot record here",
        "CAP_BPF is not held",
        "CAP_PERFMON is not held",
        "-> run as root",
        "caused by: ",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert!(!Path::new(&tape).exists());
}

#[test]
fn a_directory_that_is_not_empty_is_refused_before_anything_else() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().display().to_string();
    fs::write(home.path().join("thesis.tex"), "years of work").unwrap();
    let refused = run(&["record", "--duration", "1s", "-o", &path]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
    let forced = run(&["record", "--duration", "1s", "-o", &path, "--force"]);
    assert_eq!(forced.code, Some(2));
    assert!(
        forced.stderr.contains("`thesis.tex`, which is no part of a tape"),
        "{}",
        forced.stderr
    );
    assert_eq!(names(home.path()), ["thesis.tex"]);
}

#[test]
fn a_node_name_that_leaves_the_tape_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let tape = home.path().join("tape").display().to_string();
    for name in ["../../etc", "a/b", "", "UPPER"] {
        let ran = run(&["record", "--duration", "1s", "-o", &tape, "--node", name]);
        assert_eq!(ran.code, Some(2), "{name}");
        assert!(ran.stderr.contains("is no name of a node"), "{name}: {}", ran.stderr);
        assert!(!Path::new(&tape).exists(), "{name}");
    }
}
