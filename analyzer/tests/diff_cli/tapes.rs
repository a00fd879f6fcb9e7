//! `flowtape diff` of two tapes.

use crate::{Lab, SYNTHETIC};

const BEFORE: &str = "
  shop/web -> service shop/db:5432/TCP x3 at 1s..9s
  shop/web -> pod shop/api:8080/TCP x2 at 1s..2s
  shop/web -> pod shop/api:9090/TCP at 3s
  shop/web -> pod shop/api:7000/TCP refused at 4s
  ops/job -> service shop/db:5432/TCP x3 at 1s..9s
";

const AFTER: &str = "
  shop/web -> service shop/db:5432/TCP x1 at 1s..9s
  shop/web -> pod shop/api:8080/TCP x2 at 1s..2s
  shop/web -> pod shop/api:8081/TCP at 3s
  shop/web -> pod shop/api:7001/TCP refused at 4s
  shop/api -> external 203.0.113.7:443/TCP at 5s
  address 10.244.1.77 -> shop/web:80/TCP at 6s
  node n1 -> pod shop/web:80/TCP at 8s
";

/// Two recordings that differ in every way that can be decided, and in one that cannot.
fn both() -> Lab {
    let lab = Lab::new();
    lab.traffic("before", BEFORE);
    lab.traffic("after", AFTER);
    lab
}

#[test]
fn every_class_has_its_line() {
    let findings = format!(
        "warning[FT2001]: after: unknown:10.244.1.77 (no-pod-at-time) -> shop/Deployment/web 80/TCP
  such as 10.244.1.77 -> 10.244.1.2 80/TCP, established x1, server's side, node `n1`, 2026-01-01T00:00:06Z
info[FT1009]: after: {SYNTHETIC}
info[FT1009]: before: {SYNTHETIC}
hint: `flowtape explain FT2001` says what it means and what to do
before: peers of 5 edges: none unknown or ambiguous
after: peers of 7 edges: 1 (14.3 %) unknown, 0 ambiguous; of 8 operations: 1 (12.5 %) unknown, 0 ambiguous

"
    );
    both().run("diff before after").is(
        1,
        "
+  added      shop/Deployment/api                   ->  203.0.113.7          TCP 443   seen only after
-  removed    ops/Deployment/job                    ->  shop/Deployment/db   TCP 5432  seen only before; its workloads are still there
~  widened    shop/Deployment/web                   ->  shop/Deployment/api  TCP 8081  seen only after
~  narrowed   shop/Deployment/web                   ->  shop/Deployment/api  TCP 9090  seen only before; its workloads are still there
?  undecided  unknown:10.244.1.77 (no-pod-at-time)  ->  shop/Deployment/web  TCP 80    seen only after, and a peer is not known

1 added, 1 removed, 1 widened, 1 narrowed, 1 undecided
",
        &findings,
    );
}

#[test]
fn exchanged_sides_mirror_the_text() {
    let stdout = both().run("diff after before").stdout;
    assert_eq!(
        stdout,
        "\
+  added      ops/Deployment/job                    ->  shop/Deployment/db   TCP 5432  seen only after
-  removed    shop/Deployment/api                   ->  203.0.113.7          TCP 443   seen only before; its workloads are still there
~  widened    shop/Deployment/web                   ->  shop/Deployment/api  TCP 9090  seen only after
~  narrowed   shop/Deployment/web                   ->  shop/Deployment/api  TCP 8081  seen only before; its workloads are still there
?  undecided  unknown:10.244.1.77 (no-pod-at-time)  ->  shop/Deployment/web  TCP 80    seen only before, and a peer is not known

1 added, 1 removed, 1 widened, 1 narrowed, 1 undecided
"
    );
}

#[test]
fn a_namespace_keeps_changes_with_either_end_in_it() {
    let run = both().run("diff before after -n ops");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (
            1,
            "-  removed  ops/Deployment/job  ->  shop/Deployment/db  TCP 5432  seen only before; its workloads are still there\n\n\
             0 added, 1 removed, 0 widened, 0 narrowed, 0 undecided\n"
        )
    );
    // What the other namespaces cannot identify is no doubt here.
    assert_eq!(both().run("diff after after -n ops").code, 0);
    assert_eq!(both().run("diff after after -n shop").code, 1);
}

