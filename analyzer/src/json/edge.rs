//! An edge with its evidence, and the body of `flowtape.flows/v1`.

use std::fmt::Write as _;

use flowtape_schemas::manifest::sha256_hex;
use flowtape_schemas::time::Time;
use serde::Serialize;

use super::peer::Peer;
use crate::flow::edge::{Edge as DomainEdge, EdgeKey, Evidence, ServiceUse};

/// Body of `flowtape.flows/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Flows {
    /// Every edge, in the order of the edges' keys.
    pub edges: Vec<Edge>,
}

/// A client, a server, a port, and what supports that they talked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// The same in every recording: the first 16 hexadecimal digits of a hash of both peers, protocol and port.
    pub id: String,
    /// The client.
    pub from: Peer,
    /// The server.
    pub to: Peer,
    /// `TCP`, `UDP`, `SCTP`, or `IP-` and the number.
    pub protocol: String,
    /// The server's own port.
    pub port: u16,
    /// Name of the port, where the server's pod declares one.
    pub port_name: Option<String>,
    /// The Service the client went through, if it was exactly one.
    pub service: Option<Service>,
    /// Every Service that clients went through.
    pub services: Vec<Service>,
    /// Those of them of which that is supposed, because something else that a client asked for explains it as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services_assumed: Vec<Service>,
    /// Ports of nodes that clients addressed.
    pub node_ports: Vec<u16>,
    /// What nodes did to the addresses of some of them: `snat`, the server saw the address of a node; `hairpin`, so did a
    /// server that reached itself.
    pub translated: Vec<&'static str>,
    /// `established`, `refused`, `timeout`, `unreachable` or `unknown`.
    pub outcome: &'static str,
    /// Connections or datagrams.
    pub count: u64,
    /// The first of them.
    pub first_seen: Time,
    /// The last of them.
    pub last_seen: Time,
    /// Which sides were recorded: `client`, `server`.
    pub seen_by: Vec<&'static str>,
    /// Whether one was open before the window began.
    pub predates_window: bool,
    /// Whether the server is supposed, which a finding names, and not seen.
    pub assumed: bool,
}

/// A Service as the client addressed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The port that the client addressed.
    pub port: u16,
}

impl From<&DomainEdge> for Edge {
    fn from(edge: &DomainEdge) -> Self {
        Self::new(edge, id(&edge.key))
    }
}

impl Edge {
    /// An edge whose id is known.
    #[must_use]
    pub fn new(edge: &DomainEdge, id: String) -> Self {
        let DomainEdge { key, evidence } = edge;
        let EdgeKey {
            from,
            to,
            protocol,
            port,
            outcome,
        } = key;
        let Evidence {
            count,
            first_seen,
            last_seen,
            seen_by,
            predates_window,
            nodes: _,
            services,
            rivalled,
            node_ports,
            translated,
            port_name,
            assumed,
            pairs: _,
            samples: _,
        } = evidence;
        let services: Vec<Service> = services.iter().map(Service::from).collect();
        Self {
            id,
            from: from.into(),
            to: to.into(),
            protocol: protocol.to_string(),
            port: *port,
            port_name: port_name.clone(),
            service: <[Service; 1]>::try_from(services.clone()).ok().map(|[only]| only),
            services,
            services_assumed: rivalled.iter().map(Service::from).collect(),
            node_ports: node_ports.iter().copied().collect(),
            translated: translated.iter().map(|translation| translation.word()).collect(),
            outcome: flowtape_schemas::value::Words::word(*outcome),
            count: *count,
            first_seen: *first_seen,
            last_seen: *last_seen,
            seen_by: seen_by.iter().map(|side| side.word()).collect(),
            predates_window: *predates_window,
            assumed: *assumed,
        }
    }
}

impl From<&ServiceUse> for Service {
    fn from(service: &ServiceUse) -> Self {
        let ServiceUse { namespace, name, port } = service;
        Self {
            namespace: namespace.clone(),
            name: name.clone(),
            port: *port,
        }
    }
}

