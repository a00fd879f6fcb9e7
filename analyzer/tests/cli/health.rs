//! Loss is data: what a recording missed reaches every report, and a recording that missed something is not complete.

use flowtape_schemas::manifest::HookReport;
use flowtape_schemas::node::{ClockRow, Counter, Hook, StatsRow};
use flowtape_schemas::parquet::encode_file;
use flowtape_schemas::time::Time;
use serde_json::Value;

use crate::support::{Scratch, Shown, committed, replace, with_manifest};

const CLUSTER: &str = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  node n2 172.31.0.12 pods 10.244.2.0/24
  deployment shop/web on n1 labels app=web
  deployment shop/db on n2 labels app=db
";

/// Health of a scenario's tape: whether it is complete, the reasons, and `CODE COUNT MESSAGE` of the findings about the
/// tape itself, other than that its rows are synthetic.
fn judged(scratch: &Scratch, arguments: &str) -> (bool, Vec<String>, Vec<String>) {
    let Shown { code, stdout, stderr } = scratch.run(&format!("inspect {arguments} --format json"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let reasons = document["health"]["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    let finding = |value: &Value| {
        format!(
            "{} {} {}",
            text(&value["code"]),
            value["count"],
            text(&value["message"])
        )
    };
    let findings = document["findings"].as_array().unwrap().iter().map(finding);
    (
        document["health"]["complete"].as_bool().unwrap(),
        reasons,
        findings
            .filter(|finding| finding.starts_with("FT1") && !finding.starts_with("FT1009"))
            .collect(),
    )
}

fn judged_scenario(cluster: &str, traffic: &str) -> (bool, Vec<String>, Vec<String>) {
    let scratch = Scratch::new();
    scratch.scenario(
        "tape",
        &format!("{cluster}traffic\n  shop/web -> shop/db:5432/TCP\n{traffic}"),
    );
    judged(&scratch, "tape")
}

#[test]
fn a_whole_recording_is_complete() {
    assert_eq!(judged_scenario(CLUSTER, ""), (true, vec![], vec![]));
}

#[test]
fn lost_edges_make_it_incomplete_and_lost_events_do_not() {
    let lost = "  lost n1 inet_sock_set_state edges-lost 5 at 2s\n  lost n1 inet_sock_set_state edges-lost 2 at 12s\n";
    let message = "operations were lost on node `n1` (`edges_lost` of hook `tp_btf/inet_sock_set_state`)";
    assert_eq!(
        judged_scenario(CLUSTER, lost),
        (false, vec![message.to_owned()], vec![format!("FT1003 7 {message}")])
    );
    let lost = "  lost n2 inet_sock_set_state ring-full 9\n";
    let message = "samples are missing on node `n2` (`ring_full` of hook `tp_btf/inet_sock_set_state`)";
    assert_eq!(
        judged_scenario(CLUSTER, lost),
        (true, vec![], vec![format!("FT1004 9 {message}")])
    );
}

#[test]
fn control_groups_without_a_name_make_it_incomplete() {
    let lost = "  lost n1 cgroup_mkdir unnamed 3\n";
    let message = "control groups were gone before their names were known on node `n1`";
    assert_eq!(
        judged_scenario(CLUSTER, lost),
        (false, vec![message.to_owned()], vec![format!("FT1016 3 {message}")])
    );
}

#[test]
fn samples_beyond_the_share_of_a_talk_are_not_missing() {
    assert_eq!(
        judged_scenario(CLUSTER, "  lost n2 sendmsg4 stepped-down 9\n"),
        (true, vec![], vec![])
    );
}

/// What is said of a recording whose only node reports these hooks.
fn judged_hooks(hooks: &[(&str, &str)]) -> (bool, Vec<String>, Vec<String>) {
    let mut files = committed("dvwa");
    with_manifest(&mut files, |manifest| {
        manifest.nodes[0].hooks = hooks
            .iter()
            .map(|(hook, state)| HookReport {
                hook: (*hook).to_owned(),
                state: serde_json::from_value(Value::String((*state).to_owned())).unwrap(),
                reason: None,
            })
            .collect();
    });
    let scratch = Scratch::new();
    scratch.files("tape", &files);
    judged(&scratch, "tape")
}

#[test]
fn a_recording_without_datagrams_is_not_complete_and_says_that_names_are_missing() {
    let without = "UDP, and with it name resolution, was not recorded as a whole on node `n1`:";
    let passive = [
        ("tp_btf/inet_sock_set_state", "attached"),
        ("tp_btf/sock_send_length", "attached"),
        ("cgroup/sendmsg4", "not-asked-for"),
        ("cgroup/recvmsg4", "not-asked-for"),
        ("cgroup/sock_create", "not-asked-for"),
    ];
    let message = format!("{without} it was not asked for");
    assert_eq!(
        judged_hooks(&passive),
        (false, vec![message.clone()], vec![format!("FT1012 1 {message}")])
    );
    let message = format!("{without} no hook that sees datagrams was attached");
    assert_eq!(
        judged_hooks(&[("tp_btf/inet_sock_set_state", "attached")]),
        (false, vec![message.clone()], vec![format!("FT1012 1 {message}")])
    );
    let whole = [
        ("tp_btf/inet_sock_set_state", "attached"),
        ("cgroup/sendmsg4", "attached"),
        ("cgroup/recvmsg4", "attached"),
    ];
    assert_eq!(judged_hooks(&whole), (true, vec![], vec![]));
}

#[test]
fn a_hook_that_sees_no_edge_leaves_a_recording_complete_and_any_other_does_not() {
    let hooks = |hook| [("cgroup/sendmsg4", "attached"), (hook, "unavailable")];
    let (complete, reasons, findings) = judged_hooks(&hooks("cgroup/sock_create"));
    let message = "hook `cgroup/sock_create` was not available on node `n1`";
    assert_eq!((complete, reasons), (true, vec![]));
    assert_eq!(findings, [format!("FT1008 1 {message}")]);
    let (complete, reasons, _) = judged_hooks(&hooks("iter/task_file"));
    assert_eq!((complete, reasons.len()), (false, 1));
}

#[test]
fn listeners_without_a_port_and_looks_that_failed_are_told() {
    let row = |hook, counter, value| StatsRow {
        interval_start: Time(1_767_225_600_000_000_000),
        interval_end: Time(1_767_225_601_500_000_000),
        hook,
        counter,
        value,
    };
    let told = |rows: &[StatsRow]| {
        let mut files = committed("dvwa");
        let content = encode_file(rows).unwrap();
        replace(&mut files, "node=n1/stats-000001.parquet", rows.len() as u64, content);
        let scratch = Scratch::new();
        judged(scratch.files("tape", &files), "tape")
    };
    let folded = [
        row(Hook::PostBind4, Counter::Folded, 400),
        row(Hook::PostBind6, Counter::Folded, 44),
    ];
    let (complete, _, findings) = told(&folded);
    assert!(complete, "every edge is there");
    let message = "listeners are counted without their port on node `n1`";
    assert_eq!(findings, [format!("FT1030 444 {message}")]);
    let blind = [row(Hook::TaskFile, Counter::BlindNanos, 1_500_000_000)];
    let (complete, reasons, findings) = told(&blind);
    let message = "hook `iter/task_file` was blind for 1.500 s on node `n1`";
    assert_eq!((complete, reasons), (false, vec![message.to_owned()]));
    assert_eq!(findings, [format!("FT1003 1 {message}")]);
}

#[test]
fn a_clock_that_was_set_is_told() {
    let second = 1_000_000_000;
    let start = 1_767_225_600 * second;
    let sample = |boot: i64, wall: i64| ClockRow {
        boot_nanos: (boot * second).unsigned_abs(),
        wall_time: Time(start + wall * second),
    };
    let told = |samples: &[ClockRow]| {
        let mut files = committed("dvwa");
        let content = encode_file(samples).unwrap();
        replace(
            &mut files,
            "node=n1/clock-000001.parquet",
            samples.len() as u64,
            content,
        );
        let scratch = Scratch::new();
        judged(scratch.files("tape", &files), "tape")
    };
    let (complete, _, findings) = told(&[sample(100, 0), sample(160, 60), sample(220, 3_720), sample(280, 180)]);
    assert!(complete, "no row is missing for it");
    assert_eq!(
        findings,
        [
            "FT1014 1 the clock of node `n1` was set back by 3600.000 s some time after 2026-01-01T01:02:00.000000000Z",
            "FT1014 1 the clock of node `n1` was set forward by 3600.000 s some time after 2026-01-01T00:01:00.000000000Z",
        ]
    );
    assert_eq!(told(&[sample(100, 0), sample(160, 60)]).2, Vec::<String>::new());
}

#[test]
fn what_the_recorder_notes_is_told() {
    let mut files = committed("dvwa");
    with_manifest(&mut files, |manifest| {
        manifest.nodes[0].notes = vec!["the window ended early: there was no room for more".to_owned()];
    });
    let scratch = Scratch::new();
    let (complete, _, findings) = judged(scratch.files("tape", &files), "tape");
    assert!(complete);
    assert_eq!(
        findings,
        ["FT1013 1 node `n1`: the window ended early: there was no room for more"]
    );
}

#[test]
fn what_only_the_manifest_knows_to_be_lost_counts() {
    let mut files = committed("dvwa");
    with_manifest(&mut files, |manifest| manifest.nodes[0].lost_edges = 3);
    let scratch = Scratch::new();
    let (complete, reasons, findings) = judged(scratch.files("tape", &files), "tape");
    let message = "operations were lost on node `n1` (manifest)";
    assert_eq!((complete, reasons), (false, vec![message.to_owned()]));
    assert_eq!(findings, [format!("FT1003 3 {message}")]);
}

#[test]
fn blind_time_makes_it_incomplete() {
    let (complete, reasons, _) = judged_scenario(CLUSTER, "  gap n1 5s..7500ms\n");
    assert!(!complete);
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("was blind for 2.500 s on node `n1`")),
        "{reasons:?}"
    );
}

