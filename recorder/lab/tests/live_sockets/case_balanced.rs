//! A Service by a socket load balancer: a program puts a backend in the place of the address that was asked for, before
//! any packet leaves.

use std::net::SocketAddr;
use std::path::PathBuf;

use flowtape_lab::preflight::cgroup_root;
use flowtape_schemas::node::Outcome as Ended;

use crate::balancer::Balancer;
use crate::matrix::Row;
use crate::remote::family;
use crate::seen::Seen;
use crate::stage::{BALANCED, BALANCED6, Stage};
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[
    Case::within("balanced_after_the_recorder_has_looked", after),
    Case::within("balanced_before_the_recorder_looks", before),
    Case::within("balanced_over_ipv6", over_ipv6),
    Case::within("balanced_datagrams", |stage, port| {
        let backend = stage.v4("server", port)?;
        datagrams(stage, SocketAddr::V4(BALANCED), backend)
    }),
    Case::within("balanced_datagrams_over_ipv6", |stage, port| {
        let backend = stage.v6("server", port)?;
        datagrams(stage, BALANCED6, backend)
    }),
];

/// The program came later and to the same control group: the recorder sees what was asked for, and what became of it.
fn after(stage: &mut Stage, _port: u16) -> Outcome<Ran> {
    let backend = stage.v4("server", BALANCED.port() + 1)?;
    stage.actor("server")?.listen("balanced", backend)?;
    let balancer = Balancer::new(&root()?, BALANCED.ip().to_owned().into(), backend)?;
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
    let balancer = Balancer::new(&group, BALANCED.ip().to_owned().into(), backend)?;
    stage
        .actor("other")?
        .connect(&format!("c{port}"), SocketAddr::V4(BALANCED))?;
    drop(balancer);
    Ok(Ran::Rows(stage.both("other", "server", backend, 1)?))
}

fn over_ipv6(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let backend = stage.v6("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), backend)?;
    let balancer = Balancer::new(&root()?, BALANCED6.ip(), backend)?;
    stage.actor("client")?.connect(&format!("c{port}"), BALANCED6)?;
    drop(balancer);
    let mut rows = stage.both("client", "server", backend, 1)?;
    rows[0] = Row::out("client", backend, 1).asked(BALANCED6);
    Ok(Ran::Rows(rows))
}

/// A socket is connected to the Service once; what it sends from then on goes to the backend.
fn datagrams(stage: &mut Stage, service: SocketAddr, backend: SocketAddr) -> Outcome<Ran> {
    let (port, family) = (backend.port(), family(backend));
    stage.actor("server")?.must(&[
        &format!("socket s{port} {family} dgram"),
        &format!("bind s{port} {backend}"),
    ])?;
    let balancer = Balancer::new(&root()?, service.ip(), backend)?;
    stage.actor("client")?.must(&[
        &format!("socket c{port} {family} dgram"),
        &format!("connect c{port} {service}"),
    ])?;
    drop(balancer);
    for _ in 0..3 {
        stage.actor("client")?.must(&[&format!("send c{port}")])?;
        stage
            .actor("server")?
            .value::<SocketAddr>(&format!("receive s{port}"))?;
    }
    let [_, served] = &stage.both("client", "server", backend, 3)?[..] else {
        return Err("not two sides".into());
    };
    Ok(Ran::Rows(vec![
        Row::out("client", backend, 3)
            .udp()
            .ended(Ended::Unknown)
            .asked(service),
        served.clone().udp(),
    ]))
}

fn root() -> Outcome<PathBuf> {
    Ok(cgroup_root().ok_or("no version 2 control groups are mounted")?)
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
