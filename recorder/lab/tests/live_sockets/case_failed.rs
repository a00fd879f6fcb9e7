//! TCP connections that are not established.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flowtape_schemas::node::{Direction, Hook, Outcome as Ended};

use crate::case_tcp::begin_connect;
use crate::matrix::Row;
use crate::seen::Seen;
use crate::stage::Stage;
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[
    Case::within("refused", refused),
    Case::within("timed_out", timed_out),
    Case::within("host_unreachable_by_icmp", unreachable),
    Case::within("prohibited_by_icmp6", prohibited),
    Case::within("unreachable_before_the_first_packet", no_route),
    Case::within("given_up_before_an_answer", given_up),
    Case::within("crossed_and_given_up", crossed),
    Case::within("client_killed_while_it_connects", killed),
    Case::within("client_killed_when_connected", killed_later),
];

fn refused(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    let client = stage.actor("client")?;
    for name in ["a", "b"] {
        client.must(&[&format!("socket {name}{port} v4 stream")])?;
        client.must_fail(&format!("connect {name}{port} {to}"), libc::ECONNREFUSED)?;
    }
    Ok(Ran::Rows(vec![Row::out("client", to, 2).ended(Ended::Refused)]))
}

/// Agents of the lab let two attempts do: three seconds.
fn timed_out(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("walled", port)?;
    stage.wall("walled", &[format!("tcp dport {port} drop")])?;
    let client = stage.actor("client")?;
    client.must(&[&format!("socket c{port} v4 stream")])?;
    client.must_fail(&format!("connect c{port} {to}"), libc::ETIMEDOUT)?;
    Ok(Ran::Rows(vec![Row::out("client", to, 1).ended(Ended::Timeout)]))
}

fn unreachable(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("walled", port)?;
    let rule = format!("tcp dport {port} reject with icmpx host-unreachable");
    rejected(stage, to, rule, libc::EHOSTUNREACH)
}

fn prohibited(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v6("walled", port)?;
    let rule = format!("tcp dport {port} reject with icmpv6 admin-prohibited");
    rejected(stage, to, rule, libc::EACCES)
}

/// The client's own node knows no way: no packet ever leaves.
fn no_route(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    stage.within(
        "client",
        &["ip", "route", "replace", "unreachable", "198.18.0.0/15"],
        "",
    )?;
    let to = SocketAddr::from(([198, 18, 0, 1], port));
    let client = stage.actor("client")?;
    for name in ["a", "b"] {
        client.must(&[&format!("socket {name}{port} v4 stream")])?;
        client.must_fail(&format!("connect {name}{port} {to}"), libc::EHOSTUNREACH)?;
    }
    Ok(Ran::Rows(vec![Row::out("client", to, 2).ended(Ended::Unreachable)]))
}

fn rejected(stage: &mut Stage, to: SocketAddr, rule: String, errno: i32) -> Outcome<Ran> {
    let (port, family) = (to.port(), crate::remote::family(to));
    stage.wall("walled", &[rule])?;
    let client = stage.actor("client")?;
    client.must(&[&format!("socket c{port} {family} stream")])?;
    client.must_fail(&format!("connect c{port} {to}"), errno)?;
    Ok(Ran::Rows(vec![Row::out("client", to, 1).ended(Ended::Unreachable)]))
}

fn given_up(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("walled", port)?;
    stage.wall("walled", &[format!("tcp dport {port} drop")])?;
    let client = stage.actor("client")?;
    begin_connect(client, port, to)?;
    client.must(&[&format!("close c{port}")])?;
    Ok(Ran::Rows(vec![Row::out("client", to, 1).ended(Ended::Unknown)]))
}

/// Both begin to connect to each other, and neither hears an answer: one or both wait for the end of the handshake
/// (`SYN_RECV`) when they give up.
fn crossed(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let (one, two) = (stage.v4("client", port)?, stage.v4("server", port + 1)?);
    let sides = [("client", one, two), ("server", two, one)];
    let lost = |own: SocketAddr, flags: &str| format!("tcp dport {} tcp flags {flags} / syn,ack drop", own.port());
    for (name, own, _) in sides {
        stage.wall(name, &[lost(own, "syn")])?;
    }
    for (name, own, to) in sides {
        let bind = [
            format!("socket c{port} v4 stream"),
            format!("bind c{port} {own}"),
            format!("option c{port} nonblock"),
        ];
        let actor = stage.actor(name)?;
        actor.must(&bind.each_ref().map(String::as_str))?;
        actor.must_fail(&format!("connect c{port} {to}"), libc::EINPROGRESS)?;
    }
    for (name, own, _) in sides {
        stage.wall(name, &[lost(own, "syn | ack")])?;
    }
    let mut processes = Vec::new();
    for (name, _, to) in sides {
        processes.push((stage.actor(name)?.process(), to.port(), "03"));
    }
    wait_for(&processes)?;
    for (name, _, _) in sides {
        stage.actor(name)?.must(&[&format!("close c{port}")])?;
        stage.wall(name, &[])?;
    }
    let rows = sides.map(|(name, _, to)| Row::out(name, to, 1).ended(Ended::Unknown));
    let check = move |seen: &Seen| {
        let ports = [one.port(), two.port()].map(Some);
        let flows = seen.node()?.flows.iter();
        let theirs = flows.filter(|row| row.direction == Direction::Out && ports.contains(&row.service_port));
        // What is not told waits for the end of the window, and is of the hook that noted it.
        let told: Vec<_> = theirs.map(|row| row.hook).collect();
        if told == [Hook::SetState; 2] {
            return Ok(());
        }
        Err(format!("their ends are told by {told:?}").into())
    };
    Ok(Ran::Checked(rows.to_vec(), Box::new(check)))
}

fn killed(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("walled", port)?;
    stage.wall("walled", &[format!("tcp dport {port} drop")])?;
    let mut client = stage.another("client")?;
    client.must(&[&format!("socket c{port} v4 stream")])?;
    client.begin(&format!("connect c{port} {to}"))?;
    wait_for_syn(client.process(), port)?;
    client.kill()?;
    Ok(Ran::Rows(vec![Row::out("client", to, 1).ended(Ended::Unknown)]))
}

/// Waits until a socket of a process's network namespace waits for an answer from a port.
fn wait_for_syn(process: u32, port: u16) -> Outcome {
    wait_for(&[(process, port, "02")])
}

/// Waits until the network namespace of one of these processes has a socket with such a port on the other side, in such a state
/// (`include/net/tcp_states.h`).
fn wait_for(any: &[(u32, u16, &str)]) -> Outcome {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        for (process, port, state) in any {
            let mark = format!(":{port:04X} {state} ");
            if std::fs::read_to_string(format!("/proc/{process}/net/tcp"))?.contains(&mark) {
                return Ok(());
            }
        }
        if Instant::now() > until {
            return Err(format!("none of these came to be: {any:?}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn killed_later(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    let mut client = stage.another("client")?;
    client.connect(&format!("c{port}"), to)?;
    client.kill()?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}
