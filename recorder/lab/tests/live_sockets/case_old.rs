//! Connections that are older than the recording, which only a look at open sockets can find.

use std::net::SocketAddr;

use crate::case_handed::pass;
use crate::matrix::Row;
use crate::remote::family;
use crate::stage::Stage;
use crate::{Case, Outcome, Ran};

/// One that begins before the recording.
const fn older(
    name: &'static str,
    before: fn(&mut Stage, u16) -> Outcome,
    run: fn(&mut Stage, u16) -> Outcome<Ran>,
) -> Case {
    Case {
        name,
        before: Some(before),
        run,
    }
}

pub(crate) const CASES: &[Case] = &[
    older("older_connection", connect_v4, stays),
    older("older_connection_over_ipv6", connect_v6, stays_v6),
    older("older_connection_closed_within", connect_v4, closes),
    older("older_connection_and_a_new_one", connect_v4, again),
    older("older_connection_whose_listener_is_gone", connect_to_nobody, stays),
    older(
        "older_connection_of_a_listener_without_a_queue",
        connect_without_queue,
        stays,
    ),
    older("older_connection_from_a_port_of_its_own", connect_from_a_port, stays),
    older("older_connection_closed_by_its_server", connect_and_hang_up, stays),
    older("older_connection_held_by_two_pods", connect_and_pass, passed_on),
    older(
        "older_connection_over_multipath_tcp",
        connect_multipath,
        stays_multipath,
    ),
    older("older_connection_accepted_within", ask_v4, accepts_older),
    older("older_connected_datagrams", connect_datagrams, datagrams),
    older("older_server_of_connected_datagrams", serve_datagrams, served_datagrams),
];

/// The connection is there, and its server has not asked for it.
fn ask_v4(stage: &mut Stage, port: u16) -> Outcome {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    stage.actor("client")?.connect(&format!("c{port}"), to)
}

/// No process holds the server's end when the recording begins: a later look finds it.
fn accepts_older(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    accept(stage, port, "c")?;
    stays(stage, port)
}

fn connect_v4(stage: &mut Stage, port: u16) -> Outcome {
    let to = stage.v4("server", port)?;
    connect(stage, to)
}

fn connect_v6(stage: &mut Stage, port: u16) -> Outcome {
    let to = stage.v6("server", port)?;
    connect(stage, to)
}

fn connect(stage: &mut Stage, to: SocketAddr) -> Outcome {
    let port = to.port();
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    accepted(stage, to, "c")
}

/// One connection, accepted; `name` begins the name of the client's socket.
fn accepted(stage: &mut Stage, to: SocketAddr, name: &str) -> Outcome {
    let (port, family) = (to.port(), family(to));
    stage.actor("client")?.must(&[
        &format!("socket {name}{port} {family} stream"),
        &format!("connect {name}{port} {to}"),
    ])?;
    accept(stage, port, name)
}

fn accept(stage: &mut Stage, port: u16, name: &str) -> Outcome {
    let command = format!("accept l{port} s{name}{port}");
    stage.actor("server")?.value::<SocketAddr>(&command).map(|_peer| ())
}

fn connect_to_nobody(stage: &mut Stage, port: u16) -> Outcome {
    connect_v4(stage, port)?;
    stage.actor("server")?.must(&[&format!("close l{port}")])
}

fn connect_without_queue(stage: &mut Stage, port: u16) -> Outcome {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.must(&[
        &format!("socket l{port} v4 stream"),
        &format!("bind l{port} {to}"),
        &format!("listen l{port} 0"),
    ])?;
    accepted(stage, to, "c")
}

/// The client says which port it has, as a server would.
fn connect_from_a_port(stage: &mut Stage, port: u16) -> Outcome {
    let (to, own) = (stage.v4("server", port)?, stage.v4("client", port + 1)?);
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    stage.actor("client")?.must(&[
        &format!("socket c{port} v4 stream"),
        &format!("bind c{port} {own}"),
        &format!("connect c{port} {to}"),
    ])?;
    accept(stage, port, "c")
}

