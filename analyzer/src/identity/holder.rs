//! Who held which address when: what the metadata says, bounded by what the recorders saw of the pods.
//!
//! Metadata knows the end of a pod only as well as it was watched: between two snapshots a pod can be gone for long. The
//! recorder of its node saw its control group come and go, and no two pods have one address at a time, so that an end
//! that is only assumed gives way to both.

use std::collections::BTreeMap;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::{Bound, PodRow};
use flowtape_schemas::node::CgroupRow;
use flowtape_schemas::time::Time;

use super::clock::Clocks;
use super::cluster::{Cluster, OfUid};
use super::timeline::{Span, Timeline};
use crate::tape::Tape;

/// Who held an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held<'a> {
    /// No pod that is known of.
    Nobody,
    /// One of these pods.
    Pods(Vec<OfUid<'a>>),
    /// A pod that its control group shows and the metadata does not know.
    Unlisted,
}

/// From the first to the last time that sockets of a pod used an address; `None` for pods that the metadata does not know.
pub(super) type Used<'a> = BTreeMap<(Address, Option<OfUid<'a>>), Span>;

/// Holders of addresses.
#[derive(Debug)]
pub(super) struct Holders<'a> {
    /// What the metadata says.
    said: Timeline<Address, OfUid<'a>>,
    /// What sockets show.
    used: Timeline<Address, Option<OfUid<'a>>>,
}

impl<'a> Holders<'a> {
    /// Collects what the metadata says of the addresses of pods; hostNetwork pods hold none of their own.
    pub(super) fn new(tape: &'a Tape, cluster: &'a Cluster, clocks: &Clocks<'_>) -> Self {
        let lives = lives(tape, clocks);
        let mut terms: BTreeMap<Address, Vec<Term<'a>>> = BTreeMap::new();
        for row in tape.cluster.pods.iter().filter(|row| !row.host_network) {
            let term = Term::new(row, lives.get(row.uid.as_str()), clocks);
            for address in &row.pod_ips {
                terms.entry(*address).or_default().push(term);
            }
        }
        let said = terms.into_iter().flat_map(|(address, terms)| {
            let bounded = |term: &Term<'a>| (address, term.before_successors(&terms), cluster.of_uid(term.uid));
            terms.iter().map(bounded).collect::<Vec<_>>()
        });
        Self {
            said: Timeline::new(said),
            used: Timeline::new([]),
        }
    }

    /// With which addresses the sockets of pods were seen to use, from first to last.
    pub(super) fn with_used(self, used: Used<'a>) -> Self {
        let used = used.into_iter().map(|((address, pod), span)| (address, span, pod));
        Self {
            used: Timeline::new(used),
            ..self
        }
    }

    /// Who held an address during `span`. Where the metadata leaves several, the one whose own sockets used the address
    /// before and after held it in between as well.
    pub(super) fn during(&self, address: Address, span: Span) -> Held<'a> {
        let said: Vec<OfUid<'a>> = self.said.during(&address, span).into_iter().copied().collect();
        if said.len() > 1 {
            let using: Vec<&OfUid<'a>> = self.used.throughout(&address, span).into_iter().flatten().collect();
            return match using.as_slice() {
                [only] if said.contains(only) => Held::Pods(vec![**only]),
                [] | [_, ..] => Held::Pods(said),
            };
        }
        if said.is_empty() {
            Held::Nobody
        } else {
            Held::Pods(said)
        }
    }

    /// Who used an address of the cluster of which the metadata says nothing at that time.
    pub(super) fn using(&self, address: Address, span: Span) -> Held<'a> {
        match self.used.during(&address, span).as_slice() {
            [] => Held::Nobody,
            [None] => Held::Unlisted,
            pods => Held::Pods(pods.iter().copied().flatten().copied().collect()),
        }
    }

    /// Whether a pod ever had this address.
    pub(super) fn knows(&self, address: Address) -> bool {
        self.said.knows(&address)
    }
}

/// What one row of metadata says of an address.
#[derive(Clone, Copy, Debug)]
struct Term<'a> {
    uid: &'a str,
    span: Span,
    from_bound: Bound,
    to_bound: Bound,
}

impl<'a> Term<'a> {
    fn new(row: &'a PodRow, life: Option<&Life>, clocks: &Clocks<'_>) -> Self {
        let mut span = Span::of_validity(row.valid_from, row.valid_to);
        if let (Some(node), Bound::Declared) = (&row.node, row.from_bound) {
            // The kubelet declares the start of a pod, by the clock of its node.
            span.first = span.first.min(clocks.in_metadata(node, span).first);
        }
        if let Some(life) = life {
            // A life that the row does not touch is no better knowledge than the row.
            let narrowed = Span {
                first: life.first.map_or(span.first, |first| first.max(span.first)),
                last: life.last.map_or(span.last, |last| last.min(span.last)),
            };
            span = if narrowed.first <= narrowed.last {
                narrowed
            } else {
                span
            };
        }
        Self {
            uid: &row.uid,
            span,
            from_bound: row.from_bound,
            to_bound: row.to_bound,
        }
    }

    /// Its span, which ends where it is only assumed to go on and another pod is known to have begun. A pod begins before it
    /// has its address, so both may have held it within the tolerance.
    fn before_successors(&self, terms: &[Self]) -> Span {
        if self.to_bound != Bound::Assumed {
            return self.span;
        }
        let successors = terms.iter().filter(|other| {
            let begins_later = self.span.first < other.span.first && other.span.first < self.span.last;
            other.uid != self.uid && other.from_bound != Bound::Assumed && begins_later
        });
        let ends = successors.map(|other| other.span.tolerant_start());
        Span {
            last: ends.fold(self.span.last, Time::min),
            ..self.span
        }
    }
}

/// When the control group of a pod was seen to come and go.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    first: Option<Time>,
    last: Option<Time>,
}

fn lives<'a>(tape: &'a Tape, clocks: &Clocks<'_>) -> BTreeMap<&'a str, Life> {
    let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
    let rows = tape
        .nodes
        .iter()
        .flat_map(|node| node.cgroups.iter().map(move |row| (&node.name, row)));
    for (node, row) in rows {
        let instant = |time: Time| {
            clocks.in_metadata(
                node,
                Span {
                    first: time,
                    last: time,
                },
            )
        };
        // Containers of a pod come and go while it lives.
        if let (Some(uid), None) = (&row.pod_uid, &row.container_id) {
            let CgroupRow {
                valid_from,
                from_bound,
                valid_to,
                to_bound,
                ..
            } = row;
            let life = lives.entry(uid).or_default();
            let first = valid_from.filter(|_| *from_bound == Bound::Observed);
            let last = valid_to.filter(|_| *to_bound == Bound::Observed);
            let (first, last) = (
                first.map(|time| instant(time).first),
                last.map(|time| instant(time).last),
            );
            // One recording of a node saw it begin, another may have seen it end.
            (life.first, life.last) = (life.first.or(first), life.last.or(last));
        }
    }
    lives
}
