//! What policies say to a connection, whether it was recorded or not, and what is missing where they deny it.

use std::fmt;

use crate::flow::edge::Edge;
use crate::policy::cidr::Cidr;
use crate::policy::model::{Direction, PolicySet};
use crate::policy::ports::Protocol;
use crate::policy::select::Selector;
use crate::replay::soundness::{connections, routes};
use crate::semantics::eval::{Basis, By, Connection, RuleId, Side, eval, matches};
use crate::semantics::world::{Endpoint, World};
use crate::synthesis::volatile::is_volatile;

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

/// Asks for connections from some ends to others on a port; `None` if no two of them have an address family in common.
#[must_use]
pub fn of_ends(
    (from, to): (&[Endpoint<'_>], &[Endpoint<'_>]),
    (protocol, port): (Protocol, u16),
    set: &PolicySet,
    world: &World,
) -> Option<Answer> {
    let asked: Vec<Connection<'_>> = routes(from, to)
        .into_iter()
        .map(|(from, to)| Connection {
            from,
            to,
            protocol,
            port,
        })
        .collect();
    (!asked.is_empty()).then(|| answer(asked, set, world))
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
        let Some(policy) = set.iter().find(|policy| By::of(policy, None) == *isolating) else {
            continue;
        };
        for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
            let lacks = match matches(rule, policy, world, connection, direction) {
                (true, false) => Lacks::Port,
                (false, true) => Lacks::Peer,
                (true, true) | (false, false) => continue,
            };
            let by = By::of(policy, Some((RuleId { direction, index }, rule)));
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
