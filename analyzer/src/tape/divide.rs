//! Single operations in the place of counts that leave more than one answer.
//!
//! A row of `flows` covers an interval, and within one an address can pass from one pod to another. Table `events` has the
//! instant of each operation, as far as there are samples; only then is it read. What has no sample stays a count.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;
use flowtape_schemas::node::{Direction, EventKind, EventRow, FlowRow, Hook, Outcome};
use flowtape_schemas::time::Time;

use super::samples::samples;
use super::{NodeTape, Tape, TapeError};

/// Rows of `flows` that leave more than one answer: the position of the node and of the row in it.
pub type Unclear = BTreeSet<(usize, usize)>;

/// The tape with single operations in the place of these rows, as far as there are samples of them. Nothing else changes,
/// and the counts of each row add up to what they were.
pub fn divide(tape: &Tape, unclear: &Unclear) -> Result<Tape, TapeError> {
    let mut divided = tape.clone();
    for (number, node) in divided.nodes.iter_mut().enumerate() {
        let is_unclear = |(position, _): &(usize, &FlowRow)| unclear.contains(&(number, *position));
        let wanted: BTreeSet<Edge> = node
            .flows
            .iter()
            .enumerate()
            .filter(is_unclear)
            .filter_map(|(_, row)| Edge::of_row(row))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let mut instants = instants(node, &wanted)?;
        let rows = std::mem::take(&mut node.flows);
        for (position, row) in rows.into_iter().enumerate() {
            let edge = Edge::of_row(&row).filter(|_| unclear.contains(&(number, position)));
            match edge.and_then(|edge| instants.get_mut(&edge)) {
                Some(instants) => node.flows.extend(singles(&row, instants)),
                None => node.flows.push(row),
            }
        }
        node.flows.sort_unstable();
    }
    Ok(divided)
}

/// The operations of a row one by one, and what is left of its count.
fn singles(row: &FlowRow, instants: &mut Vec<Time>) -> Vec<FlowRow> {
    let within = |time: &Time| row.first_seen <= *time && *time <= row.last_seen;
    let (mut own, others): (Vec<Time>, Vec<Time>) = instants.iter().partition(|time| within(time));
    own.sort_unstable();
    let counted = usize::try_from(row.count).unwrap_or(usize::MAX);
    let beyond = own.split_off(own.len().min(counted));
    // What one recording of the node told of twice belongs to the next row of the same time.
    *instants = others.into_iter().chain(beyond).collect();
    let left = row.count.saturating_sub(own.len() as u64);
    let single = |time: Time| FlowRow {
        count: 1,
        samples: 1,
        first_seen: time,
        last_seen: time,
        ..row.clone()
    };
    let rest = FlowRow {
        count: left,
        samples: 0,
        ..row.clone()
    };
    own.into_iter().map(single).chain((left > 0).then_some(rest)).collect()
}

/// When each operation of these edges was, as far as there are samples.
fn instants(node: &NodeTape, wanted: &BTreeSet<Edge>) -> Result<BTreeMap<Edge, Vec<Time>>, TapeError> {
    let of_batch = |rows: Vec<EventRow>| -> Vec<(Edge, Time)> {
        let found = rows.iter().filter_map(|row| Some((Edge::of_event(row)?, row.time)));
        found.filter(|(edge, _)| wanted.contains(edge)).collect()
    };
    let mut instants: BTreeMap<Edge, Vec<Time>> = BTreeMap::new();
    for (edge, time) in samples(node, of_batch)?.into_iter().flatten() {
        instants.entry(edge).or_default().push(time);
    }
    Ok(instants)
}

/// What the kernel counts by: equal for a row of `flows` and the events that it counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    direction: Direction,
    protocol: u8,
    local_ip: Option<Address>,
    remote_ip: Option<Address>,
    service_port: u16,
    asked: (Option<Address>, Option<u16>),
    outcome: Outcome,
    owner: (Option<u64>, Option<u32>),
    hook: Hook,
}

impl Edge {
    /// That of a row; `None` if operations of several edges are folded into it, or none was seen in the window.
    fn of_row(row: &FlowRow) -> Option<Self> {
        if row.remote_folded || row.predates_window {
            return None;
        }
        Some(Self {
            direction: row.direction,
            protocol: row.protocol,
            local_ip: row.local_ip,
            remote_ip: row.remote_ip,
            service_port: row.service_port?,
            asked: (row.asked_ip, row.asked_port),
            outcome: row.outcome,
            owner: (row.cgroup_id, row.netns),
            hook: row.hook,
        })
    }

    /// That of an event; `None` for one that has no other side.
    fn of_event(row: &EventRow) -> Option<Self> {
        let service_port = match row.kind {
            EventKind::Connect | EventKind::ConnectFailed | EventKind::UdpOut => row.remote_port?,
            EventKind::Accept | EventKind::UdpIn => row.local_port?,
            EventKind::Socket | EventKind::Bind | EventKind::Listen | EventKind::Unlisten | EventKind::Snapshot => {
                return None;
            }
        };
        Some(Self {
            direction: row.direction,
            protocol: row.protocol,
            local_ip: row.local_ip,
            remote_ip: row.remote_ip,
            service_port,
            asked: (row.asked_ip, row.asked_port),
            outcome: row.outcome?,
            owner: (row.cgroup_id, row.netns),
            hook: row.hook,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::singles;
    use flowtape_schemas::node::{Direction, FlowRow, Hook, Outcome};
    use flowtape_schemas::time::Time;

    fn row(count: u64, first: i64, last: i64) -> FlowRow {
        FlowRow {
            interval_start: Time(0),
            interval_end: Time(100),
            direction: Direction::Out,
            protocol: 6,
            local_ip: None,
            remote_ip: None,
            remote_folded: false,
            service_port: Some(80),
            asked_ip: None,
            asked_port: None,
            outcome: Outcome::Established,
            cgroup_id: None,
            netns: None,
            count,
            samples: count,
            first_seen: Time(first),
            last_seen: Time(last),
            predates_window: false,
            hook: Hook::SetState,
        }
    }

    fn divided(count: u64, instants: &[i64]) -> (Vec<(u64, i64, i64)>, Vec<i64>) {
        let mut instants: Vec<Time> = instants.iter().copied().map(Time).collect();
        let rows = singles(&row(count, 10, 20), &mut instants);
        let rows = rows.iter().map(|row| (row.count, row.first_seen.0, row.last_seen.0));
        (rows.collect(), instants.into_iter().map(|time| time.0).collect())
    }

    #[test]
    fn the_counts_add_up_to_what_they_were() {
        let all = divided(3, &[20, 10, 15]);
        assert_eq!(all, (vec![(1, 10, 10), (1, 15, 15), (1, 20, 20)], vec![]));
        let some = divided(5, &[9, 12, 21]);
        assert_eq!(some, (vec![(1, 12, 12), (4, 10, 20)], vec![9, 21]));
        assert_eq!(divided(2, &[]), (vec![(2, 10, 20)], vec![]));
    }

    #[test]
    fn what_a_row_did_not_count_is_left_for_another() {
        assert_eq!(divided(1, &[11, 12]), (vec![(1, 11, 11)], vec![12]));
    }
}
