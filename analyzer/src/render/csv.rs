//! Edges for spreadsheets: one line each below the names of the columns, RFC 4180.

use csv::{Terminator, WriterBuilder};

use crate::escape::escaped;
use crate::json::edge::{Edge, Service};
use crate::json::peer::{Peer, PeerIdentity};

/// The columns. Names of the cluster have their own, so that nobody has to split a text.
const HEAD: [&str; 24] = [
    "id",
    "from_type",
    "from_namespace",
    "from_kind",
    "from_name",
    "from_role",
    "to_type",
    "to_namespace",
    "to_kind",
    "to_name",
    "to_role",
    "protocol",
    "port",
    "port_name",
    "services",
    "outcome",
    "count",
    "first_seen",
    "last_seen",
    "seen_by",
    "predates_window",
    "assumed",
    "node_ports",
    "translated",
];

/// The whole text.
#[must_use]
pub fn edges(edges: &[Edge]) -> String {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    let rows = std::iter::once(HEAD.map(str::to_owned)).chain(edges.iter().map(row));
    for row in rows {
        let cells = row.map(|cell| harmless(&cell));
        writer
            .write_record(&cells)
            .expect("every row has the columns of the head, and memory takes them");
    }
    let bytes = writer.into_inner().expect("memory takes what is left");
    String::from_utf8(bytes).expect("texts stay texts between quotes and commas")
}

fn row(edge: &Edge) -> [String; 24] {
    let Edge {
        id,
        from,
        to,
        protocol,
        port,
        port_name,
        service: _,
        services,
        node_ports,
        translated,
        outcome,
        count,
        first_seen,
        last_seen,
        seen_by,
        predates_window,
        assumed,
    } = edge;
    let [from_type, from_namespace, from_kind, from_name, from_role] = peer(from);
    let [to_type, to_namespace, to_kind, to_name, to_role] = peer(to);
    let service = |Service { namespace, name, port }: &Service| format!("{namespace}/{name}:{port}");
    [
        id.clone(),
        from_type,
        from_namespace,
        from_kind,
        from_name,
        from_role,
        to_type,
        to_namespace,
        to_kind,
        to_name,
        to_role,
        protocol.clone(),
        port.to_string(),
        port_name.clone().unwrap_or_default(),
        services.iter().map(service).collect::<Vec<_>>().join(" "),
        (*outcome).to_owned(),
        count.to_string(),
        first_seen.to_string(),
        last_seen.to_string(),
        seen_by.join(" "),
        predates_window.to_string(),
        assumed.to_string(),
        node_ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" "),
        translated.join(" "),
    ]
}

/// Type, namespace, kind, name and role; the name of what has none is its address.
fn peer(peer: &Peer) -> [String; 5] {
    let Peer { identity, role } = peer;
    let (type_, namespace, kind, name) = match identity {
        PeerIdentity::Workload {
            namespace,
            kind,
            name,
            host_network: _,
        } => ("workload", namespace.as_str(), kind.as_str(), name.as_str()),
        PeerIdentity::Service { namespace, name } => ("service", namespace.as_str(), "", name.as_str()),
        PeerIdentity::Node { name } => ("node", "", "", name.as_str()),
        PeerIdentity::External {
            cidr,
            except: _,
            names: _,
        } => ("external", "", "", cidr.as_str()),
        PeerIdentity::Unknown { ip, reason } => ("unknown", "", *reason, ip.as_deref().unwrap_or_default()),
    };
    [type_, namespace, kind, name, role.unwrap_or_default()].map(str::to_owned)
}

/// A cell that does nothing but stand there: spreadsheets compute what begins with one of these characters, even between
/// quotes, unless an apostrophe is before it.
fn harmless(cell: &str) -> String {
    let cell = escaped(cell);
    if cell.starts_with(['=', '+', '-', '@']) {
        format!("'{cell}")
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD, edges, harmless};
    use crate::json::edge::{Edge, Service};
    use crate::json::peer::{Peer, PeerIdentity};
    use flowtape_schemas::time::Time;

    fn edge(name: &str) -> Edge {
        let workload = PeerIdentity::Workload {
            namespace: "shop".to_owned(),
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
            host_network: false,
        };
        let outside = PeerIdentity::External {
            cidr: "203.0.113.7/32".to_owned(),
            except: Vec::new(),
            names: Vec::new(),
        };
        let service = |port| Service {
            namespace: "shop".to_owned(),
            name: "api".to_owned(),
            port,
        };
        Edge {
            id: "0facac9585ad53f0".to_owned(),
            from: Peer {
                identity: outside,
                role: Some("ingress"),
            },
            to: Peer {
                identity: workload,
                role: None,
            },
            protocol: "TCP".to_owned(),
            port: 8080,
            port_name: None,
            service: None,
            services: vec![service(80), service(443)],
            node_ports: vec![30080],
            translated: vec!["snat"],
            outcome: "established",
            count: 3,
            first_seen: Time(0),
            last_seen: Time(1),
            seen_by: vec!["client", "server"],
            predates_window: false,
            assumed: true,
        }
    }

    #[test]
    fn an_edge_is_a_line() {
        let text = edges(&[edge("web")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                HEAD.join(",").as_str(),
                "0facac9585ad53f0,external,,,203.0.113.7/32,ingress,workload,shop,Deployment,web,,TCP,8080,,\
                 shop/api:80 shop/api:443,established,3,1970-01-01T00:00:00.000000000Z,1970-01-01T00:00:00.000000001Z,\
                 client server,false,true,30080,snat"
            ]
        );
    }

    #[test]
    fn a_hostile_name_is_a_text() {
        let text = edges(&[edge("=cmd|' /C calc'!A1,\"\n@x")]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains(r#","'=cmd|' /C calc'!A1,""\n@x","#), "{text}");
        for (cell, stands) in [
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("a=1", "a=1"),
            ("\t=1", "\\t=1"),
        ] {
            assert_eq!(harmless(cell), stands);
        }
    }
}
