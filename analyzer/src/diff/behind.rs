//! The rules behind a difference between two policy sets.

use crate::policy::model::{Direction, PolicySet};
use crate::policy::ports::Protocol;
use crate::semantics::class::Classes;
use crate::semantics::eval::{By, Connection};
use crate::semantics::index::Index;
use crate::semantics::world::{Endpoint, Pod};

/// The rules of a set that allow a connection between two classes, at either end; sorted.
pub(super) fn allowing(
    set: &PolicySet,
    index: &Index<'_>,
    classes: &Classes<'_>,
    (client, server): (usize, usize),
    protocol: Protocol,
    port: u16,
) -> Vec<By> {
    let (Some(from), Some(to)) = (classes.ends(client).next(), classes.ends(server).next()) else {
        return Vec::new();
    };
    // Traffic of a pod with itself, and from its own node, is no matter of policies: these stand for others like them.
    let [from_pod, to_pod] = [(from, "-"), (to, "+")].map(|(end, mark)| elsewhere(end, mark));
    let connection = Connection {
        from: replaced(from, from_pod.as_ref()),
        to: replaced(to, to_pod.as_ref()),
        protocol,
        port,
    };
    let mut by = Vec::new();
    for direction in [Direction::Egress, Direction::Ingress] {
        for part in index.side(&connection, direction).parts {
            let policy = &set.policies()[part.policy];
            let rule = policy.rules(direction).and_then(|rules| rules.get(part.rule.index));
            by.extend(rule.map(|rule| By::of(policy, Some((part.rule, rule)))));
        }
    }
    by.sort_unstable();
    by.dedup();
    by
}

/// The policies of a set that isolate a class in a direction.
pub(super) fn isolating(set: &PolicySet, classes: &Classes<'_>, class: usize, direction: Direction) -> Vec<By> {
    let Some((pod, _)) = classes.list()[class].pods.first() else {
        return Vec::new();
    };
    let selects = set.iter().filter(|policy| {
        policy.namespace == pod.namespace && policy.rules(direction).is_some() && policy.subject.matches(&pod.labels)
    });
    selects.map(|policy| By::of(policy, None)).collect()
}

/// The pod of an end as another one of its kind, on no node.
fn elsewhere(end: Endpoint<'_>, mark: &str) -> Option<Pod> {
    match end {
        Endpoint::Pod { pod, address: _ } => Some(Pod {
            name: format!("{}{mark}", pod.name),
            node: None,
            ..pod.clone()
        }),
        Endpoint::Address(_) => None,
    }
}

const fn replaced<'a>(end: Endpoint<'a>, pod: Option<&'a Pod>) -> Endpoint<'a> {
    match (end, pod) {
        (Endpoint::Pod { pod: _, address }, Some(pod)) => Endpoint::Pod { pod, address },
        (Endpoint::Pod { .. } | Endpoint::Address(_), _) => end,
    }
}
