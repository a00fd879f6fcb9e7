//! A pod on the network of its node does not own that network.

use flowtape::findings::Findings;
use flowtape::flow::{self, Flows};
use flowtape::identity::cluster::Cluster;
use flowtape::tape::{self, Tape};
use flowtape_scenario::Scenario;

const TEXT: &str = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  pod shop/agent on n1 ports 9100 host-network
  deployment shop/web on n1 ports 8080
traffic
  node n1 -> shop/web:8080 x3
  shop/agent -> shop/web:8080 x2
  shop/web -> node n1:10250";

fn edges(tape: &Tape) -> Flows {
    let mut findings = Findings::default();
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    flow::edges(tape, &cluster, &mut findings)
}

#[test]
fn processes_of_the_node_are_not_the_pod_s_where_the_recorder_saw_only_the_pod_in_its_network() {
    let directory = tempfile::tempdir().unwrap();
    let files = flowtape_scenario::tape::compile(&Scenario::parse(TEXT).unwrap()).unwrap();
    flowtape_scenario::tape::write(directory.path(), &files).unwrap();
    let told = tape::open(&[directory.path().to_owned()], &mut Findings::default()).unwrap();
    let agent = told.cluster.pods.iter().find(|pod| pod.name == "agent").unwrap();

    let mut seen = told.clone();
    let hosts = seen.nodes[0].netns.iter_mut().filter(|row| row.is_host);
    let changed = hosts.map(|row| (row.is_host, row.pod_uid) = (false, Some(agent.uid.clone())));
    assert_eq!(changed.count(), 1);
    assert_eq!(edges(&seen).edges, edges(&told).edges);
}
