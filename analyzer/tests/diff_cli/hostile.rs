//! Names in a tape can hold anything; what is printed may reach a terminal.

use std::collections::BTreeSet;

use flowtape::diff::{Recording, recordings};
use flowtape::findings::Samples;
use flowtape::flow::Flows;
use flowtape::flow::activity;
use flowtape::flow::edge::{Edge, EdgeKey, Evidence, Peer, ServiceUse, Side, Transport};
use flowtape::flow::process::Processes;
use flowtape::identity::{Identity, Workload};
use flowtape::policy::model::Direction;
use flowtape::render::text;
use flowtape::semantics::eval::By;
use flowtape::verify::baseline::Excused;
use flowtape::verify::{Denied, Verified};
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

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
            seen_by: BTreeSet::new(),
            predates_window: false,
            nodes: BTreeSet::new(),
            node_ports: BTreeSet::new(),
            translated: BTreeSet::new(),
            services: [service].into(),
            port_name: Some(HOSTILE.to_owned()),
            assumed: false,
            pairs: BTreeSet::new(),
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
    let recording = |flows| Recording { flows, complete: true };
    let changes = text::diff::text(&recordings(recording(&Flows::default()), recording(&with)));
    assert_eq!(changes.lines().count(), 3);
    let denied = Denied {
        edge: &with.edges[0],
        direction: Direction::Egress,
        by: vec![By {
            kind: "NetworkPolicy",
            namespace: HOSTILE.to_owned(),
            name: HOSTILE.to_owned(),
            rule: None,
            source: None,
        }],
        pairs: BTreeSet::new(),
    };
    let excused = Excused {
        denied: denied.clone(),
        reason: HOSTILE.to_owned(),
        until: None,
    };
    let processes: Processes = [((Side::Client, HOSTILE.to_owned()), SEEN)].into();
    let processes = [(with.edges[0].key.clone(), processes)].into();
    let verified = Verified {
        denied: vec![denied],
        ..Verified::default()
    };
    let verified = text::verify::text(&verified, &[excused], None, &processes);
    assert_eq!(verified.lines().count(), 4);
    assert_eq!(verified.matches(ESCAPED).count(), 2 * (6 + 2 + 1) + 1, "{verified}");
    for text in [flows, changes, verified] {
        assert!(text.contains(&format!("{ESCAPED}/{ESCAPED}/{ESCAPED}")), "{text:?}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}