#[test]
fn the_document_is_whole() {
    let lab = Lab::new();
    lab.traffic("before", "shop/web -> pod shop/api:8080/TCP at 1s");
    lab.traffic(
        "after",
        "shop/web -> pod shop/api:8080/TCP at 1s\nshop/web -> pod shop/api:8081/TCP at 1s\nshop/web -> pod shop/api:8082/TCP at 1s\naddress 10.244.1.77 -> shop/web:80/TCP at 6s",
    );
    let run = lab.run("diff before after --format json");
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    let document = run.json();
    assert_eq!(document["schema"], "flowtape.diff/v1");
    assert_eq!(document["inputs"].as_array().unwrap().len(), 2);
    let start = run.stdout.find("  \"changes\"").unwrap();
    assert_eq!(
        &run.stdout[start..],
        r#"  "changes": [
    {
      "class": "widened",
      "from": {
        "type": "workload",
        "namespace": "shop",
        "kind": "Deployment",
        "name": "web",
        "host_network": false
      },
      "to": {
        "type": "workload",
        "namespace": "shop",
        "kind": "Deployment",
        "name": "api",
        "host_network": false
      },
      "protocol": "TCP",
      "ports": "8081-8082",
      "side": "after",
      "reason": "not-seen",
      "cause": "not-exercised",
      "message": "shop/Deployment/web -> shop/Deployment/api TCP 8081-8082: seen only after"
    },
    {
      "class": "undecided",
      "from": {
        "type": "unknown",
        "ip": "10.244.1.77",
        "reason": "no-pod-at-time"
      },
      "to": {
        "type": "workload",
        "namespace": "shop",
        "kind": "Deployment",
        "name": "web",
        "host_network": false
      },
      "protocol": "TCP",
      "ports": "80",
      "side": "after",
      "reason": "unknown-peer",
      "message": "unknown:10.244.1.77 (no-pod-at-time) -> shop/Deployment/web TCP 80: seen only after, and a peer is not known"
    }
  ],
  "summary": {
    "added": 0,
    "removed": 0,
    "widened": 1,
    "narrowed": 0,
    "renamed": 0,
    "undecided": 1
  }
}
"#
    );
}

#[test]
fn who_cannot_be_identified_may_be_who_is_gone() {
    let lab = Lab::new();
    lab.traffic(
        "before",
        "shop/api -> shop/web:80/TCP at 1s\nshop/api -> shop/web:81/TCP at 1s",
    );
    lab.traffic("after", "address 10.244.1.77 -> shop/web:80/TCP at 6s");
    assert_eq!(
        lab.run("diff before after").stdout,
        "\
-  removed    shop/Deployment/api                   ->  shop/Deployment/web  TCP 81  seen only before; its workloads are still there
?  undecided  shop/Deployment/api                   ->  shop/Deployment/web  TCP 80  seen only before, and the other recording has it perhaps, from or to a peer it cannot identify
?  undecided  unknown:10.244.1.77 (no-pod-at-time)  ->  shop/Deployment/web  TCP 80  seen only after, and a peer is not known

0 added, 1 removed, 0 widened, 0 narrowed, 2 undecided
"
    );
}

#[test]
fn what_an_incomplete_recording_does_not_show_is_undecided() {
    let lab = Lab::new();
    lab.traffic("before", BEFORE);
    let killed = crate::CLUSTER.replace("pods 10.244.2.0/24", "pods 10.244.2.0/24 unclean");
    lab.tape(
        "after",
        &format!("{killed}shop/api -> external 203.0.113.7:443/TCP at 5s"),
    );
    let stdout = lab.run("diff before after -n ops").stdout;
    assert_eq!(
        stdout,
        "?  undecided  ops/Deployment/job  ->  shop/Deployment/db  TCP 5432  seen only before, and the other recording is incomplete\n\n\
         0 added, 0 removed, 0 widened, 0 narrowed, 1 undecided\n"
    );
    // What it does show is new, as far as the complete one can tell.
    let document = lab.run("diff before after --format json").json();
    assert_eq!(document["summary"]["added"], 1);
    assert_eq!(document["health"]["complete"], false);
    assert!(
        document["health"]["reasons"][0]
            .as_str()
            .unwrap()
            .starts_with("after: ")
    );
    let taken = lab.run("diff before after -n ops --allow-incomplete");
    assert!(
        taken.stdout.starts_with("-  removed  ops/Deployment/job"),
        "{}",
        taken.stdout
    );
}

#[test]
fn what_is_removed_says_why() {
    let lab = Lab::new();
    let traffic = "shop/web -> pod shop/api:8080/TCP at 1s\nops/job -> pod shop/api:8080/TCP at 1s\n";
    lab.traffic("before", traffic);
    let quiet = "shop/web -> pod shop/api:9090/TCP at 1s\n";
    lab.traffic("quiet", quiet);
    let gone = crate::CLUSTER.replace("  deployment ops/job on n1 labels app=job\n", "");
    lab.tape("gone", &format!("{gone}{quiet}"));
    let short = crate::CLUSTER.replace("window 30s", "window 20s");
    lab.tape("short", &format!("{short}{quiet}"));
    let killed = crate::CLUSTER.replace("pods 10.244.2.0/24", "pods 10.244.2.0/24 unclean");
    lab.tape("killed", &format!("{killed}{quiet}"));
    for (after, class, cause, message) in [
        (
            "quiet",
            "removed",
            "not-exercised",
            "seen only before; its workloads are still there",
        ),
        (
            "gone",
            "removed",
            "client-absent",
            "seen only before; ops/Deployment/job is gone",
        ),
        (
            "short",
            "removed",
            "shorter-window",
            "seen only before; the recording after was shorter",
        ),
        (
            "killed",
            "undecided",
            "",
            "seen only before, and the other recording is incomplete",
        ),
    ] {
        let document = lab.run(&format!("diff before {after} -n ops --format json")).json();
        let change = &document["changes"][0];
        assert_eq!(change["class"], class, "{after}: {document}");
        assert_eq!(change["cause"].as_str().unwrap_or_default(), cause, "{after}");
        let told = change["message"].as_str().unwrap();
        assert!(told.ends_with(&format!(": {message}")), "{after}: {told}");
    }
}
