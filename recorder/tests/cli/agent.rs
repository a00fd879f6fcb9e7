//! `agent` and what is executed beside it, as a container of the cluster runs them. The verb that records is `metadata`,
//! which needs no privileges.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::{recorder, run};

/// An agent that dies with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn agent(directory: &Path, verb: &[&str]) -> Agent {
    let mut command = recorder();
    command
        .args(["agent", "--linger", "1s", "-o"])
        .arg(directory)
        .arg("--")
        .args(verb);
    Agent(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_true() {
        assert!(Instant::now() < deadline, "still waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn terminate(agent: &Agent) {
    let killed = Command::new("kill").arg(agent.0.id().to_string()).status().unwrap();
    assert!(killed.success());
}

#[test]
fn a_recording_that_ended_stays_until_it_is_collected() {
    let home = tempfile::tempdir().unwrap();
    let (input, directory) = (home.path().join("cluster.json"), home.path().join("tape"));
    fs::write(&input, r#"{"kind":"List","apiVersion":"v1","items":[]}"#).unwrap();
    let text = directory.to_str().unwrap();
    let mut agent = agent(&directory, &["metadata", "--from", input.to_str().unwrap()]);
    wait_for("the end", || run(&["status", text]).code == Some(0));
    let stopped = run(&["stop", text]);
    assert_eq!(stopped.code, Some(0));
    assert!(stopped.stdout.starts_with("wrote no rows into"), "{}", stopped.stdout);
    assert!(directory.join("recording-000001/manifest.json").exists());
    assert!(
        agent.0.try_wait().unwrap().is_none(),
        "it went before anybody collected"
    );

    let to = home.path().join("collected");
    let mut sender = recorder()
        .args(["send", text])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut from, mut back) = (sender.stdout.take().unwrap(), sender.stdin.take().unwrap());
    let received = flowtape_recorder::transfer::receive(&to, &mut from, &mut back, &mut |_, _| {}).unwrap();
    assert_eq!(received.files, 9);
    assert!(sender.wait().unwrap().success());
    terminate(&agent);
    assert!(agent.0.wait().unwrap().success());
}

#[test]
fn what_cannot_begin_ends_with_its_reason_and_is_not_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let mut agent = agent(home.path(), &["metadata", "--from", "/nonexistent/cluster.json"]);
    assert_eq!(agent.0.wait().unwrap().code(), Some(2));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut agent.0.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("cannot read `/nonexistent/cluster.json`"), "{said}");
    assert_eq!(run(&["status", home.path().to_str().unwrap()]).code, Some(1));
}

#[test]
fn a_recorder_that_dies_is_followed_by_another() {
    let home = tempfile::tempdir().unwrap();
    // It waits for its input, so there is somebody to kill.
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let directory = home.path().join("tape");
    let agent = agent(&directory, &["metadata", "--from", pipe.to_str().unwrap()]);
    let children = format!("/proc/{0}/task/{0}/children", agent.0.id());
    let child = || fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
    wait_for("a recorder", || !child().is_empty());
    let first = child();
    assert!(Command::new("kill").args(["-9", &first]).status().unwrap().success());
    wait_for("another recorder", || !child().is_empty() && child() != first);
    fs::OpenOptions::new()
        .write(true)
        .open(&pipe)
        .unwrap()
        .write_all(br#"{"kind":"List","apiVersion":"v1","items":[]}"#)
        .unwrap();
    let stopped = run(&["stop", directory.to_str().unwrap()]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
}

#[test]
fn nobody_waits_for_ever() {
    let home = tempfile::tempdir().unwrap();
    let stopped = run(&["stop", home.path().to_str().unwrap(), "--timeout", "200ms"]);
    assert_eq!(stopped.code, Some(2));
    assert!(
        stopped.stderr.contains("did not end within 200ms"),
        "{}",
        stopped.stderr
    );
}
