//! TCP connections that are established, by every way into the kernel and every family.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use flowtape_schemas::address::Address;

use crate::matrix::Row;
use crate::remote::Remote;
use crate::stage::{Stage, WEB};
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[
    Case::within("ipv4", ipv4),
    Case::within("ipv6", ipv6),
    Case::within("v4_mapped_client", v4_mapped),
    Case::within("dual_stack_server", dual_stack),
    Case::within("ipv6_only_server", ipv6_only),
    Case::within("nonblocking_connect", nonblocking),
    Case::within("io_uring_connect_accept_send", io_uring),
    Case::within("calls_by_the_32_bit_entry", calls32),
    Case::within("fast_open", fast_open),
    Case::within("multipath", multipath),
    Case::within("simultaneous_open", simultaneous),
    Case::within("connected_to_itself", itself),
    Case::within("over_loopback", loopback),
    Case::within("bound_client_port", bound),
    Case::within("cluster_ip_by_dnat", cluster_ip),
    Case {
        name: "listener_older_than_the_window",
        before: Some(listen_before),
        run: old_listener,
    },
];

fn ipv4(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    between(stage, to, &[("a", "client"), ("b", "client"), ("c", "client")])?;
    Ok(Ran::Rows(stage.both("client", "server", to, 3)?))
}

fn ipv6(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v6("server", port)?;
    between(stage, to, &[("a", "client"), ("b", "client")])?;
    Ok(Ran::Rows(stage.both("client", "server", to, 2)?))
}

/// A server listens, clients connect, the server accepts.
fn between(stage: &mut Stage, to: SocketAddr, clients: &[(&str, &str)]) -> Outcome {
    let port = to.port();
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    for (name, client) in clients {
        stage.actor(client)?.connect(&format!("{name}{port}"), to)?;
        let accept = format!("accept l{port} s{name}{port}");
        stage.actor("server")?.value::<SocketAddr>(&accept)?;
    }
    Ok(())
}

fn v4_mapped(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    let mapped = match to {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), port)),
        SocketAddr::V6(_) => return Err("no IPv4 address".into()),
    };
    stage.actor("client")?.connect(&format!("c{port}"), mapped)?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

fn dual_stack(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let (v4, v6) = (stage.v4("server", port)?, stage.v6("server", port)?);
    let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    stage.actor("server")?.listen(&format!("l{port}"), everywhere)?;
    for (name, to) in [("a", v4), ("b", v6), ("c", v6)] {
        stage.actor("client")?.connect(&format!("{name}{port}"), to)?;
    }
    let rows = [
        stage.both("client", "server", v4, 1)?,
        stage.both("client", "server", v6, 2)?,
    ];
    Ok(Ran::Rows(rows.concat()))
}

