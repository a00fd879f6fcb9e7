//! The rules behind a difference between two policy sets.

use crate::policy::model::{Direction, PolicySet};
use crate::policy::ports::Protocol;
use crate::semantics::class::Classes;
use crate::semantics::eval::{Basis, By, Connection};
use crate::semantics::index::{Index, Judged};
use crate::semantics::tier;
use crate::semantics::world::{Endpoint, Pod, World};

/// The rules of a set that allow a connection between two classes, at either end; sorted.
pub(super) fn allowing(
    set: &PolicySet,
    index: &Index<'_>,
    classes: &Classes<'_>,
    ends: (usize, usize),
    service: (Protocol, u16),
) -> Vec<By> {
    let mut by = Vec::new();
    for judged in judged(index, classes, ends, service) {
        by.extend(
            judged
                .of_cluster
                .filter(|_| judged.basis.allows())
                .map(|rule| index.by(rule)),
        );
        for part in judged.parts {
            let policy = &set.policies()[part.policy];
            let rules = policy.rules(part.rule.direction);
            let rule = rules.and_then(|rules| rules.get(part.rule.index));
            by.extend(rule.map(|rule| By::of(policy, Some((part.rule, rule)))));
        }
    }
    by.sort_unstable();
    by.dedup();
    by
}

/// The rules of policies of the cluster that deny a connection between two classes, at either end; sorted.
pub(super) fn denying(
    index: &Index<'_>,
    classes: &Classes<'_>,
    ends: (usize, usize),
    service: (Protocol, u16),
) -> Vec<By> {
    let judged = judged(index, classes, ends, service).into_iter();
    let denied = judged.filter(|judged| judged.basis == Basis::DenyRule);
    let mut by: Vec<By> = denied
        .filter_map(|judged| judged.of_cluster)
        .map(|rule| index.by(rule))
        .collect();
    by.sort_unstable();
    by
}

/// What the client's end says of such a connection, and the server's.
fn judged(
    index: &Index<'_>,
    classes: &Classes<'_>,
    (client, server): (usize, usize),
    (protocol, port): (Protocol, u16),
) -> Vec<Judged> {
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
    let side = |direction| index.side(&connection, direction);
    [Direction::Egress, Direction::Ingress].map(side).into()
}

/// The policies of a set that isolate a class in a direction, or deny it something.
pub(super) fn isolating(
    set: &PolicySet,
    world: &World,
    classes: &Classes<'_>,
    class: usize,
    direction: Direction,
) -> Vec<By> {
    let Some((pod, _)) = classes.list()[class].pods.first() else {
        return Vec::new();
    };
    let selects = set.iter().filter(|policy| {
        policy.namespace == pod.namespace && policy.rules(direction).is_some() && policy.subject.matches(&pod.labels)
    });
    let by = selects.map(|policy| By::of(policy, None));
    by.chain(tier::denying(set, world, pod, direction)).collect()
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
