//! The lab, live: what a scenario says is what a kernel does, and nothing of it stays.
#![expect(clippy::unwrap_used, reason = "a helper that cannot do its work has failed the test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use flowtape_lab::{Lab, leftovers, preflight};
use flowtape_scenario::Scenario;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowtape-lab");

/// A name, and what it checks by panicking.
type Case = (&'static str, fn());

const CASES: &[Case] = &[
    (
        "everything_becomes_what_the_scenario_says",
        everything_becomes_what_the_scenario_says,
    ),
    (
        "pods_are_where_the_objects_say_and_in_cgroups_as_kubelets_spell_them",
        pods_are_where_the_objects_say_and_in_cgroups_as_kubelets_spell_them,
    ),
    (
        "two_labs_of_the_same_addresses_do_not_meet",
        two_labs_of_the_same_addresses_do_not_meet,
    ),
    (
        "nothing_is_left_when_building_or_using_a_lab_fails",
        nothing_is_left_when_building_or_using_a_lab_fails,
    ),
    (
        "an_interrupted_lab_removes_itself_and_a_killed_one_is_cleaned_up",
        an_interrupted_lab_removes_itself_and_a_killed_one_is_cleaned_up,
    ),
    (
        "the_command_runs_during_the_traffic_and_is_asked_to_end",
        the_command_runs_during_the_traffic_and_is_asked_to_end,
    ),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |(name, _): &&Case| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let cases: Vec<&Case> = CASES.iter().filter(is_wanted).collect();
    let missing = preflight::missing();
    if !missing.is_empty() {
        let reason = preflight::explain(&missing).replace('\n', "; ");
        say(&format!("WARNING: no live test was run: {reason}"));
        say(&format!("live: 0 run, {} skipped ({reason})", cases.len()));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, case) in &cases {
        let passed = catch_unwind(case).is_ok();
        failed += u32::from(!passed);
        say(&format!(
            "live {name} ... {}",
            if passed { "ok" } else { "FAILED (above)" }
        ));
    }
    say(&format!("live: {} run, 0 skipped, {failed} failed", cases.len()));
    ExitCode::from(u8::from(failed > 0))
}

/// Says a line; nothing can be done about a closed stdout, and the exit code says the same.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn scenario_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testdata/scenarios/{name}.scenario"))
}

fn scenario(name: &str) -> Scenario {
    Scenario::parse(&std::fs::read_to_string(scenario_file(name)).unwrap()).unwrap()
}

fn build(scenario: &Scenario) -> Lab {
    Lab::build_with(scenario, Path::new(PROGRAM)).unwrap_or_else(|error| panic!("{error}"))
}

/// What is left of a lab: names of namespaces, and its cgroup.
fn left_of(id: &str) -> Vec<String> {
    let mut left = Vec::new();
    for directory in [PathBuf::from("/run/netns"), preflight::cgroup_root().unwrap()] {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.contains(&format!("-{id}")) {
                left.push(name);
            }
        }
    }
    left
}

/// Waits until something is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn everything_becomes_what_the_scenario_says() {
    for name in ["kinds", "dvwa", "dvwa-2"] {
        let mut lab = build(&scenario(name));
        lab.start_servers().unwrap();
        let report = lab.run_traffic().unwrap();
        assert!(report.ok(), "{name}:\n{report}");
        let id = lab.id().to_owned();
        assert!(!left_of(&id).is_empty());
        drop(lab);
        assert_eq!(left_of(&id), Vec::<String>::new());
    }
}

fn pods_are_where_the_objects_say_and_in_cgroups_as_kubelets_spell_them() {
    let lab = build(&scenario("dvwa"));
    let objects: serde_json::Value = serde_json::from_str(&lab.kubernetes_json()).unwrap();
    let pods = lab.pods().unwrap();
    assert_eq!(pods.len(), 4);
    for pod in &pods {
        let listed =
            objects["items"].as_array().unwrap().iter().any(|item| {
                item["metadata"]["uid"] == pod.uid.as_str() && item["spec"]["nodeName"] == pod.node.as_str()
            });
        assert!(listed, "{pod:?}");
        let members = std::fs::read_to_string(pod.cgroup.join("cgroup.procs")).unwrap();
        assert_eq!(members.lines().count(), 1, "{pod:?}");
        let path = pod
            .cgroup
            .strip_prefix(lab.node_cgroup(&pod.node))
            .unwrap()
            .display()
            .to_string();
        let (head, uid) = if pod.node == "n1" {
            ("kubepods/burstable/pod", pod.uid.clone())
        } else {
            (
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod",
                pod.uid.replace('-', "_"),
            )
        };
        assert!(path.starts_with(&format!("{head}{uid}")), "{path}");
    }
    let mut namespaces: Vec<u64> = pods.iter().map(|pod| pod.netns).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    assert_eq!(
        namespaces.len(),
        pods.len(),
        "each pod has a network namespace of its own"
    );
}