#[test]
fn what_a_watch_of_the_cluster_missed_is_said() {
    let judged_with = |cluster: Value| {
        let mut files = committed("dvwa");
        with_manifest(&mut files, |manifest| {
            manifest.cluster = Some(serde_json::from_value(cluster).unwrap());
        });
        let scratch = Scratch::new();
        judged(scratch.files("tape", &files), "tape")
    };
    let gap = |caught_up: bool| serde_json::json!({"resource": "pods", "start": "2026-01-01T00:00:05Z", "end": "2026-01-01T00:00:09Z", "caught_up": caught_up, "reason": "503: away"});
    let message = "`pods` were not watched for a time; their changes were told afterwards";
    assert_eq!(
        judged_with(serde_json::json!({"source": "watch", "gaps": [gap(true)]})),
        (true, vec![], vec![format!("FT1015 1 {message}")])
    );
    let message = "`pods` were not watched for a time; what came and went then is unknown".to_owned();
    assert_eq!(
        judged_with(serde_json::json!({"source": "watch", "gaps": [gap(false), gap(false)]})),
        (false, vec![message.clone()], vec![format!("FT1015 2 {message}")])
    );
    let unread = serde_json::json!([{"resource": "jobs", "reason": "cannot list: 403: no"}]);
    let message = "metadata: `jobs` cannot list: 403: no".to_owned();
    assert_eq!(
        judged_with(serde_json::json!({"source": "watch", "unread": unread})),
        (false, vec![message.clone()], vec![format!("FT1015 1 {message}")])
    );
}

