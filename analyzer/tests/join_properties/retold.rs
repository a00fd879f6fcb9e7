//! The same operations in other rows: an edge key may have several rows in an interval, and intervals may be longer.

use flowtape::findings::Samples;
use flowtape::flow::edge::Edge;
use flowtape::tape::Tape;
use flowtape_schemas::node::FlowRow;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use crate::{Fact, arbitrary, fact, of_counts, of_samples, record, some_nodes};

/// Splits rows in two, each with a part of the count and all of the time; which rows, and where, the bits say.
fn split(tape: &Tape, bits: u64) -> Tape {
    let mut other = tape.clone();
    let mut numbers = bits;
    for node in &mut other.nodes {
        let mut rows = Vec::new();
        for row in std::mem::take(&mut node.flows) {
            numbers = numbers.rotate_left(7).wrapping_add(0x9e37_79b9_7f4a_7c15);
            let part = (numbers >> 60) % row.count.max(1);
            if part > 0 {
                let samples = part.min(row.samples);
                rows.push(FlowRow {
                    count: part,
                    samples,
                    ..row.clone()
                });
                rows.push(FlowRow {
                    count: row.count - part,
                    samples: row.samples - samples,
                    ..row
                });
            } else {
                rows.push(row);
            }
        }
        rows.sort_unstable();
        node.flows = rows;
    }
    other
}

/// Brings rows that differ by nothing but their interval together.
fn merge(tape: &Tape) -> Tape {
    let mut other = tape.clone();
    for node in &mut other.nodes {
        let mut rows: Vec<FlowRow> = Vec::new();
        for row in std::mem::take(&mut node.flows) {
            match rows.iter_mut().find(|known| is_alike(known, &row)) {
                Some(known) => {
                    known.interval_start = known.interval_start.min(row.interval_start);
                    known.interval_end = known.interval_end.max(row.interval_end);
                    known.first_seen = known.first_seen.min(row.first_seen);
                    known.last_seen = known.last_seen.max(row.last_seen);
                    known.count += row.count;
                    known.samples += row.samples;
                }
                None => rows.push(row),
            }
        }
        rows.sort_unstable();
        node.flows = rows;
    }
    other
}

/// Edges without the rows that they name as examples, which are other ones.
fn rowless(mut edges: Vec<Edge>) -> Vec<Edge> {
    for edge in &mut edges {
        edge.evidence.samples = Samples::default();
    }
    edges
}

/// Edges with their counts. When which backend of a Service was reached, only rows of short intervals tell.
fn counts(edges: &[Edge]) -> Vec<(Fact, u64, bool)> {
    let told = |edge: &Edge| (fact(edge), edge.evidence.count, edge.evidence.assumed);
    edges.iter().map(told).collect()
}

fn is_alike(a: &FlowRow, b: &FlowRow) -> bool {
    let timeless = |row: &FlowRow| FlowRow {
        interval_start: a.interval_start,
        interval_end: a.interval_end,
        first_seen: a.first_seen,
        last_seen: a.last_seen,
        count: 0,
        samples: 0,
        ..row.clone()
    };
    timeless(a) == timeless(b)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn rows_told_in_parts_are_the_same_edges(scenario in arbitrary::scenario(), bits in any::<u64>(), nodes in 1..8_u8) {
        let recorded = record(&scenario);
        let some = some_nodes(&recorded.tape, nodes);
        let parts = split(&some, bits);
        prop_assert_eq!(rowless(of_counts(&parts)), rowless(of_counts(&some)));
        prop_assert_eq!(rowless(of_samples(&parts)), rowless(of_samples(&some)));
        let rows = |tape: Tape| tape.nodes.into_iter().map(|node| node.flows).collect::<Vec<_>>();
        prop_assert_eq!(rows(merge(&parts)), rows(merge(&some)));
    }

    #[test]
    fn intervals_of_another_length_are_the_same_edges(scenario in arbitrary::scenario()) {
        let recorded = record(&scenario);
        let longer = merge(&recorded.tape);
        prop_assert_eq!(counts(&of_samples(&longer)), counts(&of_samples(&recorded.tape)));
    }
}
