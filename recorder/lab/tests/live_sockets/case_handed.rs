//! Sockets that are used by another process than the one that made them: a socket belongs to the pod that made it.

use std::net::SocketAddr;

use flowtape_schemas::address::Address;

use crate::matrix::Row;
use crate::stage::Stage;
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[
    Case::within("listener_passed_to_another_pod", listener),
    Case::within("connection_by_a_passed_socket", socket),
    Case::within("socket_inherited_over_exec", inherited),
    Case::within("one_port_shared_by_two_pods", shared_port),
];

/// Two pods on the network of one node: one listens, the other accepts.
fn listener(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("one", port)?;
    stage.actor("one")?.listen(&format!("l{port}"), to)?;
    pass(stage, "one", "two", &format!("l{port}"))?;
    stage.actor("one")?.must(&[&format!("close l{port}")])?;
    for name in ["a", "b"] {
        stage.actor("server")?.connect(&format!("{name}{port}"), to)?;
        stage
            .actor("two")?
            .value::<SocketAddr>(&format!("accept l{port} s{name}{port}"))?;
    }
    Ok(Ran::Rows(stage.both("server", "one", to, 2)?))
}

/// Made in one pod, connected by another: also the network is that of the first.
fn socket(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    stage.actor("other")?.must(&[&format!("socket c{port} v4 stream")])?;
    pass(stage, "other", "client", &format!("c{port}"))?;
    stage.actor("client")?.must(&[&format!("connect c{port} {to}")])?;
    Ok(Ran::Rows(stage.both("other", "server", to, 1)?))
}

/// Hands a socket over.
pub(crate) fn pass(stage: &mut Stage, from: &'static str, to: &'static str, name: &str) -> Outcome {
    let path = stage.home.path().join(name).display().to_string();
    stage.actor(from)?.begin(&format!("pass {name} {path}"))?;
    stage.actor(to)?.must(&[&format!("take {name} {path}")])?;
    let passed = stage.actor(from)?.line()?;
    if passed == "ok" {
        return Ok(());
    }
    Err(format!("passing `{name}` was answered by `{passed}`").into())
}

fn inherited(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    let elsewhere = stage.place("other")?.cgroup.display().to_string();
    stage.actor("client")?.must(&[
        &format!("socket c{port} v4 stream"),
        &format!("spawn c{port} {elsewhere} {to}"),
    ])?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

/// The kernel gives each connection to one of two listeners (`SO_REUSEPORT`), each in its own pod.
fn shared_port(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    const CONNECTIONS: u64 = 40;
    let to = stage.v4("one", port)?;
    for server in ["one", "two"] {
        stage.actor(server)?.must(&[
            &format!("socket l{port} v4 stream"),
            &format!("option l{port} reuseport"),
            &format!("bind l{port} {to}"),
            &format!("listen l{port}"),
        ])?;
    }
    for number in 0..CONNECTIONS {
        stage.actor("server")?.connect(&format!("c{number}-{port}"), to)?;
    }
    let from = Address::from(stage.v4("server", 0)?.ip());
    let mut rows = vec![Row::out("server", to, CONNECTIONS)];
    for server in ["one", "two"] {
        let accepted: u64 = stage.actor(server)?.value(&format!("drain l{port}"))?;
        if accepted == 0 {
            return Err(format!("`{server}` got none of {CONNECTIONS} connections").into());
        }
        rows.push(Row::of_server(server, from, port, accepted));
    }
    Ok(Ran::Rows(rows))
}
