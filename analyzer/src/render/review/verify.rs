//! What policies do to a recording, as items to look at.

use std::collections::BTreeMap;

use flowtape_schemas::manifest::Window;

use super::{Bases, Item, Kind, Reach, Review, Standing, by_risk};
use crate::baseline::Excused;
use crate::diff::change::Side;
use crate::findings::Finding;
use crate::flow::edge::{Edge, EdgeKey};
use crate::flow::process::Processes;
use crate::identity::{Identity, Workload};
use crate::render::text::verify::{denial, evidence, summary, unneeded};
use crate::semantics::eval::By;
use crate::tape::Health;
use crate::verify::usage::RuleUse;
use crate::verify::{Denied, Undecided, Verified};

/// The review of a verified recording.
#[must_use]
pub fn review<'a>(
    verified: &Verified<'_>,
    excused: &[Excused<Denied<'_>>],
    window: Option<Window>,
    processes: &BTreeMap<EdgeKey, Processes>,
    (health, findings): (&'a Health, &'a [Finding]),
    bases: Bases,
) -> Review<'a> {
    let denied = verified
        .denied
        .iter()
        .map(|denied| refused(denied, Standing::Fails, processes));
    let accepted = excused.iter().map(|Excused { what, reason, until }| {
        let standing = Standing::Accepted {
            reason: reason.clone(),
            until: *until,
        };
        refused(what, standing, processes)
    });
    let undecided = verified.undecided.iter().map(undecided);
    let rules = verified.rules.iter().filter_map(|used| rule(used, window));
    let isolated = verified.unbounded.iter().map(|(workload, direction)| Item {
        kind: Kind::NotIsolated,
        standing: Standing::Said,
        reach: Reach::Prefix,
        subject: format!("{direction} of {workload}"),
        why: "no policy isolates it".to_owned(),
        by: Vec::new(),
        side: Side::After,
    });
    Review {
        verb: "verify",
        passed: verified.denied.is_empty(),
        summary: summary(verified, excused),
        items: by_risk(
            denied
                .chain(accepted)
                .chain(undecided)
                .chain(rules)
                .chain(isolated)
                .collect(),
        ),
        health,
        findings,
        bases,
    }
}

fn refused(denied: &Denied<'_>, standing: Standing, processes: &BTreeMap<EdgeKey, Processes>) -> Item {
    Item {
        kind: Kind::Denied,
        standing,
        reach: reach(&denied.edge.key),
        subject: subject(denied.edge),
        why: denial(denied, processes),
        by: denied.by.clone(),
        side: Side::After,
    }
}

fn undecided(undecided: &Undecided<'_>) -> Item {
    let Undecided { edge, reason } = undecided;
    Item {
        kind: Kind::Undecided,
        standing: Standing::Said,
        reach: reach(&edge.key),
        subject: subject(edge),
        why: format!("{}: {}", evidence(edge), reason.word()),
        by: Vec::new(),
        side: Side::After,
    }
}

fn rule(used: &RuleUse, window: Option<Window>) -> Option<Item> {
    let why = unneeded(used, window)?;
    let dead = used.last_seen.is_none();
    Some(Item {
        kind: if dead { Kind::DeadRule } else { Kind::LooseRule },
        standing: Standing::Said,
        reach: Reach::Namespace,
        // Where it stands changes with every line that is added above it.
        subject: By {
            source: None,
            ..used.by.clone()
        }
        .to_string(),
        why,
        by: vec![used.by.clone()],
        side: Side::After,
    })
}

fn subject(edge: &Edge) -> String {
    let EdgeKey {
        from,
        to,
        protocol,
        port,
        outcome: _,
    } = &edge.key;
    format!("{from} -> {to} {protocol} {port}")
}

fn reach(key: &EdgeKey) -> Reach {
    match (&key.from.identity, &key.to.identity) {
        (Identity::External { .. } | Identity::Unknown { .. }, _)
        | (_, Identity::External { .. } | Identity::Unknown { .. }) => Reach::Outside,
        (Identity::Workload(Workload { namespace: from, .. }), Identity::Workload(Workload { namespace: to, .. }))
            if from == to =>
        {
            Reach::Namespace
        }
        _ => Reach::Namespaces,
    }
}
