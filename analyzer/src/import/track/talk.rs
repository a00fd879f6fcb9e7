//! Datagrams before and after a translation of addresses: one talk that passed two interfaces of a router.
//!
//! What a client sent passes one interface on its way to the address of a Service, and another on its way to the pod behind it. The
//! same content, as often, from the same socket, begun at once, and no interface at which both were seen: that is one talk. A
//! client that asks two servers the same is seen to ask both wherever it is seen; where a talk fits two others, none is united.

use std::collections::BTreeMap;

use flowtape_schemas::time::Time;

use super::connection::{Connection, Passed};
use super::{Key, Socket, TRANSLATION_NANOS, Which};

/// Talks of the same content that one socket begins at once. Whoever begins more asks many servers, and nothing tells which is which.
const AT_ONCE: usize = 16;

/// Talks that are over.
#[derive(Debug, Default)]
pub(super) struct Talks(Vec<(Key, Connection)>);

impl Talks {
    pub(super) fn add(&mut self, key: Key, talk: Connection) {
        self.0.push((key, talk));
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// All talks, of which those before a translation became what was asked for in those after it.
    pub(super) fn united(self) -> Vec<(Key, Connection)> {
        let mut alike: BTreeMap<(u8, Socket, u64, u64), Vec<usize>> = BTreeMap::new();
        for (place, (key, talk)) in self.0.iter().enumerate() {
            if let Some(print) = print(*key, talk) {
                alike.entry(print).or_default().push(place);
            }
        }
        let alike = alike.into_values().filter(|places| places.len() > 1);
        let pairs: Vec<(usize, usize)> = alike.flat_map(|places| self.pairs(places)).collect();
        let mut talks: Vec<Option<(Key, Connection)>> = self.0.into_iter().map(Some).collect();
        for (before, after) in pairs {
            let asked = talks[before].take().and_then(|(key, talk)| server(key, &talk));
            if let Some((_, talk)) = &mut talks[after] {
                talk.asked = asked;
            }
        }
        talks.into_iter().flatten().collect()
    }

    /// Those of some alike talks that are one before and after a translation: each fits no other.
    fn pairs(&self, mut places: Vec<usize>) -> Vec<(usize, usize)> {
        // Of a router, what comes in is seen before what goes out.
        places.sort_by_key(|place| self.first(*place));
        let numbers = 0..places.len();
        let pairs = numbers.filter_map(|before| {
            let after = self.only(&places, before).filter(|after| *after > before)?;
            (self.only(&places, after) == Some(before)).then_some((places[before], places[after]))
        });
        pairs.collect()
    }

    /// The only talk that fits one, by their numbers among alike ones in the order of time.
    fn only(&self, places: &[usize], number: usize) -> Option<usize> {
        let first = self.first(places[number]).0;
        let start = places.partition_point(|place| self.first(*place).0 < first.saturating_sub(TRANSLATION_NANOS));
        let end = places.partition_point(|place| self.first(*place).0 <= first.saturating_add(TRANSLATION_NANOS));
        if end - start > AT_ONCE {
            return None;
        }
        let mut fitting = (start..end).filter(|other| *other != number && self.are_one(places[number], places[*other]));
        let only = fitting.next();
        only.filter(|_| fitting.next().is_none())
    }

    fn first(&self, place: usize) -> Time {
        self.0[place].1.first
    }

    /// Whether nothing saw both of two talks, and the source does not know what either asked for.
    fn are_one(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.0[one].1, &self.0[other].1);
        let passed = |point: u64| other.points.iter().any(|(known, _)| *known == point);
        let apart = one.points.iter().all(|(point, _)| !passed(*point));
        apart && one.asked.is_none() && other.asked.is_none()
    }
}

/// Protocol and socket of the client, and what it sent, where it was seen most.
fn print(key: Key, talk: &Connection) -> Option<(u8, Socket, u64, u64)> {
    let client = talk.client?;
    let sent = |(_, passed): &(u64, Passed)| (passed.counts[client as usize], passed.digests[client as usize]);
    let (count, digest) = talk.points.iter().map(sent).max()?;
    let socket = if client == Which::First { key.1 } else { key.2 };
    (count > 0 && digest > 0).then_some((key.0, socket, count, digest))
}

fn server(key: Key, talk: &Connection) -> Option<Socket> {
    Some(if talk.client? == Which::First { key.2 } else { key.1 })
}
