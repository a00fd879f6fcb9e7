//! Help teaches, and bad usage is told apart from bad input only by its text.

use crate::run::run;

#[test]
fn help_goes_to_stdout_and_has_examples_and_exit_codes() {
    let all = run(&["--help"]);
    assert_eq!((all.code, all.stderr.as_str()), (Some(0), ""));
    for part in ["record", "check", "metadata", "Exit codes:", "101", "130"] {
        assert!(all.stdout.contains(part), "{part}: {}", all.stdout);
    }
    for verb in ["record", "check", "metadata"] {
        let ran = run(&[verb, "--help"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(ran.stdout.contains("Examples:\n  "), "{}", ran.stdout);
        assert!(
            ran.stdout.contains(&format!("flowtape-recorder {verb}")),
            "{}",
            ran.stdout
        );
    }
}

/// Whoever copies an example of `metadata` gets no complaint about its arguments: what fails is the missing file.
#[test]
fn examples_are_accepted() {
    let help = run(&["metadata", "--help"]).stdout.replace("\\\n", "");
    let home = tempfile::tempdir().unwrap();
    let examples = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("flowtape-recorder "));
    let mut seen = 0;
    for example in examples {
        let arguments: Vec<&str> = example.split_whitespace().collect();
        let ran = crate::run::recorder()
            .args(&arguments)
            .current_dir(home.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{example}: {stderr}");
        assert!(stderr.contains("No such file"), "{example}: {stderr}");
        seen += 1;
    }
    assert!(seen >= 2, "{help}");
}

#[test]
fn bad_usage_is_exit_code_2_on_stderr() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["record"],
        &["record", "-o", "x", "--events", "some"],
        &["check", "--format", "xml"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
    }
}
