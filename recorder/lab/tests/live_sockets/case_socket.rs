//! Sockets that are no edge: those that are only made, and those that are only bound.

use flowtape::flow::socket::SocketKind;
use flowtape::identity::Identity;
use flowtape_schemas::address::Address;
use flowtape_schemas::node::Hook;

use crate::seen::Seen;
use crate::stage::Stage;
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[
    Case::within("raw_and_ping_sockets_have_an_owner", made),
    Case::within("a_chosen_port_of_udp_is_a_listener", bound),
];

fn made(stage: &mut Stage, _port: u16) -> Outcome<Ran> {
    stage.sysctl("client", "net/ipv4/ping_group_range", "0 0")?;
    let actor = stage.actor("client")?;
    for family in ["v4", "v6"] {
        for kind in ["raw", "ping"] {
            actor.must(&[&format!("socket made-{family}-{kind} {family} {kind}")])?;
        }
    }
    Ok(Ran::Checked(Vec::new(), Box::new(owners)))
}

/// The analyzer knows whose they are, and that what they send is in no edge.
fn owners(seen: &Seen) -> Outcome {
    let of_client = seen.flows.unseen.iter().filter(|sockets| match &sockets.owner {
        Identity::Workload(workload) => workload.name == "client",
        Identity::Service { .. } | Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => {
            false
        }
    });
    let kinds: Vec<_> = of_client.map(|sockets| (sockets.kind, sockets.count)).collect();
    if kinds == [(SocketKind::Raw, 2), (SocketKind::Icmp, 2)] {
        return Ok(());
    }
    Err(format!("the client's sockets are {kinds:?}").into())
}

/// Dual stack, IPv4 and IPv6, each closed again; and one port that the kernel chose.
fn bound(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let (v4, v6) = (stage.v4("server", port + 1)?, stage.v6("server", port + 2)?);
    let any = stage.v4("server", 0)?;
    let actor = stage.actor("server")?;
    let asked = [format!("[::]:{port}"), v4.to_string(), v6.to_string(), any.to_string()];
    for (number, address) in asked.iter().enumerate() {
        let family = if address.starts_with('[') { "v6" } else { "v4" };
        actor.must(&[
            &format!("socket bound-{port}-{number} {family} dgram"),
            &format!("bind bound-{port}-{number} {address}"),
        ])?;
    }
    for number in 1..=3 {
        actor.must(&[&format!("close bound-{port}-{number}")])?;
    }
    Ok(Ran::Checked(
        Vec::new(),
        Box::new(move |seen: &Seen| {
            // Those of this case, and any on a port that the kernel chose (`ip_local_port_range`).
            let is_wanted = |row: &u16| (port..port + 10).contains(row) || *row >= 32_768;
            let mut rows: Vec<_> = seen
                .listens()
                .filter(|row| row.protocol == 17 && is_wanted(&row.port))
                .collect();
            rows.sort_unstable_by_key(|row| row.port);
            let found: Vec<_> = rows
                .iter()
                .map(|row| {
                    let ended = row.valid_to.is_some();
                    (row.port, row.local_ip.map(Address::ip), row.hook, ended)
                })
                .collect();
            let expected = [
                (port, None, Hook::PostBind6, false),
                (port + 1, Some(v4.ip()), Hook::PostBind4, true),
                (port + 2, Some(v6.ip()), Hook::PostBind6, true),
            ];
            if found == expected {
                return Ok(());
            }
            Err(format!("the listeners are {found:?}").into())
        }),
    ))
}