#[test]
fn an_unclean_stop_and_an_unrecorded_node_make_it_incomplete() {
    let (complete, reasons, findings) =
        judged_scenario(&CLUSTER.replace("pods 10.244.1.0/24", "pods 10.244.1.0/24 unclean"), "");
    let message = "the recorder of node `n1` did not stop cleanly";
    assert_eq!((complete, reasons), (false, vec![message.to_owned()]));
    assert_eq!(findings, [format!("FT1005 1 {message}")]);

    let (complete, reasons, findings) = judged_scenario(
        &CLUSTER.replace("pods 10.244.2.0/24", "pods 10.244.2.0/24 unrecorded"),
        "",
    );
    let message = "nobody recorded node `n2`";
    assert_eq!((complete, reasons), (false, vec![message.to_owned()]));
    assert_eq!(findings, [format!("FT1011 1 {message}")]);
}

#[test]
fn without_manifest_a_recording_is_read_and_incomplete() {
    let mut files = committed("dvwa");
    files.remove("manifest.json");
    files.retain(|path, _| path != "node=n2/flows-000001.parquet");
    let scratch = Scratch::new();
    scratch.files("tape", &files);
    let (complete, reasons, findings) = judged(&scratch, "tape");
    assert!(!complete);
    assert_eq!(
        reasons,
        [
            "node `n2` has no finished table `flows`",
            "the recording of `n1`, `n2` has no `manifest.json`: it did not end, or not cleanly"
        ]
    );
    assert!(
        findings.iter().all(|finding| finding.starts_with("FT1001")),
        "{findings:?}"
    );
}

