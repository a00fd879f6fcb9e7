//! Ranges in the place of single ports.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::model::{PortMatch, PortRule};
use crate::policy::ports::{PortRange, Protocol};
use crate::synthesis::additions::Beyond;

/// Ports in a row from which on they are a range. Two are as easily read by themselves.
const RANGE: usize = 3;

/// How recorded ports that follow each other are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::synthesis) enum Rows {
    /// As one range.
    Range,
    /// Each by itself, for plugins that do not read ranges.
    Single,
}

/// The ports of one peer in ascending order, with at most `budget` ports more; each with how many those are. The smallest gaps are
/// closed first. Recorded ports that follow each other are `rows`.
pub(in crate::synthesis) fn ranges(
    ports: impl Iterator<Item = (Protocol, u16)>,
    budget: usize,
    rows: Rows,
) -> Vec<(PortRule, Option<Beyond>)> {
    let mut recorded: BTreeMap<Protocol, BTreeSet<u16>> = BTreeMap::new();
    for (protocol, port) in ports {
        recorded.entry(protocol).or_default().insert(port);
    }
    let closed = closed(&recorded, budget);
    let mut ranges = Vec::new();
    for (protocol, ports) in &recorded {
        for run in runs(ports, |before| closed.contains(&(*protocol, before))) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let (wide, recorded) = (usize::from(last - first) + 1, run.len());
            let rule = |range| PortRule {
                protocol: *protocol,
                port: PortMatch::Range(range),
            };
            if wide < RANGE || rows == Rows::Single && wide == recorded {
                let single = |port: &u16| Some((rule(PortRange::single(*port)?), None));
                ranges.extend(run.iter().filter_map(single));
            } else if let Some(range) = PortRange::new(*first, *last) {
                let count = wide - recorded;
                let beyond = (count > 0).then_some(Beyond::Ports { count, recorded });
                ranges.push((rule(range), beyond));
            }
        }
    }
    ranges
}

/// The ports after which a gap is closed.
fn closed(recorded: &BTreeMap<Protocol, BTreeSet<u16>>, budget: usize) -> BTreeSet<(Protocol, u16)> {
    let mut gaps: BTreeSet<(usize, Protocol, u16)> = BTreeSet::new();
    for (protocol, ports) in recorded {
        for (before, after) in ports.iter().zip(ports.iter().skip(1)) {
            gaps.insert((usize::from(after - before) - 1, *protocol, *before));
        }
    }
    let mut left = budget;
    let fits = |(gap, _, _): &(usize, Protocol, u16)| {
        let fits = *gap <= left;
        left = left.saturating_sub(*gap);
        fits
    };
    let closed = gaps.into_iter().filter(|(gap, _, _)| *gap > 0).take_while(fits);
    closed.map(|(_, protocol, before)| (protocol, before)).collect()
}

/// Ports that follow each other, or whose gap is closed, together.
fn runs(ports: &BTreeSet<u16>, is_closed: impl Fn(u16) -> bool) -> Vec<Vec<u16>> {
    let mut runs: Vec<Vec<u16>> = Vec::new();
    for port in ports {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| port - last == 1 || is_closed(*last)) => run.push(*port),
            Some(_) | None => runs.push(vec![*port]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::{Rows, ranges};
    use crate::policy::ports::Protocol;
    use crate::synthesis::additions::Beyond;

    fn said(ports: &[u16], budget: usize) -> Vec<String> {
        written(ports, budget, Rows::Range)
    }

    fn written(ports: &[u16], budget: usize, rows: Rows) -> Vec<String> {
        let ports = ports.iter().map(|port| (Protocol::Tcp, *port));
        let one = |(port, beyond): (crate::policy::model::PortRule, Option<Beyond>)| match beyond {
            Some(Beyond::Ports { count, recorded }) => format!("{port} +{count}/{recorded}"),
            Some(Beyond::Addresses { .. } | Beyond::Pods { .. }) => panic!("no widening of ports"),
            None => port.to_string(),
        };
        ranges(ports, budget, rows).into_iter().map(one).collect()
    }

    #[test]
    fn three_in_a_row_are_a_range_and_a_budget_closes_the_smallest_gaps() {
        assert_eq!(said(&[80, 81], 0), ["80/TCP", "81/TCP"]);
        assert_eq!(said(&[82, 80, 81], 0), ["80-82/TCP"]);
        assert_eq!(said(&[65535, 65534, 65533, 1], 0), ["1/TCP", "65533-65535/TCP"]);
        assert_eq!(
            said(&[10, 12, 20, 23, 40], 0),
            ["10/TCP", "12/TCP", "20/TCP", "23/TCP", "40/TCP"]
        );
        assert_eq!(
            said(&[10, 12, 20, 23, 40], 1),
            ["10-12/TCP +1/2", "20/TCP", "23/TCP", "40/TCP"]
        );
        assert_eq!(
            said(&[10, 12, 20, 23, 40], 3),
            ["10-12/TCP +1/2", "20-23/TCP +2/2", "40/TCP"]
        );
        assert_eq!(said(&[10, 12, 20, 23, 40], 100), ["10-40/TCP +26/5"]);
        assert_eq!(said(&[0, 7], 0), ["7/TCP"]);
    }

    #[test]
    fn where_ranges_are_not_read_only_a_widening_makes_one() {
        let single = |ports, budget| written(ports, budget, Rows::Single);
        assert_eq!(single(&[80, 81, 82, 90], 0), ["80/TCP", "81/TCP", "82/TCP", "90/TCP"]);
        assert_eq!(single(&[80, 81, 83], 1), ["80-83/TCP +1/3"]);
    }
}
