//! Edges as a table.

use super::{Column, Frame};
use crate::json::edge::{Edge, Service};
use crate::json::peer::{Peer, PeerIdentity};

/// The table of these edges. Names of the cluster have their own columns, so that nobody has to split a text.
#[must_use]
pub fn frame(edges: &[Edge]) -> Frame {
    let id = "Names both peers, protocol and port; the same in every recording.";
    let mut columns = vec![Column::text("id", id, edges.iter().map(|edge| Some(edge.id.as_str())))];
    columns.extend(side("from", "the client", &edges.iter().map(|edge| Some(&edge.from))));
    columns.extend(side("to", "the server", &edges.iter().map(|edge| Some(&edge.to))));
    columns.extend(server(edges));
    columns.extend(evidence(edges));
    Frame { columns }
}

fn server(edges: &[Edge]) -> [Column; 4] {
    let service = |Service { namespace, name, port }: &Service| format!("{namespace}/{name}:{port}");
    let services = |edge: &Edge| joined(edge.services.iter().map(service));
    let protocol = "`TCP`, `UDP`, `SCTP`, or `IP-` and the number.";
    let port_name = "Name of the port, where the server's pod declares one.";
    let services_doc = "Services that clients went through, as `namespace/name:port`, with blanks between them.";
    [
        Column::text(
            "protocol",
            protocol,
            edges.iter().map(|edge| Some(edge.protocol.as_str())),
        ),
        Column::integers(
            "port",
            "The server's own port.",
            edges.iter().map(|edge| Some(edge.port)),
        ),
        Column::text(
            "port_name",
            port_name,
            edges.iter().map(|edge| edge.port_name.as_deref()),
        ),
        Column::text("services", services_doc, edges.iter().map(services)),
    ]
}

fn evidence(edges: &[Edge]) -> [Column; 9] {
    let outcome = "How the attempts ended: `established`, `refused`, `timeout`, `unreachable` or `unknown`.";
    let count = "Connections or datagrams; 0 for one that is only older than the window.";
    let predates = "Whether one was open before the window began.";
    let assumed = "Whether the server is supposed, which finding FT3001 explains, and not seen.";
    let node_ports = "Ports of nodes that clients addressed, with blanks between them.";
    let translated = "What nodes did to the addresses of some: `snat`, `hairpin`.";
    let seen_by = |edge: &Edge| joined(edge.seen_by.iter().map(|side| (*side).to_owned()));
    let ports = |edge: &Edge| joined(edge.node_ports.iter().map(u16::to_string));
    let done = |edge: &Edge| joined(edge.translated.iter().map(|word| (*word).to_owned()));
    [
        Column::text("outcome", outcome, edges.iter().map(|edge| Some(edge.outcome))),
        Column::integers("count", count, edges.iter().map(|edge| Some(edge.count))),
        Column::times(
            "first_seen",
            "The first of them.",
            edges.iter().map(|edge| Some(edge.first_seen)),
        ),
        Column::times(
            "last_seen",
            "The last of them.",
            edges.iter().map(|edge| Some(edge.last_seen)),
        ),
        Column::text(
            "seen_by",
            "Which sides were recorded: `client`, `server`.",
            edges.iter().map(seen_by),
        ),
        Column::booleans(
            "predates_window",
            predates,
            edges.iter().map(|edge| Some(edge.predates_window)),
        ),
        Column::booleans("assumed", assumed, edges.iter().map(|edge| Some(edge.assumed))),
        Column::text("node_ports", node_ports, edges.iter().map(ports)),
        Column::text("translated", translated, edges.iter().map(done)),
    ]
}

fn joined(words: impl Iterator<Item = String>) -> Option<String> {
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Type, namespace, kind, name and role of one side; the name of what has none is its address.
pub(super) fn side<'a>(
    prefix: &str,
    who: &str,
    peers: &(impl Iterator<Item = Option<&'a Peer>> + Clone),
) -> [Column; 5] {
    let kind = format!("Kind of {who}, such as `Deployment`; where it is unknown, why.");
    let name = format!("Name of {who}, or its address if it has no name.");
    let column = |field: &str, doc: &str, cell: fn(&Words<'a>) -> Option<&'a str>| {
        let cells = peers.clone().map(|peer| cell(&words(peer?)));
        Column::text(&format!("{prefix}_{field}"), doc, cells)
    };
    let types = format!("What {who} was: `workload`, `service`, `node`, `external` or `unknown`.");
    let role = format!("What part {who} played, if a special one, such as `dns` or `api-server`.");
    [
        column("type", &types, |words| Some(words.types)),
        column("namespace", &format!("Namespace of {who}."), |words| words.namespace),
        column("kind", &kind, |words| words.kind),
        column("name", &name, |words| words.name),
        column("role", &role, |words| words.role),
    ]
}

struct Words<'a> {
    types: &'static str,
    namespace: Option<&'a str>,
    kind: Option<&'a str>,
    name: Option<&'a str>,
    role: Option<&'a str>,
}

fn words(peer: &Peer) -> Words<'_> {
    let Peer { identity, role } = peer;
    let (types, namespace, kind, name) = match identity {
        PeerIdentity::Any => ("any", None, None, None),
        PeerIdentity::AnyPod => ("any-pod", None, None, None),
        PeerIdentity::Workload {
            namespace,
            kind,
            name,
            host_network: _,
        } => (
            "workload",
            Some(namespace.as_str()),
            Some(kind.as_str()),
            Some(name.as_str()),
        ),
        PeerIdentity::Pods { namespace, labels: _ } => ("pods", Some(namespace.as_str()), None, None),
        PeerIdentity::Service { namespace, name } => ("service", Some(namespace.as_str()), None, Some(name.as_str())),
        PeerIdentity::Node { name } => ("node", None, None, Some(name.as_str())),
        PeerIdentity::External {
            cidr,
            except: _,
            names: _,
        } => ("external", None, None, Some(cidr.as_str())),
        PeerIdentity::Unknown { ip, reason } => ("unknown", None, Some(*reason), ip.as_deref()),
    };
    Words {
        types,
        namespace,
        kind,
        name,
        role: *role,
    }
}
