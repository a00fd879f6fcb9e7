//! What policies say to a connection, whether it was recorded or not, and what is missing where they deny it.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use crate::flow::edge::Edge;
use crate::flow::filter::PeerPattern;
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::cidr::Cidr;
use crate::policy::model::{Direction, PolicySet};
use crate::policy::ports::Protocol;
use crate::policy::select::Selector;
use crate::replay::soundness::{connections, same_family};
use crate::replay::world::representative;
use crate::semantics::eval::{Basis, By, Connection, RuleId, Side, eval, matches};
use crate::semantics::world::{Endpoint, World};
use crate::synthesis::volatile::is_volatile;

/// Pods of one workload that are asked about; all others of it are as they are, or there is an answer for each of these.
const PODS: usize = 16;

/// Why ends of a connection cannot be asked about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuestionError {
    /// Nothing has this name.
    #[error("nothing in the metadata of this recording is `{peer}`")]
    NoSuchPeer {
        /// What was written.
        peer: String,
    },
    /// It names many peers.
    #[error("`{peer}` is not one peer")]
    NotOne {
        /// What was written.
        peer: String,
    },
    /// Two workloads have the name.
    #[error("`{peer}` is {}", kinds.join(" and "))]
    Ambiguous {
        /// What was written.
        peer: String,
        /// The workloads.
        kinds: Vec<String>,
    },
    /// The two have no address family in common.
    #[error("`{from}` and `{to}` have no address of one family")]
    Families {
        /// The client.
        from: String,
        /// The server.
        to: String,
    },
}

/// The answer to a question: all its connections that policies answer alike are one [`Case`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Cases, those that are denied first.
    pub cases: Vec<Case>,
}

/// Connections that policies answer alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The first of them: its client and its server.
    pub example: (String, String),
    /// How many there are.
    pub count: usize,
    /// Whether they work.
    pub allowed: bool,
    /// The client's end, then the server's.
    pub ends: [End; 2],
}

/// What one end says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Egress for the client, ingress for the server.
    pub direction: Direction,
    /// What it says, and why.
    pub side: Side,
    /// Rules that nearly match, where it denies.
    pub near: Vec<Near>,
    /// What a rule would have to say, where it denies.
    pub missing: Option<String>,
}

/// A rule that nearly matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Near {
    /// The rule.
    pub by: By,
    /// What of it does not match.
    pub lacks: Lacks,
}

/// What of a rule does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacks {
    /// It has the port, for others.
    Peer,
    /// It has the peer, on other ports.
    Port,
}

impl Lacks {
    /// The stable word of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Port => "port",
        }
    }
}

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => "has this port for other peers",
            Self::Port => "has this peer on other ports",
        })
    }
}

/// Asks for every connection of a recorded edge.
#[must_use]
pub fn of_edge(edge: &Edge, set: &PolicySet, world: &World) -> Answer {
    let pairs = edge.evidence.pairs.iter();
    answer(pairs.flat_map(|pair| connections(&edge.key, pair, world)), set, world)
}

/// Asks for connections from one peer to another on a port.
pub fn of_peers(
    (from, to): (&Named<'_>, &Named<'_>),
    (port, protocol): (u16, Protocol),
    set: &PolicySet,
    world: &World,
) -> Result<Answer, QuestionError> {
    let pairs = from
        .ends
        .iter()
        .flat_map(|from| to.ends.iter().map(move |to| (*from, *to)));
    let asked: Vec<Connection<'_>> = pairs
        .filter(|(from, to)| same_family(*from, *to))
        .map(|(from, to)| Connection {
            from,
            to,
            protocol,
            port,
        })
        .collect();
    if asked.is_empty() {
        let (from, to) = (from.text.clone(), to.text.clone());
        return Err(QuestionError::Families { from, to });
    }
    Ok(answer(asked, set, world))
}

/// A peer of a question.
pub struct Named<'w> {
    text: String,
    ends: Vec<Endpoint<'w>>,
}

/// The pods or the address that a pattern names: one pod, the pods of one workload, a node or an address.
pub fn named<'w>(
    pattern: &PeerPattern,
    text: &str,
    cluster: &Cluster,
    world: &'w World,
) -> Result<Named<'w>, QuestionError> {
    let peer = text.to_owned();
    let ends = match pattern {
        PeerPattern::Namespace(_) | PeerPattern::Type(_) | PeerPattern::Role(_) => {
            return Err(QuestionError::NotOne { peer });
        }
        PeerPattern::Addresses(prefix) => {
            let address = prefix
                .only()
                .ok_or_else(|| QuestionError::NotOne { peer: peer.clone() })?;
            vec![world.endpoint_at(address)]
        }
        PeerPattern::Node(name) => world
            .node_addresses(name)
            .iter()
            .copied()
            .map(Endpoint::Address)
            .collect(),
        PeerPattern::Named { namespace, name } if world.pod(namespace, name).is_some() => {
            let pod = world.pod(namespace, name);
            pod.map_or_else(Vec::new, |pod| world.endpoints(pod))
        }
        PeerPattern::Named { .. } | PeerPattern::Workload { .. } => of_workload(pattern, &peer, cluster, world)?,
    };
    if ends.is_empty() {
        return Err(QuestionError::NoSuchPeer { peer });
    }
    Ok(Named { text: peer, ends })
}

