//! Datagrams before and after a translation of addresses: one talk that passed two interfaces of a router.
//!
//! What a client sent passes one interface on its way to the address of a Service, and another on its way to the pod behind it. The
//! same content, as often, from the same socket, and no interface at which both were seen: that is one talk. A client that
//! asks two servers the same is seen to ask both wherever it is seen.

use std::collections::BTreeMap;

use super::{Connection, Key, Passed, Socket, Which};

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
        let mut talks: Vec<Option<(Key, Connection)>> = self.0.into_iter().map(Some).collect();
        let mut alike: BTreeMap<(u8, Socket, u64, u64), Vec<usize>> = BTreeMap::new();
        for (place, (key, talk)) in talks
            .iter()
            .enumerate()
            .filter_map(|(place, talk)| Some((place, talk.as_ref()?)))
        {
            if let Some(print) = print(*key, talk) {
                alike.entry(print).or_default().push(place);
            }
        }
        for mut places in alike.into_values().filter(|places| places.len() > 1) {
            // Of a router, what comes in is seen before what goes out.
            places.sort_by_key(|place| talks[*place].as_ref().map(|(_, talk)| talk.first));
            for (number, before) in places.iter().enumerate() {
                let later = places[number + 1..]
                    .iter()
                    .find(|after| are_one(&talks, *before, **after));
                let Some(after) = later else { continue };
                let asked = talks[*before].take().and_then(|(key, talk)| server(key, &talk));
                if let Some((_, talk)) = &mut talks[*after] {
                    talk.asked = talk.asked.or(asked);
                }
            }
        }
        talks.into_iter().flatten().collect()
    }
}

/// Protocol and socket of the client, and what it sent, where it was seen most.
fn print(key: Key, talk: &Connection) -> Option<(u8, Socket, u64, u64)> {
    let client = talk.client?;
    let sent = |passed: &Passed| (passed.counts[client as usize], passed.digests[client as usize]);
    let (count, digest) = talk.points.values().map(sent).max()?;
    let socket = if client == Which::First { key.1 } else { key.2 };
    (count > 0 && digest > 0).then_some((key.0, socket, count, digest))
}

fn server(key: Key, talk: &Connection) -> Option<Socket> {
    Some(if talk.client? == Which::First { key.2 } else { key.1 })
}

fn are_one(talks: &[Option<(Key, Connection)>], before: usize, after: usize) -> bool {
    let (Some((_, before)), Some((_, after))) = (&talks[before], &talks[after]) else {
        return false;
    };
    let apart = before.points.keys().all(|point| !after.points.contains_key(point));
    apart && after.asked.is_none()
}