fn ipv6_only(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v6("server", port)?;
    stage.actor("server")?.must(&[
        &format!("socket l{port} v6 stream"),
        &format!("option l{port} v6only"),
        &format!("bind l{port} [::]:{port}"),
        &format!("listen l{port}"),
    ])?;
    stage.actor("client")?.connect(&format!("c{port}"), to)?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

fn nonblocking(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    let client = stage.actor("client")?;
    begin_connect(client, port, to)?;
    client.must(&[&format!("settle c{port}")])?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

/// Begins to connect without waiting.
pub(crate) fn begin_connect(client: &mut Remote, port: u16, to: SocketAddr) -> Outcome {
    let family = crate::remote::family(to);
    client.must(&[
        &format!("socket c{port} {family} stream"),
        &format!("option c{port} nonblock"),
    ])?;
    client.must_fail(&format!("connect c{port} {to}"), libc::EINPROGRESS)
}

fn io_uring(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    let server = stage.actor("server")?;
    server.listen(&format!("l{port}"), to)?;
    server.begin(&format!("ring-accept l{port} s{port}"))?;
    let client = stage.actor("client")?;
    client.must(&[&format!("socket c{port} v4 stream")])?;
    let connected = client.ask(&format!("ring-connect c{port} {to}"))?;
    // Switched off at build time, or by `kernel.io_uring_disabled`.
    if [libc::ENOSYS, libc::EPERM]
        .map(|errno| format!("errno {errno}"))
        .contains(&connected)
    {
        stage.actor("server")?.line()?;
        return Ok(Ran::Skipped("no io_uring in this kernel"));
    }
    if connected != "ok" {
        return Err(format!("io_uring's connect was answered by `{connected}`").into());
    }
    client.must(&[&format!("ring-send c{port}")])?;
    let server = stage.actor("server")?;
    let accepted = server.line()?;
    if accepted != "ok" {
        return Err(format!("io_uring's accept was answered by `{accepted}`").into());
    }
    server.ask(&format!("receive s{port}"))?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

fn calls32(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    let server = stage.actor("server")?;
    let made = server.ask(&format!("socket32 l{port} v4 stream"))?;
    if made == format!("errno {}", libc::ENOSYS) {
        return Ok(Ran::Skipped("no 32-bit entry in this kernel"));
    }
    server.must(&[&format!("bind32 l{port} {to}"), &format!("listen32 l{port}")])?;
    for name in ["a", "b"] {
        stage.actor("client")?.must(&[
            &format!("socket32 {name}{port} v4 stream"),
            &format!("connect32 {name}{port} {to}"),
        ])?;
        let server = stage.actor("server")?;
        server.must(&[&format!("accept32 l{port} s{name}{port}")])?;
    }
    Ok(Ran::Rows(stage.both("client", "server", to, 2)?))
}

/// The first byte travels with the first packet, and the server may accept before the handshake has ended.
fn fast_open(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    // Both sides without a cookie (ip-sysctl, `tcp_fastopen`: 0x1 0x4 client, 0x2 0x200 0x400 server).
    for pod in ["client", "server"] {
        stage.sysctl(pod, "net/ipv4/tcp_fastopen", "1543")?;
    }
    let server = stage.actor("server")?;
    server.listen(&format!("l{port}"), to)?;
    stage
        .actor("client")?
        .must(&[&format!("socket c{port} v4 stream"), &format!("fast c{port} {to}")])?;
    let server = stage.actor("server")?;
    server.value::<SocketAddr>(&format!("accept l{port} s{port}"))?;
    server.ask(&format!("receive s{port}"))?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

/// What multipath TCP opens below it are TCP connections of the same socket's pod.
fn multipath(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    let server = stage.actor("server")?;
    let made = server.ask(&format!("socket l{port} v4 mptcp"))?;
    if [libc::EPROTONOSUPPORT, libc::ENOPROTOOPT]
        .map(|errno| format!("errno {errno}"))
        .contains(&made)
    {
        return Ok(Ran::Skipped("no multipath TCP in this kernel"));
    }
    server.must(&[&format!("bind l{port} {to}"), &format!("listen l{port}")])?;
    stage
        .actor("client")?
        .must(&[&format!("socket c{port} v4 mptcp"), &format!("connect c{port} {to}")])?;
    stage
        .actor("server")?
        .value::<SocketAddr>(&format!("accept l{port} s{port}"))?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

/// Both begin to connect to each other before either hears of it: each is a client.
fn simultaneous(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let (one, two) = (stage.v4("client", port)?, stage.v4("server", port + 1)?);
    let sides = [("client", one, two), ("server", two, one)];
    for (name, own, _) in sides {
        // The first packet of either is lost; the second comes a second later.
        let first = format!("tcp dport {} tcp flags syn / syn,ack drop", own.port());
        stage.wall(name, &[first])?;
    }
    for (name, own, to) in sides {
        let actor = stage.actor(name)?;
        actor.must(&[
            &format!("socket c{port} v4 stream"),
            &format!("bind c{port} {own}"),
            &format!("option c{port} nonblock"),
        ])?;
        actor.must_fail(&format!("connect c{port} {to}"), libc::EINPROGRESS)?;
    }
    for (name, _, _) in sides {
        stage.wall(name, &[])?;
    }
    for (name, _, _) in sides {
        stage.actor(name)?.must(&[&format!("settle c{port}")])?;
    }
    Ok(Ran::Rows(vec![Row::out("client", two, 1), Row::out("server", one, 1)]))
}

/// The same with one socket: it is its own peer.
fn itself(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let own = stage.v4("client", port)?;
    stage.actor("client")?.must(&[
        &format!("socket c{port} v4 stream"),
        &format!("bind c{port} {own}"),
        &format!("connect c{port} {own}"),
    ])?;
    Ok(Ran::Rows(vec![Row::out("client", own, 1)]))
}

fn loopback(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let client = stage.actor("client")?;
    client.listen(&format!("l{port}"), to)?;
    client.connect(&format!("c{port}"), to)?;
    let from = Address::from(to.ip());
    Ok(Ran::Rows(vec![
        Row::out("client", to, 1),
        Row::of_server("client", from, port, 1),
    ]))
}

/// A client whose own port is lower than the server's: a direction by port numbers would be wrong.
fn bound(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let (own, to) = (stage.v4("client", 80)?, stage.v4("server", port)?);
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    stage.actor("client")?.must(&[
        &format!("socket c{port} v4 stream"),
        &format!("bind c{port} {own}"),
        &format!("connect c{port} {to}"),
    ])?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

/// The client sees the Service, the server sees the client, and the analyzer joins them.
fn cluster_ip(stage: &mut Stage, _port: u16) -> Outcome<Ran> {
    let backend = stage.v4("server", WEB + 1)?;
    let service = SocketAddr::from(([10, 96, 0, 10], WEB));
    stage.actor("server")?.listen("web", backend)?;
    for name in ["web-a", "web-b", "web-c", "web-d"] {
        stage.actor("client")?.connect(name, service)?;
    }
    let mut rows = stage.both("client", "server", backend, 4)?;
    rows[0] = Row::out("client", service, 4);
    let check = move |seen: &crate::seen::Seen| {
        let edges: Vec<_> = seen
            .flows
            .edges
            .iter()
            .filter(|edge| edge.key.port == WEB + 1)
            .collect();
        let [edge] = edges.as_slice() else {
            return Err(format!("{} edges to the backend: {edges:?}", edges.len()).into());
        };
        let through: Vec<_> = edge
            .evidence
            .services
            .iter()
            .map(|used| (used.name.as_str(), used.port))
            .collect();
        let sides = edge.evidence.seen_by.len();
        if (edge.evidence.count, through.as_slice(), sides) == (4, &[("web", WEB)], 2) && !edge.evidence.assumed {
            return Ok(());
        }
        Err(format!("the edge through the Service is {edge:?}").into())
    };
    Ok(Ran::Checked(rows, Box::new(check)))
}

fn listen_before(stage: &mut Stage, port: u16) -> Outcome {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)
}

fn old_listener(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("client")?.connect(&format!("c{port}"), to)?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}