#[test]
fn recording_and_metadata_in_two_directories_are_one_tape() {
    let scratch = Scratch::new();
    let whole = committed("dvwa");
    scratch.files("whole", &whole);
    for (name, of_cluster) in [("recording", false), ("metadata", true)] {
        let mut part = whole.clone();
        part.retain(|path, _| path == "manifest.json" || path.starts_with("cluster/") == of_cluster);
        with_manifest(&mut part, |manifest| {
            manifest
                .files
                .retain(|entry| entry.path.starts_with("cluster/") == of_cluster);
            if of_cluster {
                manifest.nodes.clear();
                manifest.window = None;
            } else {
                manifest.cluster = None;
            }
        });
        scratch.files(name, &part);
    }
    let expected = scratch.run("generate whole -n dvwa");
    assert_eq!(scratch.run("generate recording metadata -n dvwa"), expected);
    assert_eq!(scratch.run("generate metadata recording -n dvwa"), expected);

    let (complete, reasons, findings) = judged(&scratch, "recording");
    assert_eq!(
        (complete, reasons),
        (false, vec!["there is no metadata of the cluster".to_owned()])
    );
    assert_eq!(findings, ["FT1006 1 there is no metadata of the cluster"]);
    let (complete, reasons, findings) = judged(&scratch, "metadata");
    assert_eq!(
        (complete, reasons),
        (false, vec!["there is metadata only: no node was recorded".to_owned()])
    );
    assert_eq!(findings, ["FT1002 1 there is metadata only: no node was recorded"]);
}

#[test]
fn the_same_tape_given_twice_counts_once() {
    let scratch = Scratch::new();
    scratch
        .files("tape", &committed("dvwa"))
        .files("copy", &committed("dvwa"));
    for verb in ["inspect", "generate"] {
        let once = scratch.run(&format!("{verb} tape --format json"));
        assert_eq!(scratch.run(&format!("{verb} tape copy tape --format json")), once);
    }
}

#[test]
fn strict_ends_with_1_where_anything_is_worth_a_warning() {
    let scratch = Scratch::new();
    scratch.files("good", &committed("dvwa"));
    let mut files = committed("dvwa");
    with_manifest(&mut files, |manifest| manifest.nodes[0].lost_events = 3);
    scratch.files("samples", &files);
    assert_eq!(scratch.run("inspect good --strict").code, 0);
    assert_eq!(scratch.run("inspect samples").code, 0);
    assert_eq!(scratch.run("inspect samples --strict").code, 1);
    assert_eq!(
        scratch.run("inspect samples --strict").stdout,
        scratch.run("inspect samples").stdout
    );
}
