//! `flowtape-recorder check`: the answer is data, its exit code the verdict.

use serde_json::Value;

use crate::run::{run, run_as_nobody};

#[test]
fn text_and_json_agree_with_the_exit_code() {
    let text = run(&["check"]);
    let json = run(&["check", "--format", "json"]);
    assert_eq!((text.stderr.as_str(), json.stderr.as_str()), ("", ""));
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["schema"], "flowtape.check/v1");
    let ready = document["ready"].as_bool().unwrap();
    assert_eq!(
        (text.code, json.code),
        if ready { (Some(0), Some(0)) } else { (Some(1), Some(1)) }
    );
    let checks = document["checks"].as_array().unwrap();
    let blocked = checks.iter().any(|check| check["ok"] == "no");
    assert_eq!(ready, !blocked);
    for check in checks {
        let name = check["name"].as_str().unwrap();
        assert!(text.stdout.contains(name), "{name}: {}", text.stdout);
        assert_eq!(check["remedy"].is_null(), check["ok"] == "yes", "{check}");
    }
}

#[test]
fn without_privileges_each_missing_one_is_named_with_its_remedy() {
    let Some(ran) = run_as_nobody(&["check"]) else { return };
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for part in [
        "CAP_BPF is not held",
        "CAP_PERFMON is not held",
        "run as root",
        "recording does not work here",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}