/// The server has closed its end, and the client has not.
fn connect_and_hang_up(stage: &mut Stage, port: u16) -> Outcome {
    connect_v4(stage, port)?;
    stage.actor("server")?.must(&[&format!("shut sc{port}")])
}

fn connect_and_pass(stage: &mut Stage, port: u16) -> Outcome {
    connect_v4(stage, port)?;
    pass(stage, "client", "other", &format!("c{port}"))
}

fn older_rows(stage: &Stage, to: SocketAddr) -> Outcome<Vec<Row>> {
    let rows = stage.both("client", "server", to, 0)?;
    Ok(rows.into_iter().map(Row::older).collect())
}

fn stays(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    Ok(Ran::Rows(older_rows(stage, to)?))
}

fn stays_v6(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v6("server", port)?;
    Ok(Ran::Rows(older_rows(stage, to)?))
}

fn closes(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    stage.actor("client")?.must(&[&format!("close c{port}")])?;
    stage
        .actor("server")?
        .must(&[&format!("close sc{port}"), &format!("close l{port}")])?;
    stays(stage, port)
}

/// What is opened within is counted once, and what is older not at all.
fn again(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    accepted(stage, to, "d")?;
    let mut rows = older_rows(stage, to)?;
    rows.extend(stage.both("client", "server", to, 1)?);
    Ok(Ran::Rows(rows))
}

/// The one that made it may close it: it is of the pod that did.
fn passed_on(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    stage.actor("client")?.must(&[&format!("close c{port}")])?;
    stage.actor("other")?.must(&[&format!("send c{port}")])?;
    stays(stage, port)
}

fn connect_multipath(stage: &mut Stage, port: u16) -> Outcome {
    let to = stage.v4("server", port)?;
    let server = stage.actor("server")?;
    if server.ask(&format!("socket l{port} v4 mptcp"))? != "ok" {
        return Ok(());
    }
    server.must(&[&format!("bind l{port} {to}"), &format!("listen l{port}")])?;
    stage
        .actor("client")?
        .must(&[&format!("socket c{port} v4 mptcp"), &format!("connect c{port} {to}")])?;
    accept(stage, port, "c")
}

fn stays_multipath(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let made = stage.actor("server")?.ask(&format!("local sc{port}"))?;
    if made.starts_with("error") {
        return Ok(Ran::Skipped("no multipath TCP in this kernel"));
    }
    stays(stage, port)
}

fn connect_datagrams(stage: &mut Stage, port: u16) -> Outcome {
    let to = stage.v4("server", port)?;
    stage
        .actor("server")?
        .must(&[&format!("socket s{port} v4 dgram"), &format!("bind s{port} {to}")])?;
    stage
        .actor("client")?
        .must(&[&format!("socket c{port} v4 dgram"), &format!("connect c{port} {to}")])
}

fn datagrams(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    Ok(Ran::Rows(vec![Row::out("client", to, 0).udp().older()]))
}

/// A socket for a client beside the one that serves everybody, at one port.
fn serve_datagrams(stage: &mut Stage, port: u16) -> Outcome {
    let (to, from) = (stage.v4("server", port)?, stage.v4("client", port + 1)?);
    for name in ["s", "t"] {
        stage.actor("server")?.must(&[
            &format!("socket {name}{port} v4 dgram"),
            &format!("option {name}{port} reuseport"),
            &format!("bind {name}{port} {to}"),
        ])?;
    }
    stage.actor("server")?.must(&[&format!("connect t{port} {from}")])?;
    stage
        .actor("client")?
        .must(&[&format!("socket c{port} v4 dgram"), &format!("bind c{port} {from}")])
}

fn served_datagrams(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    let rows = stage.both("client", "server", to, 0)?;
    let of_server = rows.into_iter().skip(1).map(|row| row.udp().older());
    Ok(Ran::Rows(of_server.collect()))
}
