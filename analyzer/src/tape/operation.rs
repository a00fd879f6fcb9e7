//! The single operations behind counts that leave more than one answer.
//!
//! A row of `flows` counts an interval. Table `events` has the instant of each operation and the client's port, as far as
//! there are samples; only where somebody asks for them is it read. What has no sample stays a count.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;
use flowtape_schemas::node::{Direction, EventKind, EventRow, FlowRow, Hook, Outcome};
use flowtape_schemas::time::Time;

use super::samples::samples;
use super::{NodeTape, Tape, TapeError};

/// A row of table `flows` of a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowAt {
    /// Place of the node.
    pub node: usize,
    /// Place of the row among those of the node.
    pub row: usize,
}

/// One operation that a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// The client's own port, as this side saw it; `None` where it is not known.
    pub client_port: Option<u16>,
    /// When it was.
    pub time: Time,
}

/// Operations of rows, as far as there are samples of them, in order; never more than the row counts.
pub type Operations = BTreeMap<RowAt, Vec<Operation>>;

/// The operations of these rows.
pub fn operations(tape: &Tape, wanted: &BTreeSet<RowAt>) -> Result<Operations, TapeError> {
    let mut all = Operations::new();
    for (number, node) in tape.nodes.iter().enumerate() {
        let of_node = |row: usize| RowAt { node: number, row };
        let rows = node.flows.iter().enumerate();
        let rows = rows.filter(|(place, _)| wanted.contains(&of_node(*place)));
        let rows: Vec<(RowAt, &FlowRow, Edge)> = rows
            .filter_map(|(place, row)| Some((of_node(place), row, Edge::of_row(row)?)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let mut sampled = sampled(node, &rows.iter().map(|(.., edge)| edge).collect())?;
        for (at, row, edge) in rows {
            if let Some(operations) = sampled.get_mut(&edge) {
                all.insert(at, taken(row, operations));
            }
        }
    }
    Ok(all)
}

/// Takes those of an edge that a row counts; what one recording of the node told of twice belongs to the next row of the
/// same time.
fn taken(row: &FlowRow, operations: &mut Vec<Operation>) -> Vec<Operation> {
    let within = |operation: &Operation| row.first_seen <= operation.time && operation.time <= row.last_seen;
    let (mut own, others): (Vec<Operation>, Vec<Operation>) = operations.iter().partition(|one| within(one));
    own.sort_unstable_by_key(|one| (one.time, one.client_port));
    let counted = usize::try_from(row.count).unwrap_or(usize::MAX);
    let beyond = own.split_off(own.len().min(counted));
    *operations = others.into_iter().chain(beyond).collect();
    own
}

/// The operations of these edges, as far as there are samples.
fn sampled(node: &NodeTape, wanted: &BTreeSet<&Edge>) -> Result<BTreeMap<Edge, Vec<Operation>>, TapeError> {
    let of_batch = |rows: Vec<EventRow>| -> Vec<(Edge, Operation)> {
        let found = rows.iter().filter_map(of_event);
        found.filter(|(edge, _)| wanted.contains(edge)).collect()
    };
    let mut operations: BTreeMap<Edge, Vec<Operation>> = BTreeMap::new();
    for (edge, operation) in samples(node, of_batch)?.into_iter().flatten() {
        operations.entry(edge).or_default().push(operation);
    }
    Ok(operations)
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
}

/// An event as an operation of its edge; `None` for one that has no other side.
fn of_event(row: &EventRow) -> Option<(Edge, Operation)> {
    let (service_port, client_port) = match row.kind {
        EventKind::Connect | EventKind::ConnectFailed | EventKind::UdpOut => (row.remote_port?, row.local_port),
        EventKind::Accept | EventKind::UdpIn => (row.local_port?, row.remote_port),
        EventKind::Socket | EventKind::Bind | EventKind::Listen | EventKind::Unlisten | EventKind::Snapshot => {
            return None;
        }
    };
    let edge = Edge {
        direction: row.direction,
        protocol: row.protocol,
        local_ip: row.local_ip,
        remote_ip: row.remote_ip,
        service_port,
        asked: (row.asked_ip, row.asked_port),
        outcome: row.outcome?,
        owner: (row.cgroup_id, row.netns),
        hook: row.hook,
    };
    let time = row.time;
    Some((edge, Operation { client_port, time }))
}

#[cfg(test)]
mod tests {
    use super::{Operation, taken};
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

    /// What a row takes of these instants, and what it leaves.
    fn divided(count: u64, instants: &[i64]) -> (Vec<i64>, Vec<i64>) {
        let at = |time: &i64| Operation {
            client_port: None,
            time: Time(*time),
        };
        let mut operations: Vec<Operation> = instants.iter().map(at).collect();
        let instant = |one: Operation| one.time.0;
        let own = taken(&row(count, 10, 20), &mut operations);
        (
            own.into_iter().map(instant).collect(),
            operations.into_iter().map(instant).collect(),
        )
    }

    #[test]
    fn a_row_takes_what_was_within_its_time() {
        assert_eq!(divided(3, &[20, 10, 15]), (vec![10, 15, 20], vec![]));
        assert_eq!(divided(5, &[9, 12, 21]), (vec![12], vec![9, 21]));
        assert_eq!(divided(2, &[]), (vec![], vec![]));
    }

    #[test]
    fn what_a_row_did_not_count_is_left_for_another() {
        assert_eq!(divided(1, &[11, 12]), (vec![11], vec![12]));
    }
}
