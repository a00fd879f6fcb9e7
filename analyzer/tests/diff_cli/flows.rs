//! `flowtape flows`.

use crate::{Lab, SYNTHETIC};

const TRAFFIC: &str = "
  shop/web -> service shop/db:5432/TCP x3 at 1s..9s
  shop/web -> pod shop/api:7000/TCP refused at 4s
  ops/job -> external 203.0.113.7:443/TCP at 5s
  shop/web -> service shop/old:80/TCP timeout at 7s
  node n1 -> pod shop/web:80/TCP at 8s
  ops/job -> pod shop/api:8080/TCP predates
";

#[test]
fn edges_are_listed_with_their_evidence() {
    let lab = Lab::new();
    lab.traffic("tape", TRAFFIC);
    let findings = format!(
        "warning[FT3002]: Service shop/old:80 had no backends
  such as 10.244.1.2 -> 10.96.0.21 80/TCP, timeout x1, client's side, node `n1`, 2026-01-01T00:00:07Z
info[FT1009]: {SYNTHETIC}
hint: `flowtape explain FT3002` says what it means and what to do
peers of 6 edges: none unknown or ambiguous

"
    );
    lab.run("flows tape").is(
        0,
        "
FROM                 TO                   PORT      SERVICE       OUTCOME                         COUNT  SEEN BY        FIRST                 LAST
ops/Deployment/job   shop/Deployment/api  8080/TCP                established, before the window      0  client,server  2026-01-01T00:00:00Z  2026-01-01T00:00:00Z
ops/Deployment/job   203.0.113.7          443/TCP                 established                         1  client         2026-01-01T00:00:05Z  2026-01-01T00:00:05Z
shop/Deployment/web  shop/Deployment/api  7000/TCP                refused                             1  client         2026-01-01T00:00:04Z  2026-01-01T00:00:04Z
shop/Deployment/web  shop/Deployment/db   5432/TCP  shop/db:5432  established                         3  client,server  2026-01-01T00:00:01Z  2026-01-01T00:00:09Z
shop/Deployment/web  shop/Service/old     80/TCP    shop/old:80   timeout                             1  client         2026-01-01T00:00:07Z  2026-01-01T00:00:07Z
node:n1 [own-node]   shop/Deployment/web  80/TCP                  established                         1  client,server  2026-01-01T00:00:08Z  2026-01-01T00:00:08Z
",
        &findings,
    );
    lab.run("flows tape -n ops").is(
        0,
        "
FROM                TO                   PORT      SERVICE  OUTCOME                         COUNT  SEEN BY        FIRST                 LAST
ops/Deployment/job  shop/Deployment/api  8080/TCP           established, before the window      0  client,server  2026-01-01T00:00:00Z  2026-01-01T00:00:00Z
ops/Deployment/job  203.0.113.7          443/TCP            established                         1  client         2026-01-01T00:00:05Z  2026-01-01T00:00:05Z
",
        &findings,
    );
}

#[test]
fn a_namespace_keeps_edges_with_either_end_in_it() {
    let lab = Lab::new();
    lab.traffic("tape", TRAFFIC);
    let edges = |words: &str| lab.run(words).json()["edges"].as_array().unwrap().len();
    assert_eq!(edges("flows tape --format json"), 6);
    assert_eq!(edges("flows tape --format json -n shop"), 5);
    assert_eq!(edges("flows tape --format json -n shop -n ops"), 6);
    assert_eq!(edges("flows tape --format json -n nowhere"), 0);
}

/// Everything `flows --format json` prints of one connection that both sides saw.
const DOCUMENT: &str = r#"{
  "schema": "flowtape.flows/v1",
  "tool": {
    "version": "0.1.0"
  },
  "inputs": [
    {
      "kind": "tape",
      "id": "ID"
    }
  ],
  "health": {
    "complete": true,
    "reasons": []
  },
  "shares": [
    {
      "edges": {
        "total": 1,
        "unknown": 0,
        "ambiguous": 0,
        "supposed": 0
      },
      "operations": {
        "total": 3,
        "unknown": 0,
        "ambiguous": 0,
        "supposed": 0
      }
    }
  ],
  "findings": [
    {
      "code": "FT1009",
      "severity": "info",
      "count": 5,
      "message": "rows were written by hand or made from a scenario, and not observed",
      "samples": [
        {
          "node": "n1",
          "direction": "out",
          "protocol": "TCP",
          "local_ip": "10.244.1.2",
          "remote_ip": "10.96.0.20",
          "port": 5432,
          "outcome": "established",
          "count": 3,
          "first_seen": "2026-01-01T00:00:01.000000000Z",
          "last_seen": "2026-01-01T00:00:09.000000000Z"
        },
        {
          "node": "n2",
          "direction": "in",
          "protocol": "TCP",
          "local_ip": "10.244.2.2",
          "remote_ip": "10.244.1.2",
          "port": 5432,
          "outcome": "established",
          "count": 3,
          "first_seen": "2026-01-01T00:00:01.000000000Z",
          "last_seen": "2026-01-01T00:00:09.000000000Z"
        }
      ]
    }
  ],
  "edges": [
    {
      "id": "EDGE",
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
        "name": "db",
        "host_network": false
      },
      "protocol": "TCP",
      "port": 5432,
      "port_name": "sql",
      "service": {
        "namespace": "shop",
        "name": "db",
        "port": 5432
      },
      "services": [
        {
          "namespace": "shop",
          "name": "db",
          "port": 5432
        }
      ],
      "node_ports": [],
      "translated": [],
      "outcome": "established",
      "count": 3,
      "first_seen": "2026-01-01T00:00:01.000000000Z",
      "last_seen": "2026-01-01T00:00:09.000000000Z",
      "seen_by": [
        "client",
        "server"
      ],
      "predates_window": false,
      "assumed": false
    }
  ]
}
"#;

#[test]
fn the_document_is_whole() {
    let lab = Lab::new();
    lab.traffic("tape", "shop/web -> service shop/db:5432/TCP x3 at 1s..9s");
    let run = lab.run("flows tape --format json");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let id = run.json()["inputs"][0]["id"].as_str().unwrap().to_owned();
    let edge = run.json()["edges"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(run.stdout, DOCUMENT.replace("EDGE", &edge).replace("ID", &id));
}

#[test]
fn a_path_that_is_no_tape_is_bad_input() {
    let lab = Lab::new();
    lab.write("empty/notes.txt", "");
    for words in ["flows missing", "flows empty", "flows"] {
        let run = lab.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{words}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: "), "{words}: {}", run.stderr);
    }
}
