//! Random scenarios: workloads behind Services, pods that follow each other on an address, and connections between them.

use std::fmt::Write as _;

use flowtape_scenario::Scenario;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

/// Nodes of every cluster.
const NODES: u8 = 3;

/// Workloads that serve: the first half behind one Service, the others behind another.
const SERVERS: u8 = 4;

/// Workloads that only ask.
const CLIENTS: u8 = 3;

/// One line of traffic, as numbers that are taken modulo what there is.
type Line = (u8, u8, u8, u8, u8);

/// A cluster with random places and traffic. All clocks agree, and nothing is lost.
pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let places = vec((0..NODES, 1..3_u8), usize::from(SERVERS + CLIENTS));
    (places, vec(any::<Line>(), 1..12)).prop_map(|(places, lines)| {
        let text = text(&places, &lines);
        Scenario::parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    })
}

fn text(places: &[(u8, u8)], lines: &[Line]) -> String {
    let mut text = "window 60s\ncluster\n".to_owned();
    for node in 0..NODES {
        let _ = writeln!(text, "  node n{node} 172.31.0.1{node} pods 10.244.{node}.0/24");
    }
    for (place, (node, replicas)) in (0_u8..).zip(places) {
        let (first, second) = (node % NODES, (node + 1) % NODES);
        let common = format!("replicas {replicas} on n{first},n{second}");
        let _ = if place < SERVERS {
            let (service, port) = (place / 2, 8000 + u16::from(place));
            writeln!(
                text,
                "  deployment app/w{place} {common} labels app=w{place},serves=s{service} ports http:{port}"
            )
        } else {
            writeln!(text, "  deployment app/c{place} {common} labels app=c{place}")
        };
    }
    for service in 0..SERVERS / 2 {
        let _ = writeln!(
            text,
            "  service app/s{service} 10.96.0.1{service} selects serves=s{service} ports 80->http"
        );
    }
    text.push_str(
        "  pod app/was on n0 labels app=was ports 7000 address 10.244.0.200 to 14s\n  \
         pod app/is on n0 labels app=is ports 7000 address 10.244.0.200 from 16s\n  \
         external 203.0.113.9\ntraffic\n",
    );
    for line in lines {
        text.push_str(&traffic(*line));
    }
    text
}

fn traffic((client, server, count, start, outcome): Line) -> String {
    let early = start % 2 == 0;
    let brief = if early { "was" } else { "is" };
    let first = if early { 1 + start % 6 } else { 17 + start % 20 };
    let client = match client % (CLIENTS + 1) {
        CLIENTS => format!("pod app/{brief}"),
        client => format!("app/c{}", SERVERS + client),
    };
    let (server, may_fail) = match server % (SERVERS + SERVERS / 2 + 2) {
        server if server < SERVERS => (format!("app/w{server}:{}", 8000 + u16::from(server)), true),
        server if server < SERVERS + SERVERS / 2 => (format!("service app/s{}:80", server - SERVERS), false),
        server if server == SERVERS + SERVERS / 2 && !client.starts_with("pod") => {
            (format!("pod app/{brief}:7000"), false)
        }
        _ => ("external 203.0.113.9:443".to_owned(), true),
    };
    let outcome = match outcome % 6 {
        0 if may_fail => " refused",
        1 if may_fail => " timeout",
        _ => "",
    };
    let (count, last) = (1 + count % 6, first + 6);
    format!("  {client} -> {server}/TCP x{count} at {first}s..{last}s{outcome}\n")
}

/// A cluster in which counts leave much open: Services that share backends, node ports, pods that reach themselves, and
/// processes on the network of their node.
pub(crate) fn tangle() -> impl Strategy<Value = Scenario> {
    let places = vec(0..NODES, 3);
    (places, any::<u8>(), vec(any::<Line>(), 1..10)).prop_map(|(places, random, lines)| {
        let text = tangled(&places, random, &lines);
        Scenario::parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    })
}

fn tangled(places: &[u8], random: u8, lines: &[Line]) -> String {
    let mut text = "window 60s\ncluster\n".to_owned();
    for node in 0..NODES {
        let ports = if random >> node & 1 == 1 { " random-ports" } else { "" };
        let _ = writeln!(text, "  node n{node} 172.31.0.1{node} pods 10.244.{node}.0/24{ports}");
    }
    for ((name, labels), node) in [("a", "x=1"), ("b", "x=1,y=1"), ("c", "y=1")].into_iter().zip(places) {
        let _ = writeln!(
            text,
            "  deployment app/{name} replicas 2 on n{},n{} labels app={name},{labels} ports http:8080",
            node % NODES,
            (node + 1) % NODES
        );
    }
    text.push_str(
        "  deployment app/web on n0 labels app=web\n  daemonset app/agent host-network on n0,n1,n2 labels app=agent\n  \
         service app/x 10.96.0.11 selects x=1 ports 80:30080->http\n  \
         service app/y 10.96.0.12 selects y=1 ports 80:30081->http\ntraffic\n",
    );
    for (client, server, count, start, samples) in lines {
        let client = ["app/web", "app/a", "app/b", "app/agent", "node n1", "app/c/0"][usize::from(client % 6)];
        let server = match server % 8 {
            0 | 1 => "service app/x:80".to_owned(),
            2 | 3 => "service app/y:80".to_owned(),
            4 => "node n0:30080".to_owned(),
            5 => "node n2:30081".to_owned(),
            6 => "app/b:8080".to_owned(),
            _ => "app/a:8080".to_owned(),
        };
        let unsampled = if samples % 4 == 0 { " unsampled" } else { "" };
        let (count, first) = (1 + count % 6, 1 + start % 40);
        let _ = writeln!(
            text,
            "  {client} -> {server} x{count} at {first}s..{}s{unsampled}",
            first + 6
        );
    }
    text
}
