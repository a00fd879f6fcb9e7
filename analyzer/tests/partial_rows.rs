//! Rows that can be no edge are counted in a finding, never dropped in silence.

use flowtape::findings::{Code, Findings};
use flowtape::flow;
use flowtape::identity::cluster::Cluster;
use flowtape::tape::{NodeTape, Tape};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::{Direction, FlowRow, Hook, Outcome};
use flowtape_schemas::time::Time;

fn row(direction: Direction, service_port: Option<u16>, count: u64) -> FlowRow {
    FlowRow {
        interval_start: Time(0),
        interval_end: Time(10),
        direction,
        protocol: 6,
        local_ip: None,
        remote_ip: None,
        remote_folded: service_port.is_none(),
        service_port,
        asked_ip: None,
        asked_port: None,
        outcome: Outcome::Established,
        cgroup_id: None,
        netns: None,
        count,
        samples: 0,
        first_seen: Time(1),
        last_seen: Time(2),
        predates_window: false,
        hook: Hook::SetState,
    }
}

#[test]
fn folded_and_undirected_rows_are_findings() {
    let flows = vec![row(Direction::Out, None, 40), row(Direction::Unknown, Some(80), 2)];
    let tape = Tape {
        nodes: vec![NodeTape {
            name: "n1".to_owned(),
            flows,
            ..NodeTape::default()
        }],
        ..Tape::default()
    };
    let mut findings = Findings::default();
    let cluster = Cluster::new(&ClusterRows::default(), &mut findings);
    let found = flow::edges(&tape, &cluster, &mut findings);
    assert!(found.edges.is_empty());
    let counts: Vec<(Code, u64)> = findings.list().into_iter().map(|one| (one.code, one.count)).collect();
    assert_eq!(counts, [(Code::UnknownPeer, 2), (Code::RemotesFolded, 40)]);
}
