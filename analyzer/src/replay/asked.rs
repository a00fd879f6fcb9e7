//! One connection between two that a person names, judged for every pod and address that they stand for.

use super::soundness::routes;
use crate::policy::model::PolicySet;
use crate::policy::ports::Protocol;
use crate::semantics::eval::{Connection, Verdict, eval};
use crate::semantics::world::{Endpoint, World};

/// What policies say to a connection of one pod with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The client: `NAMESPACE/POD`, or an address.
    pub from: String,
    /// The server.
    pub to: String,
    /// The first verdict that denies over all addresses of one family, otherwise one that allows.
    pub verdict: Verdict,
}

/// The answer for each pair of pods, or addresses, that have an address family in common. A pod with itself is asked about
/// only where nothing else is, because no policy ever governs that.
#[must_use]
pub fn answers(
    set: &PolicySet,
    world: &World,
    clients: &[Vec<Endpoint<'_>>],
    servers: &[Vec<Endpoint<'_>>],
    (protocol, port): (Protocol, u16),
) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut with_itself = Vec::new();
    for client in clients {
        for server in servers {
            let verdicts = routes(client, server).into_iter().map(|(from, to)| {
                let connection = Connection {
                    from,
                    to,
                    protocol,
                    port,
                };
                eval(set, world, &connection)
            });
            let Some(verdict) = verdicts.min_by_key(Verdict::allowed) else {
                continue;
            };
            let (from, to) = (name(client), name(server));
            let place = if from == to { &mut with_itself } else { &mut answers };
            place.push(Answer { from, to, verdict });
        }
    }
    if answers.is_empty() { with_itself } else { answers }
}

/// What the endpoints of one list are: they are those of one pod, one node or one address.
fn name(endpoints: &[Endpoint<'_>]) -> String {
    match endpoints.first() {
        Some(Endpoint::Pod { pod, address: _ }) => format!("{}/{}", pod.namespace, pod.name),
        Some(Endpoint::Address(address)) => address.to_string(),
        None => String::new(),
    }
}
