//! Rows of listeners that ended, few enough of each control group.
//!
//! A resolver that binds a port of its own choosing for each of its questions is a listener for a moment each time. The first of
//! a control group tell what it is; the others are one row without a port, and how many they were is counted. What listened
//! for longer is a server, and keeps its row whatever else its control group does.

use std::collections::BTreeMap;

use flowtape_recorder_ebpf::abi::quota::LISTENERS;
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::{Hook, ListenRow};
use flowtape_schemas::time::Time;

/// How long one that tells little listens at most.
const MOMENT_NANOS: i64 = 60_000_000_000;

/// Rows of those that listened for longer: as many as there are ports for relays to take (49152 to 65535, RFC 6335,
/// section 6). As many are open at once, so more of them end in one file only where the kernel told of an end without its beginning.
const LASTING: u64 = 16_384;

/// Whose sockets they were: control group, network namespace and protocol.
type Share = (Option<u64>, Option<u32>, u8);

/// Rows that a share has taken.
#[derive(Debug, Default)]
struct Taken {
    momentary: u64,
    lasting: u64,
}

impl Taken {
    /// Takes one more, if there is one.
    fn one_more(&mut self, row: &ListenRow) -> bool {
        let (taken, most) = if is_momentary(row) {
            (&mut self.momentary, LISTENERS)
        } else {
            (&mut self.lasting, LASTING)
        };
        let is_left = *taken < most;
        *taken += u64::from(is_left);
        is_left
    }
}

/// What ended since somebody asked.
#[derive(Debug, Default)]
pub(super) struct Ended {
    rows: Vec<ListenRow>,
    shares: BTreeMap<Share, Taken>,
    /// One row of each share for what is beyond.
    folded: BTreeMap<Share, ListenRow>,
    /// How many those are, by hook, since somebody asked for that.
    counts: BTreeMap<Hook, u64>,
}

impl Ended {
    /// Adds one, in order of time.
    pub(super) fn add(&mut self, row: ListenRow) {
        let share = (row.cgroup_id, row.netns, row.protocol);
        // Those without a port the kernel has folded, and counted.
        if row.port != 0 {
            if self.shares.entry(share).or_default().one_more(&row) {
                self.rows.push(row);
                return;
            }
            *self.counts.entry(bound_by(&row)).or_default() += 1;
        }
        let nowhere = ListenRow {
            local_ip: None,
            port: 0,
            backlog: None,
            ..row
        };
        self.folded
            .entry(share)
            .and_modify(|folded| *folded = both(folded, &nowhere))
            .or_insert(nowhere);
    }

    /// Gives the rows; each share begins anew.
    pub(super) fn take(&mut self) -> Vec<ListenRow> {
        self.shares.clear();
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(std::mem::take(&mut self.folded).into_values());
        rows
    }

    /// How many listeners have no row of their own, by the hook that sees such sockets bound.
    pub(super) fn take_counts(&mut self) -> BTreeMap<Hook, u64> {
        std::mem::take(&mut self.counts)
    }
}

/// Whether it was seen to begin and to end soon after.
fn is_momentary(row: &ListenRow) -> bool {
    let lasted = |(from, to): (Time, Time)| to.0.saturating_sub(from.0);
    let nanos = row.valid_from.zip(row.valid_to).map(lasted);
    row.from_bound == Bound::Observed && nanos.is_some_and(|nanos| nanos < MOMENT_NANOS)
}

/// The hook that sees such a socket bound. Not always the one that saw it listen: what that one folds are edges.
fn bound_by(row: &ListenRow) -> Hook {
    match (row.hook, row.local_ip) {
        (Hook::PostBind4 | Hook::PostBind6, _) => row.hook,
        (_, Some(address)) if address.ip().is_ipv4() => Hook::PostBind4,
        _ => Hook::PostBind6,
    }
}

