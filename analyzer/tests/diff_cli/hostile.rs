//! Names in a tape can hold anything; what is printed may reach a terminal.

use std::collections::{BTreeMap, BTreeSet};

use flowtape::baseline::Excused;
use flowtape::diff::{Recording, recordings};
use flowtape::findings::{Code, Findings, Samples};
use flowtape::flow::Flows;
use flowtape::flow::activity;
use flowtape::flow::edge::{Edge, EdgeKey, Evidence, Peer, ServiceUse, Side, Transport};
use flowtape::flow::process::Processes;
use flowtape::identity::{Identity, Workload};
use flowtape::policy::kind::PolicyKind;
use flowtape::policy::model::Direction;
use flowtape::render::review::Bases;
use flowtape::render::review::verify::review;
use flowtape::render::{junit, markdown, sarif, text};
use flowtape::semantics::eval::By;
use flowtape::tape::Health;
use flowtape::verify::{Denied, Verified};
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

const DENIES: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
";

const HOSTILE: &str = "a\u{1b}[2J\nb\u{202e}";
const ESCAPED: &str = "a\\u{1b}[2J\\nb\\u{202e}";

const SEEN: activity::Samples = activity::Samples {
    count: 1,
    first_seen: Time(0),
    last_seen: Time(0),
};

fn edge() -> Edge {
    let workload = Workload {
        namespace: HOSTILE.to_owned(),
        kind: HOSTILE.to_owned(),
        name: HOSTILE.to_owned(),
        host_network: false,
    };
    let peer = Peer {
        identity: Identity::Workload(workload),
        role: None,
    };
    let service = ServiceUse {
        namespace: HOSTILE.to_owned(),
        name: HOSTILE.to_owned(),
        port: 80,
    };
    Edge {
        key: EdgeKey {
            from: peer.clone(),
            to: peer,
            protocol: Transport::TCP,
            port: 80,
            outcome: Outcome::Established,
        },
        evidence: Evidence {
            count: 1,
            first_seen: Time(0),
            last_seen: Time(0),
            seen_by: [].into(),
            predates_window: false,
            nodes: [].into(),
            node_ports: [].into(),
            translated: [].into(),
            services: [service].into(),
            rivalled: [].into(),
            port_name: Some(HOSTILE.to_owned()),
            assumed: false,
            pairs: [].into(),
            samples: Samples::default(),
        },
    }
}

#[test]
fn tables_and_changes_stay_on_their_lines() {
    let edge = edge();
    let flows = text::flows::text(&[&edge]);
    assert_eq!(flows.lines().count(), 2);
    let with = Flows {
        edges: vec![edge],
        ..Flows::default()
    };
    let recording = |flows| Recording {
        flows,
        complete: true,
        workloads: None,
        length: None,
    };
    let diff = recordings(recording(&Flows::default()), recording(&with));
    let changes = text::diff::text(&diff, &[]);
    assert_eq!(changes.lines().count(), 3);
    let denied = Denied {
        edge: &with.edges[0],
        direction: Direction::Egress,
        by: vec![By {
            kind: PolicyKind::NetworkPolicy.name(),
            namespace: HOSTILE.to_owned(),
            name: HOSTILE.to_owned(),
            rule: None,
            source: None,
        }],
        pairs: BTreeSet::new(),
    };
    let excused = Excused {
        what: denied.clone(),
        reason: HOSTILE.to_owned(),
        until: None,
    };
    let processes: Processes = [((Side::Client, HOSTILE.to_owned()), SEEN)].into();
    let processes = [(with.edges[0].key.clone(), processes)].into();
    let verified = Verified {
        denied: vec![denied],
        ..Verified::default()
    };
    reviews_hold_no_markup(&verified, &excused, &processes);
    let verified = text::verify::text(&verified, &[excused], None, &processes);
    assert_eq!(verified.lines().count(), 4);
    assert_eq!(verified.matches(ESCAPED).count(), 2 * (6 + 2 + 1) + 1, "{verified}");
    for text in [flows, changes, verified] {
        assert!(text.contains(&format!("{ESCAPED}/{ESCAPED}/{ESCAPED}")), "{text:?}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}

/// The same in the reports of pipelines, with what Markdown, HTML and XML could take for their own.
fn reviews_hold_no_markup(
    verified: &Verified<'_>,
    excused: &Excused<Denied<'_>>,
    processes: &BTreeMap<EdgeKey, Processes>,
) {
    let reason = format!("{HOSTILE}<img src=x onerror=y>|[a](http://b) @all ]]>");
    let excused = Excused {
        reason,
        ..excused.clone()
    };
    let mut findings = Findings::default();
    findings.report(Code::NotIsolated, HOSTILE);
    let (health, list) = (Health::default(), findings.list());
    let review = review(
        verified,
        &[excused],
        None,
        processes,
        (&health, &list),
        Bases::default(),
    );
    let (markdown, junit) = (markdown::text(&review), junit::text(&review));
    let sarif = sarif::text(&review).unwrap();
    for text in [&markdown, &sarif, &junit] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
    let marks = markdown.replace("\\]", "").replace("\\[", "");
    assert!(
        !marks.contains("<img") && !marks.contains("](") && !marks.replace("@&#8203;", "").contains('@'),
        "{markdown}"
    );
    // Nothing but the cells of the tables is divided by bars.
    let rows = markdown
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("denied"));
    for row in rows {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 4, "{row}");
    }
    let document = roxmltree::Document::parse(&junit).unwrap_or_else(|error| panic!("{error}: {junit}"));
    assert_eq!(
        document
            .descendants()
            .filter(|node| node.has_tag_name("testcase"))
            .count(),
        2
    );
    let document: serde_json::Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(document["runs"][0]["results"].as_array().unwrap().len(), 2);
}

/// Code scanners refuse a log in which a result has no file.
#[test]
fn every_result_of_a_code_scanner_is_somewhere() {
    let lab = crate::Lab::new();
    lab.traffic("tapes/one", "  shop/web -> service shop/db:5432 x3 at 1s..9s\n");
    lab.traffic(
        "tapes/two",
        "  shop/web -> pod shop/api:8080 at 1s\n  address 10.244.1.99 -> shop/db:5432 at 3s\n",
    );
    lab.write("policies/db.yaml", DENIES);
    for words in [
        "diff tapes/one tapes/two",
        "diff tapes/one ./policies/",
        "diff ./policies/ tapes/two",
        "diff tapes/one policies/db.yaml",
        "verify tapes/two --policies policies",
    ] {
        let log = lab.run(&format!("{words} --format sarif")).json();
        let results = log["runs"][0]["results"].as_array().unwrap();
        assert!(!results.is_empty(), "{words}");
        for result in results {
            let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            let places = ["tapes/one", "tapes/two", "policies", "policies/db.yaml"];
            assert!(places.iter().any(|place| uri == place), "{words}: {result}");
        }
    }
}
