//! A Service by a socket load balancer: a program puts a backend in the place of the address that was asked for, before
//! any packet leaves.

use std::net::SocketAddr;
use std::path::Path;

use flowtape_lab::preflight::cgroup_root;

use crate::balancer::Balancer;
use crate::matrix::Row;
use crate::seen::Seen;
use crate::stage::{BALANCED, Stage};
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[
    Case::within("balanced_after_the_recorder_has_looked", after),
    Case::within("balanced_before_the_recorder_looks", before),
];

/// The program came later and to the same control group: the recorder sees what was asked for, and what became of it.
fn after(stage: &mut Stage, _port: u16) -> Outcome<Ran> {
    let backend = stage.v4("server", BALANCED.port() + 1)?;
    stage.actor("server")?.listen("balanced", backend)?;
    let root = cgroup_root().ok_or("no version 2 control groups are mounted")?;
    let balancer = balancer(&root, backend)?;
    for socket in ["asked-a", "asked-b", "asked-c"] {
        stage.actor("client")?.connect(socket, SocketAddr::V4(BALANCED))?;
    }
    drop(balancer);
    let mut rows = stage.both("client", "server", backend, 3)?;
    rows[0] = Row::out("client", backend, 3).asked(SocketAddr::V4(BALANCED));
    Ok(Ran::Checked(rows, Box::new(one_edge)))
}

/// The program is the client's own, and runs first: nobody else ever sees what was asked for.
fn before(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let backend = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), backend)?;
    let group = stage.place("other")?.cgroup.clone();
    let balancer = balancer(&group, backend)?;
    stage
        .actor("other")?
        .connect(&format!("c{port}"), SocketAddr::V4(BALANCED))?;
    drop(balancer);
    Ok(Ran::Rows(stage.both("other", "server", backend, 1)?))
}

fn balancer(group: &Path, backend: SocketAddr) -> Outcome<Balancer> {
    match backend {
        SocketAddr::V4(backend) => Balancer::new(group, *BALANCED.ip(), backend),
        SocketAddr::V6(_) => Err("the load balancer knows IPv4 only".into()),
    }
}

/// Both sides are one edge, and the Service is known.
fn one_edge(seen: &Seen) -> Outcome {
    let port = BALANCED.port() + 1;
    let edges: Vec<_> = seen.flows.edges.iter().filter(|edge| edge.key.port == port).collect();
    let [edge] = edges.as_slice() else {
        return Err(format!("{} edges to the backend: {edges:?}", edges.len()).into());
    };
    let services = &edge.evidence.services;
    let known = services
        .iter()
        .any(|used| (used.name.as_str(), used.port) == ("balanced", BALANCED.port()));
    if known && services.len() == 1 && (edge.evidence.count, edge.evidence.seen_by.len()) == (3, 2) {
        return Ok(());
    }
    Err(format!("the edge through the Service is {edge:?}").into())
}
