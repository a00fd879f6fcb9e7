//! Proxies in the way, as those of a service mesh: the network namespace of each pod redirects what its application opens, and
//! what is opened to it, to a proxy in another container of the pod.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use flowtape::identity::Identity;
use flowtape_schemas::address::Address;
use flowtape_schemas::node::Direction;

use crate::matrix::Row;
use crate::remote::Remote;
use crate::seen::Seen;
use crate::stage::Stage;
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[Case::within("proxies_of_a_mesh", sidecars)];

/// Ports of Istio's proxies: for what leaves a pod, and for what comes in.
const OUTBOUND: u16 = 15_001;
const INBOUND: u16 = 15_006;

/// From where Istio's proxy hands on to its application.
const HANDING: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// One connection of an application to another, through both proxies.
fn sidecars(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let (caller, to) = (stage.v4("caller", 0)?, stage.v4("callee", port)?);
    // The proxy is known by the port it binds; a real one by its user.
    let own = SocketAddr::new(caller.ip(), port + 1);
    redirect(
        stage,
        "caller",
        &format!("tcp dport {port} tcp sport != {} redirect to :{OUTBOUND}", own.port()),
        "",
    )?;
    redirect(stage, "callee", "", &format!("tcp dport {port} redirect to :{INBOUND}"))?;
    let mut taking = proxy(stage, "caller", 1)?;
    let mut inlet = proxy(stage, "callee", 2)?;
    taking.listen("out", SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), OUTBOUND))?;
    inlet.listen("in", SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), INBOUND))?;
    stage.actor("callee")?.listen("application", to)?;

    stage.actor("caller")?.connect("meshed", to)?;
    let taken: SocketAddr = taking.value("accept out taken")?;
    taking.must(&[
        "socket onward v4 stream",
        &format!("bind onward {own}"),
        &format!("connect onward {to}"),
    ])?;
    let arrived: SocketAddr = inlet.value("accept in arrived")?;
    let handing = SocketAddr::new(HANDING, 0);
    inlet.must(&[
        "socket handing v4 stream",
        &format!("bind handing {handing}"),
        &format!("connect handing {to}"),
    ])?;
    let served: SocketAddr = stage.actor("callee")?.value("accept application served")?;
    for (who, address, wanted) in [
        ("taking", taken, caller.ip()),
        ("inlet", arrived, caller.ip()),
        ("callee", served, HANDING),
    ] {
        if address.ip() != wanted {
            return Err(format!("{who} accepted {address}, not from {wanted}").into());
        }
    }
    if arrived != own {
        return Err(format!("what arrived is of {arrived}, not of the caller's proxy").into());
    }
    stage.keep(taking);
    stage.keep(inlet);

    let from = Address::from(caller.ip());
    let rows = vec![
        // The application's socket says what it asked for, and so does its proxy's.
        Row::out("caller", to, 2),
        Row::of_server("caller", from, OUTBOUND, 1),
        Row::of_server("callee", from, INBOUND, 1),
        Row::out("callee", to, 1),
        Row::of_server("callee", Address::from(HANDING), port, 1),
    ];
    Ok(Ran::Checked(rows, Box::new(move |seen| one_edge(seen, port))))
}

/// One edge comes of it, between the applications at the port of the server's, and both saw it; the socket that took the
/// caller's connection is at loopback, and of another control group than the one that opened it.
fn one_edge(seen: &Seen, port: u16) -> Outcome {
    let flows = seen.tape.nodes.iter().flat_map(|node| &node.flows);
    let rows: Vec<_> = flows.filter(|row| row.service_port == Some(OUTBOUND)).collect();
    let [taking] = rows.as_slice() else {
        return Err(format!("{} rows of the proxy that took it: {rows:?}", rows.len()).into());
    };
    if taking.direction != Direction::In || taking.local_ip.is_none_or(|local| !local.ip().is_loopback()) {
        return Err(format!("the proxy took it by {taking:?}").into());
    }
    let named = |identity: &Identity, name: &str| matches!(identity, Identity::Workload(one) if one.name == name);
    let ours = |identity: &Identity| named(identity, "caller") || named(identity, "callee");
    let mut edges = seen.flows.edges.iter();
    let edges: Vec<_> = edges
        .by_ref()
        .filter(|edge| ours(&edge.key.from.identity) || ours(&edge.key.to.identity))
        .collect();
    let [edge] = edges.as_slice() else {
        return Err(format!("{} edges: {edges:?}", edges.len()).into());
    };
    let between = named(&edge.key.from.identity, "caller") && named(&edge.key.to.identity, "callee");
    let seen_by_both = edge.evidence.seen_by.len() == 2 && !edge.evidence.assumed;
    if between && seen_by_both && (edge.key.port, edge.evidence.count) == (port, 1) {
        return Ok(());
    }
    Err(format!("the edge is {edge:?}").into())
}

/// An actor in another container of a pod.
fn proxy(stage: &Stage, pod: &str, number: u8) -> Outcome<Remote> {
    let place = stage.place(pod)?;
    let of_pod = place.cgroup.parent().ok_or("a container has no pod")?;
    let container = of_pod.join(match place.cgroup.extension() {
        Some(_) => format!("cri-containerd-{number:064x}.scope"),
        None => format!("{number:064x}"),
    });
    std::fs::create_dir_all(&container)?;
    Remote::start(&container.display().to_string(), &place.netns.display().to_string())
}

/// Redirects what leaves a pod and what comes in, in the pod's own network namespace.
fn redirect(stage: &Stage, pod: &str, output: &str, prerouting: &str) -> Outcome {
    let chain = |hook: &str, rule: &str| {
        format!("\tchain {hook} {{\n\t\ttype nat hook {hook} priority -100;\n\t\t{rule}\n\t}}\n")
    };
    let table = format!(
        "table ip mesh {{\n{}{}}}\n",
        chain("output", output),
        chain("prerouting", prerouting)
    );
    stage.within(pod, &["nft", "-f", "-"], &table)
}
