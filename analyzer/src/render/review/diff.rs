//! What differs between two sides, as items to look at.

use super::{Bases, Item, Kind, Reach, Review, Standing, by_risk, doubt};
use crate::baseline::Excused;
use crate::diff::change::{Change, Class, Diff, Pair, Side, Unbounded};
use crate::diff::peer::Peer;
use crate::findings::Finding;
use crate::render::text::diff::summary;
use crate::tape::Health;

/// What of a diff fails the gate.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Classes that do.
    pub failing: Vec<Class>,
    /// Why the absence of changes proves nothing, where that fails it.
    pub doubt: Option<String>,
}

impl Judged {
    /// What becomes of a class of changes.
    fn standing(&self, class: Class) -> Standing {
        if self.failing.contains(&class) {
            Standing::Fails
        } else {
            Standing::Said
        }
    }
}

/// The review of a diff.
#[must_use]
pub fn review<'a>(
    diff: &Diff,
    excused: &[Excused<Change>],
    judged: &Judged,
    (health, findings): (&'a Health, &'a [Finding]),
    bases: Bases,
) -> Review<'a> {
    let changes = diff
        .changes
        .iter()
        .map(|change| item(change, judged.standing(change.class)));
    let accepted = excused.iter().map(|Excused { what, reason, until }| {
        let standing = Standing::Accepted {
            reason: reason.clone(),
            until: *until,
        };
        item(what, standing)
    });
    let unbounded = diff.unbounded.iter().map(|one| unbounded(one, judged));
    let doubt = judged.doubt.iter().map(|why| doubt(why, "no change proves nothing"));
    let items = by_risk(changes.chain(accepted).chain(unbounded).chain(doubt).collect());
    Review {
        verb: "diff",
        passed: !items.iter().any(|item| item.standing == Standing::Fails),
        summary: summary(diff, excused),
        items,
        health,
        findings,
        bases,
    }
}

fn item(change: &Change, standing: Standing) -> Item {
    let Pair { from, to, protocol } = &change.pair;
    let ports = &change.ports;
    Item {
        kind: match change.class {
            Class::Added => Kind::Added,
            Class::Removed => Kind::Removed,
            Class::Widened => Kind::Widened,
            Class::Narrowed => Kind::Narrowed,
            Class::Renamed => Kind::Renamed,
            Class::Undecided => Kind::Undecided,
        },
        standing,
        reach: reach(&change.pair),
        subject: format!("{from} -> {to} {protocol} {ports}").trim_end().to_owned(),
        why: change.explanation(),
        by: change.by.clone(),
        side: change.by_side(),
    }
}

/// A direction in which everything is allowed counts as all that it opens.
fn unbounded(one: &Unbounded, judged: &Judged) -> Item {
    let Unbounded {
        workload,
        direction,
        side,
    } = one;
    let class = match side {
        Side::After => Class::Added,
        Side::Before => Class::Removed,
    };
    Item {
        kind: Kind::NotIsolated,
        standing: judged.standing(class),
        reach: Reach::Prefix,
        subject: format!("{direction} of {workload}"),
        why: format!("no policy isolates it {}", side.word()),
        by: Vec::new(),
        side: Side::After,
    }
}

fn reach(pair: &Pair) -> Reach {
    let of = |peer: &Peer| match peer {
        Peer::Everybody | Peer::EveryPod => Reach::Prefix,
        Peer::Addresses { cidr, except: _ } if !cidr.is_host() => Reach::Prefix,
        Peer::Addresses { .. } | Peer::Unknown { .. } => Reach::Outside,
        Peer::Workload(_) | Peer::Service { .. } | Peer::Node { .. } => Reach::Namespace,
    };
    let apart = if pair.from.namespace() == pair.to.namespace() {
        Reach::Namespace
    } else {
        Reach::Namespaces
    };
    of(&pair.from).min(of(&pair.to)).min(apart)
}
