//! Rows by when they were there. A server may have as many rows of one client as there are intervals in a recording, and of
//! each of them only those of nearly the same time are asked for.

use flowtape_schemas::time::Time;

use crate::identity::timeline::Span;

/// Values, each with the span in which it was there.
#[derive(Clone, Debug)]
pub(super) struct Timed<V> {
    /// In the order of their beginnings.
    values: Vec<(Span, V)>,
    /// The latest end of each of them and all before it.
    ends: Vec<Time>,
}

impl<V> Timed<V> {
    /// Collects values in any order.
    pub(super) fn new(mut values: Vec<(Span, V)>) -> Self {
        values.sort_by_key(|(span, _)| span.first);
        let mut end = Time::MIN;
        let latest = |(span, _): &(Span, V)| {
            end = end.max(span.last);
            end
        };
        let ends = values.iter().map(latest).collect();
        Self { values, ends }
    }

    /// Those that were there at some instant of a span.
    pub(super) fn during(&self, at: Span) -> impl Iterator<Item = &V> {
        let near = self.near(at).iter();
        near.filter(move |(span, _)| span.overlaps(at)).map(|(_, value)| value)
    }

    /// All between the first and the last of those, by their beginnings.
    fn near(&self, at: Span) -> &[(Span, V)] {
        let first = self.ends.partition_point(|end| *end < at.first);
        let until = self.values.partition_point(|(span, _)| span.first <= at.last);
        self.values.get(first..until).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Timed;
    use crate::identity::timeline::Span;
    use flowtape_schemas::time::Time;
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    fn span(first: i64, last: i64) -> Span {
        Span {
            first: Time(first),
            last: Time(last),
        }
    }

    #[test]
    fn what_is_looked_at_does_not_grow_with_the_recording() {
        for intervals in [100, 10_000] {
            let rows = (0..intervals).map(|row| (span(row * 10, row * 10 + 9), row));
            // A connection that is older than the window.
            let older = (span(i64::MIN, 5), -1);
            let rows = Timed::new(rows.chain([older]).collect());
            assert_eq!(rows.near(span(508, 522)).len(), 3);
            assert_eq!(rows.during(span(508, 522)).copied().collect::<Vec<_>>(), [50, 51, 52]);
            assert_eq!(rows.during(span(3, 3)).copied().collect::<Vec<_>>(), [-1, 0]);
        }
    }

    proptest! {
        #[test]
        fn those_of_a_time_are_those_that_a_scan_finds(
            values in prop::collection::vec((0..50i64, 0..20i64), 0..20), first in -5..60i64, length in 0..10i64,
        ) {
            let at = span(first, first + length);
            let values: Vec<(Span, usize)> = values
                .into_iter()
                .enumerate()
                .map(|(place, (first, length))| (span(first, first + length), place))
                .collect();
            let mut found: Vec<usize> = Timed::new(values.clone()).during(at).copied().collect();
            found.sort_unstable();
            let scanned = values.iter().filter(|(span, _)| span.overlaps(at)).map(|(_, place)| *place);
            prop_assert_eq!(found, scanned.collect::<Vec<_>>());
        }
    }
}