/// From the beginning of the first to the end of the last.
fn both(one: &ListenRow, other: &ListenRow) -> ListenRow {
    // One without a time was there before the window, or is known to have been there only by a look.
    let (from, from_bound) = match (one.valid_from, other.valid_from) {
        (Some(_), Some(at)) if one.valid_from > Some(at) => (Some(at), other.from_bound),
        (Some(_), Some(_)) | (None, _) => (one.valid_from, one.from_bound),
        (_, None) => (None, Bound::Assumed),
    };
    let latest = if other.valid_to > one.valid_to { other } else { one };
    ListenRow {
        valid_from: from,
        from_bound,
        valid_to: latest.valid_to,
        to_bound: latest.to_bound,
        ..one.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, LASTING, LISTENERS, MOMENT_NANOS};
    use std::net::{IpAddr, Ipv4Addr};

    use flowtape_schemas::address::Address;
    use flowtape_schemas::cluster::Bound;
    use flowtape_schemas::node::{Hook, ListenRow};
    use flowtape_schemas::time::Time;

    fn row(cgroup: u64, port: u16, from: Option<i64>, to: i64) -> ListenRow {
        ListenRow {
            protocol: 17,
            local_ip: None,
            port,
            backlog: None,
            cgroup_id: Some(cgroup),
            netns: Some(1),
            valid_from: from.map(Time),
            from_bound: if from.is_some() {
                Bound::Observed
            } else {
                Bound::Assumed
            },
            valid_to: Some(Time(to)),
            to_bound: Bound::Observed,
            hook: Hook::PostBind4,
        }
    }

    #[test]
    fn what_is_beyond_the_share_is_one_row_and_counted_and_others_keep_theirs() {
        let mut ended = Ended::default();
        let first = u16::try_from(LISTENERS).unwrap();
        for port in 1..=first + 3 {
            let at = i64::from(port) * 10;
            ended.add(row(7, port, Some(at), at + 5));
        }
        ended.add(row(8, 53, None, 9));
        let rows = ended.take();
        assert_eq!(rows.len(), usize::from(first) + 2);
        let shown = |row: &ListenRow| (row.cgroup_id, row.port, row.valid_from, row.valid_to, row.from_bound);
        let other = (Some(8), 53, None, Some(Time(9)), Bound::Assumed);
        assert_eq!(shown(&rows[rows.len() - 2]), other);
        let from = i64::from(first + 1) * 10;
        let folded = (Some(7), 0, Some(Time(from)), Some(Time(from + 25)), Bound::Observed);
        assert_eq!(shown(&rows[rows.len() - 1]), folded);
        assert_eq!(ended.take_counts(), [(Hook::PostBind4, 3)].into());
        ended.add(row(7, 0, Some(1), 2));
        ended.add(row(7, 0, Some(3), 4));
        assert_eq!(
            (ended.take().len(), ended.take_counts().len()),
            (1, 0),
            "the kernel counted them"
        );
        ended.add(row(7, 1, Some(1), 2));
        assert_eq!(
            (ended.take().len(), ended.take_counts().len()),
            (1, 0),
            "each file begins anew"
        );
    }

    #[test]
    fn what_lasts_keeps_its_port_beside_what_is_there_for_a_moment() {
        let mut ended = Ended::default();
        for port in 1_001..=1_300 {
            ended.add(row(7, port, Some(1), MOMENT_NANOS));
        }
        let of_tcp = |port, from, to| ListenRow {
            protocol: 6,
            hook: Hook::SetState,
            ..row(7, port, from, to)
        };
        ended.add(of_tcp(8080, None, 9));
        ended.add(of_tcp(9153, Some(1), 9));
        ended.add(row(7, 53, None, 9));
        ended.add(row(7, 54, Some(1), 1 + MOMENT_NANOS));
        let found = ListenRow {
            from_bound: Bound::Assumed,
            hook: Hook::TaskFile,
            ..row(7, 55, Some(1), 9)
        };
        ended.add(found);
        let rows = ended.take();
        let ports: Vec<u16> = rows.iter().map(|row| row.port).filter(|port| *port < 1_001).collect();
        assert_eq!(ports, [53, 54, 55, 0], "in order of time, and what is folded last");
        assert!([8080, 9153].iter().all(|port| rows.iter().any(|row| row.port == *port)));
        assert_eq!(ended.take_counts(), [(Hook::PostBind4, 300 - LISTENERS)].into());
    }

    #[test]
    fn what_lasts_has_an_end_too_and_is_counted_where_it_was_bound() {
        let mut ended = Ended::default();
        let ports = u16::try_from(LASTING).unwrap() + 2;
        for port in 1..=ports {
            let local_ip = (port == ports).then(|| Address::from(IpAddr::V4(Ipv4Addr::LOCALHOST)));
            ended.add(ListenRow {
                protocol: 6,
                local_ip,
                hook: Hook::SetState,
                ..row(7, port, None, 9)
            });
        }
        let rows = ended.take();
        assert_eq!(rows.len(), usize::from(ports) - 1);
        assert_eq!(
            rows.last().map(|row| (row.port, row.protocol, row.valid_from)),
            Some((0, 6, None))
        );
        assert_eq!(ended.take_counts(), [(Hook::PostBind4, 1), (Hook::PostBind6, 1)].into());
    }

    #[test]
    fn one_that_is_older_than_the_window_makes_the_folded_row_older() {
        let mut ended = Ended::default();
        // What the kernel folded.
        for (from, to) in [(Some(30), 40), (None, 35), (Some(20), 50)] {
            ended.add(row(7, 0, from, to));
        }
        let folded = ended.take().pop().unwrap();
        assert_eq!((folded.valid_from, folded.valid_to), (None, Some(Time(50))));
    }
}
