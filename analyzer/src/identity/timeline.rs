//! Which value a key had when.

use std::collections::BTreeMap;

use flowtape_schemas::time::Time;

/// How far metadata may be late or early against the traffic it explains, in nanoseconds. The API server stores times
/// in whole seconds (`metav1.Time`), and nodes disagree by less than that where NTP works.
const TOLERANCE_NANOS: i64 = 2_000_000_000;

/// A closed interval of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first instant.
    pub first: Time,
    /// Its last instant.
    pub last: Time,
}

impl Span {
    /// The span of a metadata row, open ends reaching as far as time does.
    #[must_use]
    pub fn of_validity(from: Option<Time>, to: Option<Time>) -> Self {
        Self {
            first: from.unwrap_or(Time::MIN),
            last: to.unwrap_or(Time::MAX),
        }
    }

    /// Whether both share an instant.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The span that covers both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Whether all of the other is in this one.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The last instant at which what preceded this span may still have held.
    #[must_use]
    pub fn tolerant_start(self) -> Time {
        self.first.saturating_add(TOLERANCE_NANOS)
    }

    /// The span with each of its ends moved by so many nanoseconds.
    #[must_use]
    pub fn shifted(self, first: i64, last: i64) -> Self {
        Self {
            first: self.first.saturating_add(first),
            last: self.last.saturating_add(last),
        }
    }

    /// The span with the tolerance for late metadata at both ends.
    #[must_use]
    pub fn tolerant(self) -> Self {
        Self {
            first: self.first.saturating_add(-TOLERANCE_NANOS),
            last: self.last.saturating_add(TOLERANCE_NANOS),
        }
    }
}

/// Values, each with the span in which it held.
#[derive(Clone, Debug)]
pub struct History<V> {
    values: Vec<(Span, V)>,
}

impl<V> Default for History<V> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

impl<V: Ord> History<V> {
    /// Collects values in any order.
    pub fn new(values: impl IntoIterator<Item = (Span, V)>) -> Self {
        let mut values: Vec<(Span, V)> = values.into_iter().collect();
        values.sort();
        values.dedup();
        Self { values }
    }

    /// The distinct values that there were during `span`, in order. Only where there is none, those that there were
    /// within the tolerance of late metadata.
    #[must_use]
    pub fn during(&self, span: Span) -> Vec<&V> {
        let exact = self.overlapping(span);
        if exact.is_empty() {
            self.overlapping(span.tolerant())
        } else {
            exact
        }
    }

    /// The distinct values that there were all the time of `span`, in order.
    #[must_use]
    pub fn throughout(&self, span: Span) -> Vec<&V> {
        self.distinct(|held| held.covers(span))
    }

    /// Whether a value began or ended within `span`.
    #[must_use]
    pub fn changed_during(&self, span: Span) -> bool {
        let mut held = self.values.iter().map(|(held, _)| *held);
        held.any(|held| held.overlaps(span) && !held.covers(span))
    }

    fn overlapping(&self, span: Span) -> Vec<&V> {
        self.distinct(|held| held.overlaps(span))
    }

