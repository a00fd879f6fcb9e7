//! Datagrams: who spoke first is the client, what answers is no edge, and every datagram counts.

use std::net::{Ipv6Addr, SocketAddr};

use flowtape_schemas::address::Address;
use flowtape_schemas::node::Outcome as Ended;

use crate::matrix::Row;
use crate::remote::family;
use crate::stage::Stage;
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[
    Case::within("udp_answered", answered),
    Case::within("udp_answered_over_ipv6", answered_v6),
    Case::within("udp_to_a_dual_stack_server", dual_stack),
    Case::within("udp_without_answer", unanswered),
    Case::within("udp_connected_and_answered", connected),
    Case::within("udp_connected_and_refused", refused),
    Case::within("udp_connected_and_never_used", unused),
    Case::within("udp_server_of_two_clients", two_clients),
    Case::within("udp_passed_to_another_pod", passed),
];

/// A datagram socket that waits at an address.
fn serve(stage: &mut Stage, server: &str, at: SocketAddr) -> Outcome {
    let (port, family) = (at.port(), family(at));
    let server = stage.actor(server)?;
    server.must(&[&format!("socket s{port} {family} dgram"), &format!("bind s{port} {at}")])
}

/// The server takes one datagram and answers it.
fn answer(stage: &mut Stage, server: &str, port: u16) -> Outcome {
    let server = stage.actor(server)?;
    let from: SocketAddr = server.value(&format!("receive s{port}"))?;
    server.must(&[&format!("sendto s{port} {from}")])
}

fn answered(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    serve(stage, "server", to)?;
    exchange(stage, to, "client")
}

fn answered_v6(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v6("server", port)?;
    serve(stage, "server", to)?;
    exchange(stage, to, "client")
}

/// The server sees the client by its IPv4 address, mapped.
fn dual_stack(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    serve(stage, "server", SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    let to = stage.v4("server", port)?;
    exchange(stage, to, "client")
}

/// Three datagrams of one unconnected socket, each answered: the first left before anything was known.
fn exchange(stage: &mut Stage, to: SocketAddr, client: &'static str) -> Outcome<Ran> {
    let (port, family) = (to.port(), family(to));
    stage
        .actor(client)?
        .must(&[&format!("socket c{port} {family} dgram")])?;
    for _ in 0..3 {
        stage.actor(client)?.must(&[&format!("sendto c{port} {to}")])?;
        answer(stage, "server", port)?;
        stage.actor(client)?.value::<SocketAddr>(&format!("receive c{port}"))?;
    }
    Ok(Ran::Rows(vec![
        Row::out(client, to, 1).udp().ended(Ended::Unknown),
        Row::out(client, to, 2).udp(),
        received(stage, client, "server", to, 3)?,
    ]))
}

/// What a server has of datagrams that a client sent.
fn received(stage: &Stage, client: &str, server: &str, to: SocketAddr, count: u64) -> Outcome<Row> {
    let from = if to.is_ipv4() {
        stage.v4(client, 0)?
    } else {
        stage.v6(client, 0)?
    };
    Ok(Row::of_server(server, Address::from(from.ip()), to.port(), count).udp())
}

/// The server received, which only its own side knows.
fn unanswered(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    serve(stage, "server", to)?;
    stage.actor("client")?.must(&[&format!("socket c{port} v4 dgram")])?;
    for _ in 0..2 {
        stage.actor("client")?.must(&[&format!("sendto c{port} {to}")])?;
        stage
            .actor("server")?
            .value::<SocketAddr>(&format!("receive s{port}"))?;
    }
    Ok(Ran::Rows(vec![
        Row::out("client", to, 2).udp().ended(Ended::Unknown),
        received(stage, "client", "server", to, 2)?,
    ]))
}

fn connected(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    serve(stage, "server", to)?;
    stage
        .actor("client")?
        .must(&[&format!("socket c{port} v4 dgram"), &format!("connect c{port} {to}")])?;
    for _ in 0..3 {
        stage.actor("client")?.must(&[&format!("send c{port}")])?;
        answer(stage, "server", port)?;
        stage.actor("client")?.value::<String>(&format!("receive c{port}"))?;
    }
    Ok(Ran::Rows(vec![
        Row::out("client", to, 1).udp().ended(Ended::Unknown),
        Row::out("client", to, 2).udp(),
        received(stage, "client", "server", to, 3)?,
    ]))
}

/// Nobody waits at the port: the network says so after the datagram has left.
fn refused(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    let client = stage.actor("client")?;
    client.must(&[
        &format!("socket c{port} v4 dgram"),
        &format!("connect c{port} {to}"),
        &format!("send c{port}"),
    ])?;
    client.must_fail(&format!("receive c{port}"), libc::ECONNREFUSED)?;
    Ok(Ran::Rows(vec![
        Row::out("client", to, 1).udp().ended(Ended::Unknown),
        Row::out("client", to, 1).udp().ended(Ended::Refused),
    ]))
}

/// Resolvers connect datagram sockets to ask for a route (`getaddrinfo`): nothing was sent, so there is no edge.
fn unused(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("client")?.must(&[
        &format!("socket c{port} v4 dgram"),
        &format!("connect c{port} {to}"),
        &format!("close c{port}"),
    ])?;
    Ok(Ran::Rows(Vec::new()))
}

fn two_clients(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    serve(stage, "server", to)?;
    let mut rows = Vec::new();
    for client in ["client", "other"] {
        if let Ran::Rows(of_client) = exchange(stage, to, client)? {
            rows.extend(of_client);
        }
    }
    Ok(Ran::Rows(rows))
}

/// Bound in one pod, read and answered by another on the same network.
fn passed(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("one", port)?;
    serve(stage, "one", to)?;
    crate::case_handed::pass(stage, "one", "two", &format!("s{port}"))?;
    stage
        .actor("server")?
        .must(&[&format!("socket c{port} v4 dgram"), &format!("sendto c{port} {to}")])?;
    answer(stage, "two", port)?;
    stage
        .actor("server")?
        .value::<SocketAddr>(&format!("receive c{port}"))?;
    Ok(Ran::Rows(vec![
        Row::out("server", to, 1).udp().ended(Ended::Unknown),
        // That an answer was seen is a fact of its own.
        Row::out("server", to, 0).udp(),
        received(stage, "server", "one", to, 1)?,
    ]))
}
