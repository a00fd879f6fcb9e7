//! What each workload was seen to do: a part of the body of `flowtape.inspect/v1`.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::time::Time;
use flowtape_schemas::value::Words as _;
use serde::Serialize;

use super::peer::{Peer, PeerIdentity};
use crate::flow::activity::{Activity as Besides, Samples};
use crate::flow::edge::{Edge, Peer as DomainPeer, Transport};
use crate::flow::governed::{Governed, governed};
use crate::identity::cluster::Cluster;
use crate::identity::{Identity, Workload};

/// What a workload was seen to do.
#[derive(Clone, Debug, Serialize)]
pub struct Activity {
    /// The workload.
    pub workload: Peer,
    /// Its own ports that somebody used, such as `3306/TCP`, by protocol and number; not those of refused and unanswered
    /// attempts.
    pub serves: Vec<String>,
    /// How many peers used them.
    pub clients: u64,
    /// How many peers it used itself.
    pub servers: u64,
    /// When it was first part of an edge; null if never.
    pub first_seen: Option<Time>,
    /// When it was last part of an edge.
    pub last_seen: Option<Time>,
    /// Ports it waited on, by protocol and number.
    pub listens: Vec<String>,
    /// Processes that used sockets, by name, as far as samples tell them.
    pub processes: Vec<Process>,
    /// Who asked it, with every outcome.
    pub ingress: Vec<Talk>,
    /// Whom it asked, with every outcome.
    pub egress: Vec<Talk>,
}

/// A process that used sockets.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    /// Its name (`comm`).
    pub name: String,
    /// Samples of what it did.
    pub samples: u64,
    /// The first of them.
    pub first_seen: Time,
    /// The last of them.
    pub last_seen: Time,
}

impl Process {
    /// A process with its samples.
    pub(super) fn new(name: &str, samples: Samples) -> Self {
        let Samples {
            count,
            first_seen,
            last_seen,
        } = samples;
        Self {
            name: name.to_owned(),
            samples: count,
            first_seen,
            last_seen,
        }
    }
}

/// An edge as one of its sides has it.
#[derive(Clone, Debug, Serialize)]
pub struct Talk {
    /// The other side.
    pub peer: Peer,
    /// `TCP`, `UDP`, `SCTP`, or `IP-` and the number.
    pub protocol: String,
    /// The server's own port.
    pub port: u16,
    /// How the attempts ended.
    pub outcome: &'static str,
    /// Connections or datagrams.
    pub count: u64,
    /// The first of them.
    pub first_seen: Time,
    /// The last of them.
    pub last_seen: Time,
}

#[derive(Default)]
struct Seen {
    serves: BTreeSet<(Transport, u16)>,
    clients: BTreeSet<Identity>,
    servers: BTreeSet<Identity>,
    span: Option<(Time, Time)>,
    ingress: Vec<Talk>,
    egress: Vec<Talk>,
}

/// Every workload that has pods or traffic; one without traffic stands there with nothing.
pub(super) fn activities(cluster: &Cluster, edges: &[Edge], besides: &BTreeMap<Workload, Besides>) -> Vec<Activity> {
    let idle = cluster.pods.values().map(|pod| (pod.workload.clone(), Seen::default()));
    let mut all: BTreeMap<Workload, Seen> = idle.collect();
    for edge in edges {
        let key = &edge.key;
        let governed = governed(key) != Governed::NotEstablished;
        if let Identity::Workload(client) = &key.from.identity {
            let client = all.entry(client.clone()).or_default();
            client.egress.push(talk(edge, &key.to));
            client.widen(edge);
            if governed {
                client.servers.insert(key.to.identity.clone());
            }
        }
        if let Identity::Workload(server) = &key.to.identity {
            let server = all.entry(server.clone()).or_default();
            server.ingress.push(talk(edge, &key.from));
            server.widen(edge);
            if governed {
                server.clients.insert(key.from.identity.clone());
                server.serves.insert((key.protocol, key.port));
            }
        }
    }
    let nothing = Besides::default();
    let activity = |(workload, seen): (Workload, Seen)| {
        let besides = besides.get(&workload).unwrap_or(&nothing);
        activity(&workload, seen, besides)
    };
    all.into_iter().map(activity).collect()
}

impl Seen {
    fn widen(&mut self, edge: &Edge) {
        let (first, last) = (edge.evidence.first_seen, edge.evidence.last_seen);
        let (known_first, known_last) = self.span.unwrap_or((first, last));
        self.span = Some((known_first.min(first), known_last.max(last)));
    }
}

fn activity(workload: &Workload, seen: Seen, besides: &Besides) -> Activity {
    let Seen {
        serves,
        clients,
        servers,
        span,
        ingress,
        egress,
    } = seen;
    let Besides { listens, processes } = besides;
    Activity {
        workload: Peer {
            identity: PeerIdentity::from(workload),
            role: None,
        },
        serves: ports(&serves),
        clients: clients.len() as u64,
        servers: servers.len() as u64,
        first_seen: span.map(|(first, _)| first),
        last_seen: span.map(|(_, last)| last),
        listens: ports(listens),
        processes: processes
            .iter()
            .map(|(name, samples)| Process::new(name, *samples))
            .collect(),
        ingress,
        egress,
    }
}

fn ports(ports: &BTreeSet<(Transport, u16)>) -> Vec<String> {
    ports
        .iter()
        .map(|(protocol, port)| format!("{port}/{protocol}"))
        .collect()
}

fn talk(edge: &Edge, peer: &DomainPeer) -> Talk {
    Talk {
        peer: peer.into(),
        protocol: edge.key.protocol.to_string(),
        port: edge.key.port,
        outcome: edge.key.outcome.word(),
        count: edge.evidence.count,
        first_seen: edge.evidence.first_seen,
        last_seen: edge.evidence.last_seen,
    }
}