/// The first 16 hexadecimal digits of the SHA-256 of what an edge is between: not of its outcome and not of the peers'
/// roles, so that it names the same connection in every recording. Each word is preceded by its length in bytes and a
/// colon, which no two different edges share.
#[must_use]
pub fn id(key: &EdgeKey) -> String {
    let (from, to) = (Peer::from(&key.from), Peer::from(&key.to));
    let (protocol, port) = (key.protocol.to_string(), key.port.to_string());
    let words = from.identity.words().into_iter().chain(to.identity.words());
    let mut text = String::new();
    for word in words.chain([protocol.as_str(), port.as_str()]) {
        let _ = write!(text, "{}:{word}", word.len());
    }
    sha256_hex(text.as_bytes())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use flowtape_schemas::node::Outcome;
    use flowtape_schemas::time::Time;

    use super::Edge;
    use crate::findings::Samples;
    use crate::flow::edge::{Edge as DomainEdge, EdgeKey, Evidence, Peer, ServiceUse, Side, Transport};
    use crate::identity::{Identity, Role, Workload};

    fn edge(role: Option<Role>, outcome: Outcome) -> DomainEdge {
        let workload = |name: &str| {
            Identity::Workload(Workload {
                namespace: "dvwa".to_owned(),
                kind: "Deployment".to_owned(),
                name: name.to_owned(),
                host_network: false,
            })
        };
        let peer = |name, role| Peer {
            identity: workload(name),
            role,
        };
        DomainEdge {
            key: EdgeKey {
                from: peer("dvwa-web", None),
                to: peer("dvwa-mysql", role),
                protocol: Transport::TCP,
                port: 3306,
                outcome,
            },
            evidence: Evidence {
                count: 12,
                first_seen: Time(0),
                last_seen: Time(1_500_000_000),
                seen_by: [Side::Client, Side::Server].into(),
                predates_window: false,
                nodes: ["n1".to_owned()].into(),
                node_ports: [].into(),
                translated: [].into(),
                services: [ServiceUse {
                    namespace: "dvwa".to_owned(),
                    name: "dvwa-mysql".to_owned(),
                    port: 3306,
                }]
                .into(),
                rivalled: [].into(),
                port_name: Some("mysql".to_owned()),
                assumed: false,
                pairs: [].into(),
                samples: Samples::default(),
            },
        }
    }

    #[test]
    fn the_shape_is_the_documented_one() {
        let json = serde_json::to_string_pretty(&Edge::from(&edge(Some(Role::Dns), Outcome::Established))).unwrap();
        assert_eq!(
            json,
            r#"{
  "id": "0facac9585ad53f0",
  "from": {
    "type": "workload",
    "namespace": "dvwa",
    "kind": "Deployment",
    "name": "dvwa-web",
    "host_network": false
  },
  "to": {
    "type": "workload",
    "namespace": "dvwa",
    "kind": "Deployment",
    "name": "dvwa-mysql",
    "host_network": false,
    "role": "dns"
  },
  "protocol": "TCP",
  "port": 3306,
  "port_name": "mysql",
  "service": {
    "namespace": "dvwa",
    "name": "dvwa-mysql",
    "port": 3306
  },
  "services": [
    {
      "namespace": "dvwa",
      "name": "dvwa-mysql",
      "port": 3306
    }
  ],
  "node_ports": [],
  "translated": [],
  "outcome": "established",
  "count": 12,
  "first_seen": "1970-01-01T00:00:00.000000000Z",
  "last_seen": "1970-01-01T00:00:01.500000000Z",
  "seen_by": [
    "client",
    "server"
  ],
  "predates_window": false,
  "assumed": false
}"#
        );
    }

    #[test]
    fn the_id_names_the_connection_and_not_how_it_went() {
        let plain = Edge::from(&edge(None, Outcome::Established)).id;
        assert_eq!(plain, Edge::from(&edge(Some(Role::Dns), Outcome::Refused)).id);
        let mut other = edge(None, Outcome::Established);
        other.key.port = 3307;
        assert_ne!(plain, Edge::from(&other).id);
    }
}