fn of_workload<'w>(
    pattern: &PeerPattern,
    peer: &str,
    cluster: &Cluster,
    world: &'w World,
) -> Result<Vec<Endpoint<'w>>, QuestionError> {
    let mut pods: BTreeMap<&Workload, Vec<(&str, String)>> = BTreeMap::new();
    for pod in cluster.pods.values().filter(|pod| pattern.names(&pod.workload)) {
        let of = pods.entry(&pod.workload).or_default();
        of.push((&pod.namespace, pod.name.clone()));
    }
    for (workload, row) in cluster
        .owners
        .templates()
        .filter(|(workload, _)| pattern.names(workload))
    {
        let stands = || vec![(row.namespace.as_str(), representative(&workload.kind, &workload.name))];
        pods.entry(workload).or_insert_with(stands);
    }
    if pods.len() > 1 {
        return Err(QuestionError::Ambiguous {
            peer: peer.to_owned(),
            kinds: pods.keys().map(ToString::to_string).collect(),
        });
    }
    let mut names: Vec<(&str, String)> = pods.into_values().flatten().collect();
    names.sort();
    let pods = names.iter().filter_map(|(namespace, name)| world.pod(namespace, name));
    Ok(pods.take(PODS).flat_map(|pod| world.endpoints(pod)).collect())
}

fn answer<'w>(asked: impl IntoIterator<Item = Connection<'w>>, set: &PolicySet, world: &World) -> Answer {
    let mut cases: Vec<Case> = Vec::new();
    for connection in asked {
        let verdict = eval(set, world, &connection);
        let allowed = verdict.allowed();
        let egress = end(Direction::Egress, verdict.egress, &connection, set, world);
        let ends = [
            egress,
            end(Direction::Ingress, verdict.ingress, &connection, set, world),
        ];
        match cases.iter_mut().find(|case| case.ends == ends) {
            Some(known) => known.count += 1,
            None => cases.push(Case {
                example: (connection.from.to_string(), connection.to.to_string()),
                count: 1,
                allowed,
                ends,
            }),
        }
    }
    cases.sort_by_key(|case| case.allowed);
    Answer { cases }
}

fn end(direction: Direction, side: Side, connection: &Connection<'_>, set: &PolicySet, world: &World) -> End {
    if side.basis != Basis::NoRule {
        return End {
            direction,
            side,
            near: Vec::new(),
            missing: None,
        };
    }
    let mut near = Vec::new();
    for isolating in &side.by {
        let Some(policy) = set.get(&isolating.namespace, &isolating.name) else {
            continue;
        };
        for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
            let lacks = match matches(rule, policy, world, connection, direction) {
                (true, false) => Lacks::Port,
                (false, true) => Lacks::Peer,
                (true, true) | (false, false) => continue,
            };
            let by = By {
                rule: Some(RuleId { direction, index }),
                source: rule.source.clone().or_else(|| isolating.source.clone()),
                ..isolating.clone()
            };
            near.push(Near { by, lacks });
        }
    }
    let peer = match direction {
        Direction::Egress => connection.to,
        Direction::Ingress => connection.from,
    };
    let names = side.by.iter().map(|by| format!("{}/{}", by.namespace, by.name));
    let missing = format!(
        "{direction} of {} has no rule for {} on {}/{}",
        names.collect::<Vec<_>>().join(" or "),
        peer_text(peer),
        connection.port,
        connection.protocol
    );
    End {
        direction,
        side,
        near,
        missing: Some(missing),
    }
}

/// A peer as a rule would name it.
fn peer_text(peer: Endpoint<'_>) -> String {
    match (peer.selectable_pod(), peer.address()) {
        (Some(pod), _) => {
            let labels = pod.labels.iter().filter(|(key, _)| !is_volatile(key));
            let labels: Vec<(&str, &str)> = labels.map(|(key, value)| (key.as_str(), value.as_str())).collect();
            if labels.is_empty() {
                return format!("pods without a lasting label of namespace {}", pod.namespace);
            }
            format!("pods {} of namespace {}", Selector::from_labels(labels), pod.namespace)
        }
        (None, Some(address)) => Cidr::host(address).to_string(),
        (None, None) => peer.to_string(),
    }
}
