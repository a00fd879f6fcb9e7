//! What is not known is said in every report: how much of the recording it is, by which rows, and with `--strict` by the
//! exit code.

use serde_json::{Value, json};

use crate::support::{Scratch, Shown, committed};

/// A client nobody knows, one that may be either of two, and one that is known.
const DOUBTED: &str = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  node n2 172.31.0.12 pods 10.244.2.0/24 unrecorded
  deployment shop/client on n1 labels app=client
  deployment shop/db on n1 labels app=db ports 5432
  pod shop/old on n2 labels app=old ports 8080 address 10.244.2.50 from 0s to 5s
  pod shop/new on n2 labels app=new ports 8080 address 10.244.2.50 from 5s
traffic
  shop/client -> shop/db:5432/TCP x90 at 1s..9s
  shop/client -> address 10.244.2.77:8080/TCP x2 at 3s
  shop/client -> pod shop/old:8080/TCP x3 at 2s..4s
  shop/client -> pod shop/new:8080/TCP x5 at 6s..9s
";

fn document(shown: &Shown) -> Value {
    serde_json::from_str(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown.stdout))
}

#[test]
fn every_document_says_how_much_is_unknown() {
    let scratch = Scratch::new();
    scratch.scenario("tape", DOUBTED).files("known", &committed("dvwa"));
    std::fs::remove_file(scratch.path("tape/node=n1/events-000001.parquet")).unwrap();
    std::fs::remove_file(scratch.path("tape/manifest.json")).unwrap();
    let doubted = json!({
        "edges": {"total": 3, "unknown": 1, "ambiguous": 1, "supposed": 0},
        "operations": {"total": 100, "unknown": 2, "ambiguous": 8, "supposed": 0},
    });
    let known = json!({
        "edges": {"total": 4, "unknown": 0, "ambiguous": 0, "supposed": 0},
        "operations": {"total": 42, "unknown": 0, "ambiguous": 0, "supposed": 0},
    });
    for verb in ["inspect", "flows", "generate"] {
        let of = |tape| document(&scratch.run(&format!("{verb} {tape} --format json")))["shares"].clone();
        assert_eq!(of("tape"), json!([doubted]), "{verb}");
        assert_eq!(of("known"), json!([known]), "{verb}");
        let said = |tape| scratch.run(&format!("{verb} {tape}")).stderr;
        assert!(
            said("known").contains("\npeers of 4 edges: none unknown or ambiguous\n"),
            "{verb}: {}",
            said("known")
        );
        assert!(
            said("tape").contains(
                "\npeers of 3 edges: 1 (33.3 %) unknown, 1 (33.3 %) ambiguous; of 100 operations: 2 (2.0 %) unknown, \
                 8 (8.0 %) ambiguous\n"
            ),
            "{verb}: {}",
            said("tape")
        );
    }
    let sides = document(&scratch.run("diff known tape --format json"))["shares"].clone();
    assert_eq!(sides[0]["side"], "before");
    assert_eq!(
        (&sides[1]["side"], &sides[1]["operations"]),
        (&json!("after"), &doubted["operations"])
    );
}

#[test]
fn what_is_unknown_ends_strict_with_1() {
    const UNKNOWN: &str = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  deployment shop/client on n1 labels app=client
  deployment shop/db on n1 labels app=db ports 5432
traffic
  shop/client -> shop/db:5432/TCP
";
    let scratch = Scratch::new();
    scratch.scenario("known", UNKNOWN);
    scratch.scenario(
        "unknown",
        &format!("{UNKNOWN}  shop/client -> address 10.244.1.77:8080/TCP\n"),
    );
    for verb in ["inspect", "flows", "generate"] {
        for (arguments, code) in [("known --strict", 0), ("unknown", 0), ("unknown --strict", 1)] {
            let shown = scratch.run(&format!("{verb} {arguments}"));
            assert_eq!(shown.code, code, "{verb} {arguments}: {}", shown.stderr);
        }
    }
}

#[test]
fn a_finding_shows_rows_it_rests_on() {
    let scratch = Scratch::new();
    scratch.scenario("tape", DOUBTED);
    let shown = scratch.run("flows tape --format json");
    let findings = document(&shown)["findings"].clone();
    let unknown = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["code"] == "FT2001")
        .unwrap();
    let samples = unknown["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 1, "{unknown}");
    for (field, value) in [
        ("node", json!("n1")),
        ("direction", json!("out")),
        ("protocol", json!("TCP")),
        ("remote_ip", json!("10.244.2.77")),
        ("port", json!(8080)),
        ("count", json!(2)),
        ("first_seen", json!("2026-01-01T00:00:03.000000000Z")),
    ] {
        assert_eq!(samples[0][field], value, "{field} of {unknown}");
    }
    let said = scratch.run("flows tape").stderr;
    let row = " -> 10.244.2.77 8080/TCP, established x2, client's side, node `n1`, 2026-01-01T00:00:03Z\n";
    assert!(said.contains(row), "{said}");
}