    fn distinct(&self, is_wanted: impl Fn(Span) -> bool) -> Vec<&V> {
        let wanted = self.values.iter().filter(|(held, _)| is_wanted(*held));
        let mut found: Vec<&V> = wanted.map(|(_, value)| value).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// Values of keys, each with the span in which it held.
#[derive(Clone, Debug)]
pub struct Timeline<K, V> {
    entries: BTreeMap<K, History<V>>,
}

impl<K: Ord, V: Ord> Timeline<K, V> {
    /// Collects entries in any order.
    pub fn new(entries: impl IntoIterator<Item = (K, Span, V)>) -> Self {
        let mut map: BTreeMap<K, Vec<(Span, V)>> = BTreeMap::new();
        for (key, span, value) in entries {
            map.entry(key).or_default().push((span, value));
        }
        let history = |(key, values)| (key, History::new(values));
        Self {
            entries: map.into_iter().map(history).collect(),
        }
    }

    /// The distinct values that `key` had during `span`, in order. Only where there is none, those that it had within
    /// the tolerance of late metadata.
    #[must_use]
    pub fn during(&self, key: &K, span: Span) -> Vec<&V> {
        self.entries
            .get(key)
            .map_or_else(Vec::new, |values| values.during(span))
    }

    /// The distinct values that `key` had all the time of `span`, in order.
    #[must_use]
    pub fn throughout(&self, key: &K, span: Span) -> Vec<&V> {
        let values = self.entries.get(key);
        values.map_or_else(Vec::new, |values| values.throughout(span))
    }

    /// Whether `key` had any value at any time.
    #[must_use]
    pub fn knows(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::{History, Span, TOLERANCE_NANOS, Timeline};
    use flowtape_schemas::time::Time;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    fn span(first: i64, last: i64) -> Span {
        Span {
            first: Time(first),
            last: Time(last),
        }
    }

    #[test]
    fn an_address_reused_later_belongs_to_each_in_turn() {
        let second = 1_000_000_000;
        let line = Timeline::new([
            ("ip", span(0, 10 * second), "a"),
            ("ip", span(12 * second, 90 * second), "b"),
        ]);
        assert_eq!(line.during(&"ip", span(5 * second, 5 * second)), [&"a"]);
        assert_eq!(line.during(&"ip", span(20 * second, 30 * second)), [&"b"]);
        assert_eq!(
            line.during(&"ip", span(5 * second, 30 * second)),
            [&"a", &"b"],
            "straddles both: ambiguous"
        );
        assert_eq!(
            line.during(&"ip", span(95 * second, 95 * second)),
            [&""; 0],
            "beyond the tolerance"
        );
        assert_eq!(line.during(&"other", span(0, 1)), [&""; 0]);
    }

    #[test]
    fn metadata_may_be_a_little_late() {
        let line = Timeline::new([("ip", span(TOLERANCE_NANOS, i64::MAX), "a")]);
        assert_eq!(line.during(&"ip", span(0, 0)), [&"a"]);
        assert_eq!(line.during(&"ip", span(-1, -1)), [&""; 0]);
    }

    proptest! {
        #[test]
        fn lookups_agree_with_a_naive_scan(
            entries in prop::collection::vec((0..3u8, 0..50i64, 0..20i64, 0..4u8), 0..20),
            key in 0..3u8, at in 0..60i64, length in 0..10i64,
        ) {
            let second = 1_000_000_000;
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(key, first, length, value)| (key, span(first * second, (first + length) * second), value))
                .collect();
            let asked = span(at * second, (at + length) * second);
            let scan = |asked: Span| {
                let held = entries.iter().filter(|(other, held, _)| *other == key && held.first <= asked.last && asked.first <= held.last);
                held.map(|entry| entry.2).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
            };
            let exact = scan(asked);
            let expected = if exact.is_empty() { scan(asked.tolerant()) } else { exact };
            let line = Timeline::new(entries.clone());
            prop_assert_eq!(line.during(&key, asked), expected.iter().collect::<Vec<_>>());
            // Second by second: who was there all the time, and whether anybody came or went in between.
            let held = |at: i64| scan(span(at * second, at * second));
            let instants: Vec<Vec<u8>> = (at..=at + length).map(held).collect();
            let entered = |(other, held, value): &(u8, Span, u8)| {
                let within = held.first <= asked.first && asked.last <= held.last;
                (*other == key && within).then_some(*value)
            };
            let throughout: std::collections::BTreeSet<u8> = entries.iter().filter_map(entered).collect();
            prop_assert_eq!(line.throughout(&key, asked), throughout.iter().collect::<Vec<_>>());
            prop_assert!(throughout.iter().all(|value| instants.iter().all(|there| there.contains(value))));
            let differs = instants.windows(2).any(|pair| pair[0] != pair[1]);
            let of_key = entries.iter().filter(|(other, ..)| *other == key);
            let history = History::new(of_key.map(|(_, held, value)| (*held, *value)));
            prop_assert!(!differs || history.changed_during(asked));
        }
    }
}
