//! `flowtape inspect --workload`: what single workloads did, with the ports they waited on and their processes.

use flowtape_schemas::node::{Direction, EventRow};
use flowtape_schemas::parquet::encode_file;
use serde_json::{Value, json};

use crate::support::{Scratch, Shown, committed, replace, rows};

/// The committed tape, with the names of processes in its samples.
fn with_processes() -> Scratch {
    let mut files = committed("dvwa");
    for node in ["n1", "n2"] {
        let path = format!("node={node}/events-000001.parquet");
        let mut events: Vec<EventRow> = rows(&files[&path]);
        for event in &mut events {
            event.process = match (event.direction, event.remote_port) {
                (Direction::Out, Some(53)) => Some("getent".to_owned()),
                (Direction::Out, _) => Some("apache2".to_owned()),
                // What the kernel does by itself has no process.
                (Direction::In | Direction::None | Direction::Unknown, _) => None,
            };
        }
        let content = encode_file(&events).unwrap();
        replace(&mut files, &path, events.len() as u64, content);
    }
    let scratch = Scratch::new();
    scratch.files("tape", &files);
    scratch
}

#[test]
fn a_workload_is_summarized() {
    let scratch = with_processes();
    let Shown { code, stdout, stderr } =
        scratch.run("inspect tape --workload dvwa/dvwa-web -w dvwa/Deployment/dvwa-mysql");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(
        stdout,
        "\
complete

dvwa/Deployment/dvwa-mysql
  seen       2026-01-01T00:00:01Z to 2026-01-01T00:00:20Z
  listens    3306/TCP
  processes  none
  ingress
    FROM                      PORT      OUTCOME      COUNT  FIRST                 LAST
    dvwa/Deployment/dvwa-web  3306/TCP  established     12  2026-01-01T00:00:01Z  2026-01-01T00:00:20Z
    dvwa/Deployment/dvwa-web  3307/TCP  refused          1  2026-01-01T00:00:04Z  2026-01-01T00:00:04Z
  egress     none

dvwa/Deployment/dvwa-web
  seen       2026-01-01T00:00:01Z to 2026-01-01T00:00:20Z
  listens    80/TCP
  processes  apache2 (13), getent (24)
  ingress
    FROM         PORT    OUTCOME      COUNT  FIRST                 LAST
    203.0.113.7  80/TCP  established      5  2026-01-01T00:00:02Z  2026-01-01T00:00:12Z
  egress
    TO                                    PORT      OUTCOME      COUNT  FIRST                 LAST
    dvwa/Deployment/dvwa-mysql            3306/TCP  established     12  2026-01-01T00:00:01Z  2026-01-01T00:00:20Z
    dvwa/Deployment/dvwa-mysql            3307/TCP  refused          1  2026-01-01T00:00:04Z  2026-01-01T00:00:04Z
    kube-system/Deployment/coredns [dns]  53/UDP    established     24  2026-01-01T00:00:01Z  2026-01-01T00:00:20Z
"
    );
}

#[test]
fn the_document_has_the_summary_of_every_workload() {
    let scratch = with_processes();
    let document = |arguments: &str| -> Value {
        let shown = scratch.run(&format!("inspect tape --format json {arguments}"));
        serde_json::from_str(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown.stderr))
    };
    let all = document("");
    let workloads = all["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), 3);
    let web = workloads
        .iter()
        .find(|one| one["workload"]["name"] == "dvwa-web")
        .unwrap();
    assert_eq!(
        (&web["serves"], &web["listens"]),
        (&json!(["80/TCP"]), &json!(["80/TCP"]))
    );
    assert_eq!(web["first_seen"], "2026-01-01T00:00:01.000000000Z");
    assert_eq!(web["last_seen"], "2026-01-01T00:00:20.000000000Z");
    let process = json!({
        "name": "getent",
        "samples": 24,
        "first_seen": "2026-01-01T00:00:01.000000000Z",
        "last_seen": "2026-01-01T00:00:20.000000000Z",
    });
    assert_eq!(web["processes"][1], process);
    let ingress = json!({
        "peer": {"type": "external", "cidr": "203.0.113.7/32", "names": []},
        "protocol": "TCP",
        "port": 80,
        "outcome": "established",
        "count": 5,
        "first_seen": "2026-01-01T00:00:02.000000000Z",
        "last_seen": "2026-01-01T00:00:12.000000000Z",
    });
    assert_eq!(web["ingress"], json!([ingress]));
    assert_eq!(web["egress"].as_array().unwrap().len(), 3);
    assert_eq!(document("-w dvwa/dvwa-web")["workloads"], json!([web]));
}

#[test]
fn a_workload_that_is_not_there_is_bad_usage() {
    let scratch = with_processes();
    let shown = scratch.run("inspect tape -w dvwa/web");
    assert_eq!((shown.code, shown.stdout.as_str()), (2, ""));
    assert!(
        shown
            .stderr
            .starts_with("error: no such workload is in the recording\n"),
        "{}",
        shown.stderr
    );
}
