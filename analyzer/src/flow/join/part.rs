//! Rows of counts divided into parts that have one answer each.

use std::collections::BTreeMap;

use flowtape_schemas::node::{Direction, FlowRow};
use flowtape_schemas::time::Time;

use super::pair::{Pair, pairs};
use super::question::Questions;
use crate::identity::clock::Clocks;
use crate::tape::{Operation, Operations, RowAt, Tape};

/// Which rows of a tape are two views of the same connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::flow) struct Partners {
    /// The servers' rows, by the clients'.
    pub(super) servers: BTreeMap<RowAt, RowAt>,
}

/// A tape with parts of rows in the place of those that leave more than one answer. Nothing else changes, and the counts
/// of the parts of a row add up to what it counted.
#[derive(Clone, Debug)]
pub struct Divided {
    /// The tape.
    pub tape: Tape,
    /// Which of its rows belong together.
    pub(in crate::flow) partners: Partners,
}

/// The two rows that a part is of, client first.
type Sides = (RowAt, RowAt);

/// Divides the rows in question by single operations.
pub(in crate::flow) fn divide(
    tape: &Tape,
    clocks: &Clocks<'_>,
    questions: &Questions,
    operations: &Operations,
) -> Divided {
    let aligned = |at: RowAt, span| {
        let node = tape.nodes.get(at.node);
        node.map_or(span, |node| clocks.aligned(&node.name, span))
    };
    let mut parts: BTreeMap<RowAt, BTreeMap<Sides, Vec<Time>>> = BTreeMap::new();
    for Pair { client, server } in pairs(questions, operations, aligned) {
        let sides = (client.at, server.at);
        for one in [client, server] {
            let of_row = parts.entry(one.at).or_default();
            of_row.entry(sides).or_default().extend(one.times);
        }
    }
    let mut divided = tape.clone();
    let mut clients: BTreeMap<Sides, RowAt> = BTreeMap::new();
    let mut servers: BTreeMap<Sides, RowAt> = BTreeMap::new();
    for (number, node) in divided.nodes.iter_mut().enumerate() {
        let at = |row: usize| RowAt { node: number, row };
        let mut rows: Vec<(FlowRow, Option<Sides>)> = Vec::with_capacity(node.flows.len());
        for (place, row) in std::mem::take(&mut node.flows).into_iter().enumerate() {
            let paired = parts.remove(&at(place)).unwrap_or_default();
            let singly = operations.get(&at(place));
            let singly = singly.filter(|_| questions.changing.contains(&at(place)));
            let singly = singly.map_or(&[][..], Vec::as_slice);
            rows.extend(parts_of(&row, paired, singly));
        }
        rows.sort_unstable();
        for (place, (row, sides)) in rows.into_iter().enumerate() {
            if let Some(sides) = sides {
                let of_side = if row.direction == Direction::In {
                    &mut servers
                } else {
                    &mut clients
                };
                of_side.insert(sides, at(place));
            }
            node.flows.push(row);
        }
    }
    let both = |(sides, client): (Sides, RowAt)| Some((client, *servers.get(&sides)?));
    Divided {
        tape: divided,
        partners: Partners {
            servers: clients.into_iter().filter_map(both).collect(),
        },
    }
}

/// The parts of a row: those that were paired, each with the rows it is of; single operations, where each is asked for by
/// itself; and what is left of its count.
fn parts_of(row: &FlowRow, paired: BTreeMap<Sides, Vec<Time>>, singly: &[Operation]) -> Vec<(FlowRow, Option<Sides>)> {
    let mut alone: BTreeMap<Time, usize> = BTreeMap::new();
    for one in singly {
        *alone.entry(one.time).or_default() += 1;
    }
    let mut parts = Vec::new();
    for (sides, times) in paired {
        for time in &times {
            if let Some(left) = alone.get_mut(time) {
                *left = left.saturating_sub(1);
            }
        }
        parts.extend(part(row, &times).map(|part| (part, Some(sides))));
    }
    let alone = alone.iter().flat_map(|(time, left)| std::iter::repeat_n(time, *left));
    parts.extend(alone.filter_map(|time| Some((part(row, &[*time])?, None))));
    let counted = parts.iter().map(|(part, _)| part.count).fold(0, u64::saturating_add);
    let rest = FlowRow {
        count: row.count.saturating_sub(counted),
        samples: row.samples.saturating_sub(counted),
        ..row.clone()
    };
    if rest.count > 0 || parts.is_empty() {
        parts.push((rest, None));
    }
    parts
}

/// The operations of a row at these times; `None` if there are none.
fn part(row: &FlowRow, times: &[Time]) -> Option<FlowRow> {
    let (first, last) = (times.iter().min()?, times.iter().max()?);
    let count = times.len() as u64;
    Some(FlowRow {
        count,
        samples: count,
        first_seen: *first,
        last_seen: *last,
        ..row.clone()
    })
}