fn two_labs_of_the_same_addresses_do_not_meet() {
    let scenario = scenario("dvwa");
    let (mut one, mut two) = (build(&scenario), build(&scenario));
    one.start_servers().unwrap();
    two.start_servers().unwrap();
    assert!(one.run_traffic().unwrap().ok());
    drop(one);
    assert!(
        two.run_traffic().unwrap().ok(),
        "removing one lab leaves the other alone"
    );
}

fn nothing_is_left_when_building_or_using_a_lab_fails() {
    let scenario = scenario("dvwa");
    let before = leftovers::labs();
    let Err(error) = Lab::build_with(&scenario, Path::new("/bin/false")) else {
        panic!("an agent that ends at once is no agent");
    };
    assert!(error.to_string().contains("start the agent"), "{error}");
    let mut id = String::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let lab = build(&scenario);
        lab.id().clone_into(&mut id);
        panic!("a test fails");
    }));
    assert!(panicked.is_err());
    assert_eq!(left_of(&id), Vec::<String>::new());
    let own = format!("{}-", std::process::id());
    let new: Vec<_> = leftovers::labs()
        .difference(&before)
        .filter(|id| id.starts_with(&own))
        .cloned()
        .collect();
    // Labs of tests that run at the same time are not leftovers.
    eventually(&format!("{new:?} are removed"), || {
        new.iter().all(|id| left_of(id).is_empty())
    });
}

/// A lab as a program of its own, up and with its traffic not begun.
fn program(output: &Path) -> Child {
    let mut child = Command::new(PROGRAM)
        .arg("run")
        .arg(scenario_file("dvwa"))
        .arg("-o")
        .arg(output)
        .args(["--wait-for", "never", "--", "sh", "-c", "echo up >&2; exec sleep 25"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "up\n");
    child
}

fn an_interrupted_lab_removes_itself_and_a_killed_one_is_cleaned_up() {
    let output = tempfile::tempdir().unwrap();
    for (signal, code) in [("-INT", Some(130)), ("-KILL", None)] {
        let mut child = program(output.path());
        let prefix = format!("{}-", child.id());
        let of_child = || {
            leftovers::labs()
                .into_iter()
                .filter(|id| id.starts_with(&prefix))
                .collect::<Vec<_>>()
        };
        assert_eq!(of_child().len(), 1);
        assert!(output.path().join("cluster.json").is_file());
        assert!(
            Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(child.wait().unwrap().code(), code);
        if code.is_none() {
            assert_eq!(of_child().len(), 1, "nobody could remove it");
            let cleaned = leftovers::clean();
            assert!(cleaned.iter().any(|id| id.starts_with(&prefix)), "{cleaned:?}");
        }
        assert_eq!(of_child(), Vec::<String>::new());
    }
}

fn the_command_runs_during_the_traffic_and_is_asked_to_end() {
    let output = tempfile::tempdir().unwrap();
    let mark = output.path().join("ended");
    let script = format!(
        "trap 'touch {}; exit 0' TERM; echo ready >&2; while :; do sleep 0.05; done",
        mark.display()
    );
    let run = |script: &str| {
        let mut command = Command::new(PROGRAM);
        command
            .arg("run")
            .arg(scenario_file("dvwa"))
            .arg("-o")
            .arg(output.path());
        command
            .args(["--wait-for", "ready", "--", "sh", "-c", script])
            .output()
            .unwrap()
    };
    let ended = run(&script);
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(mark.is_file());
    let failed = run("trap 'exit 7' TERM; echo ready >&2; while :; do sleep 0.05; done");
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stdout).contains("the command ended with exit status: 7"));
}
