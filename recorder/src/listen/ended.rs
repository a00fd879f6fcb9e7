//! Rows of listeners that ended, few enough of each control group.
//!
//! A resolver that binds a port of its own choosing for each of its questions is a listener for a moment each time. The first of
//! a control group tell what it is; the others are one row without a port, and how many they were is counted.

use std::collections::BTreeMap;

use flowtape_recorder_ebpf::abi::quota::LISTENERS;
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::{Hook, ListenRow};

/// Whose sockets they were: control group and network namespace.
type Share = (Option<u64>, Option<u32>);

/// What ended since somebody asked.
#[derive(Debug, Default)]
pub(super) struct Ended {
    rows: Vec<ListenRow>,
    shares: BTreeMap<Share, u64>,
    /// One row of each share and protocol for what is beyond.
    folded: BTreeMap<(Share, u8), ListenRow>,
    /// How many those are, by hook, since somebody asked for that.
    counts: BTreeMap<Hook, u64>,
}

impl Ended {
    /// Adds one, in order of time.
    pub(super) fn add(&mut self, row: ListenRow) {
        let share = (row.cgroup_id, row.netns);
        // Those without a port the kernel has folded, and counted.
        if row.port != 0 {
            let taken = self.shares.entry(share).or_default();
            if *taken < LISTENERS {
                *taken += 1;
                self.rows.push(row);
                return;
            }
            *self.counts.entry(row.hook).or_default() += 1;
        }
        let nowhere = ListenRow {
            local_ip: None,
            port: 0,
            backlog: None,
            ..row
        };
        self.folded
            .entry((share, nowhere.protocol))
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

    /// How many listeners have no row of their own, by the hook that saw them begin.
    pub(super) fn take_counts(&mut self) -> BTreeMap<Hook, u64> {
        std::mem::take(&mut self.counts)
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
    use super::{Ended, LISTENERS};
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
    fn one_that_is_older_than_the_window_makes_the_folded_row_older() {
        let mut ended = Ended::default();
        for port in 0..LISTENERS {
            ended.add(row(7, u16::try_from(port).unwrap(), Some(1), 2));
        }
        for (from, to) in [(Some(30), 40), (None, 35), (Some(20), 50)] {
            ended.add(row(7, 9, from, to));
        }
        let folded = ended.take().pop().unwrap();
        assert_eq!((folded.valid_from, folded.valid_to), (None, Some(Time(50))));
    }
}
