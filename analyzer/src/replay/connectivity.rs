//! Everything that a policy set allows between parties.

use std::collections::BTreeMap;

use super::party::Parties;
use crate::semantics::bits::Bits;
use crate::semantics::reach::Reach;
use crate::semantics::row::Row;
use crate::semantics::traffic::Traffic;

/// What is allowed with some parties.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed {
    /// What pods of the one may send to pods of the other: the union over all pairs of them.
    pub traffic: Traffic,
    /// Whether it is not the same for all pairs of pods, because policies tell pods of a party apart.
    pub partly: bool,
}

/// What a party may send: the different things, and which parties each is for.
pub type Sent = BTreeMap<Allowed, Bits>;

/// What some parties may send to those whose classes are in `among`, in the order of the parties.
#[must_use]
pub fn sent(reach: &Reach<'_, '_>, parties: &Parties, from: &[usize], among: &Bits) -> Vec<Sent> {
    let sources: Vec<usize> = from
        .iter()
        .flat_map(|&party| parties.classes(party).iter().copied())
        .collect();
    let mut rows = reach.rows(&sources, among).into_iter();
    let of_party = |&party: &usize| {
        let rows: Vec<Row> = rows.by_ref().take(parties.classes(party).len()).collect();
        joined(reach, parties, party, &rows)
    };
    from.iter().map(of_party).collect()
}

/// The rows of a party's classes as one, by the parties of the destinations.
fn joined(reach: &Reach<'_, '_>, parties: &Parties, from: usize, rows: &[Row]) -> Sent {
    let size = parties.list().len();
    let is_one = |party: usize| parties.classes(party).len() == 1;
    let mut sent = Sent::new();
    let mut several: BTreeMap<usize, Several> = BTreeMap::new();
    for row in rows {
        for (traffic, classes) in row.parts() {
            let mut whole = Bits::none(size);
            for to in classes.iter().flat_map(|class| parties.of_class(class).iter().copied()) {
                if to == from && !parties.has_peers_of_its_own(from) {
                    continue;
                }
                if rows.len() == 1 && is_one(to) {
                    whole.insert(to);
                } else {
                    several.entry(to).or_default().add(traffic);
                }
            }
            put(&mut sent, traffic.clone(), false, whole);
        }
    }
    for (
        to,
        Several {
            traffic,
            pairs,
            differs,
        },
    ) in several
    {
        let partly = differs || pairs < pairs_of(reach, parties, from, to);
        put(&mut sent, traffic, partly, Bits::of(size, [to]));
    }
    sent
}

fn put(sent: &mut Sent, traffic: Traffic, partly: bool, to: Bits) {
    if to.is_empty() {
        return;
    }
    match sent.entry(Allowed { traffic, partly }) {
        std::collections::btree_map::Entry::Occupied(mut before) => before.get_mut().unite(&to),
        std::collections::btree_map::Entry::Vacant(none) => {
            none.insert(to);
        }
    }
}

/// What several pairs of classes of the same two parties are allowed.
#[derive(Default)]
struct Several {
    traffic: Traffic,
    pairs: usize,
    differs: bool,
}

impl Several {
    fn add(&mut self, traffic: &Traffic) {
        self.differs |= self.pairs > 0 && self.traffic != *traffic;
        self.traffic = self.traffic.union(traffic);
        self.pairs += 1;
    }
}

/// The pairs of classes of two parties that policies decide about.
fn pairs_of(reach: &Reach<'_, '_>, parties: &Parties, from: usize, to: usize) -> usize {
    let governed = |&source: &usize| {
        let governed = reach.classes().governed(source);
        parties
            .classes(to)
            .iter()
            .filter(|&&class| governed.contains(class))
            .count()
    };
    parties.classes(from).iter().map(governed).sum()
}
