//! Rows of a recording that a finding rests on: enough to look for more of the kind.

use flowtape_schemas::node::FlowRow;
use flowtape_schemas::time::Time;

use crate::sorted::Sorted;

/// Rows that are kept of any number: one to look at, two to tell whether they are alike.
const KEPT: usize = 3;

/// A row of table `flows`, and where it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// Its first operation; first, so that samples are ordered by it.
    pub time: Time,
    /// Name of the node.
    pub node: String,
    /// The row.
    pub row: FlowRow,
}

/// The first few rows of any number, by time. Which they are does not depend on the order they came in.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Samples(Sorted<Sample>);

impl Samples {
    /// The samples of a single row.
    #[must_use]
    pub fn of(node: &str, row: &FlowRow) -> Self {
        let mut samples = Self::default();
        samples.add(node, row);
        samples
    }

    /// The samples of any number of rows, each with the name of its node.
    #[must_use]
    pub fn of_rows(mut rows: Vec<(&str, &FlowRow)>) -> Self {
        rows.sort_unstable_by_key(|(node, row)| (row.first_seen, *node, *row));
        rows.dedup();
        let mut samples = Self::default();
        for (node, row) in rows.into_iter().take(KEPT) {
            samples.add(node, row);
        }
        samples
    }

    /// Adds a row, and drops the last one if they become too many.
    pub fn add(&mut self, node: &str, row: &FlowRow) {
        let later = |last: &Sample| (last.time, last.node.as_str(), &last.row) <= (row.first_seen, node, row);
        if self.0.len() == KEPT && self.0.iter().last().is_some_and(later) {
            return;
        }
        self.0.insert(Sample {
            time: row.first_seen,
            node: node.to_owned(),
            row: row.clone(),
        });
        if self.0.len() > KEPT {
            self.0.pop_last();
        }
    }

    /// Adds those of others.
    pub fn merge(&mut self, others: &Self) {
        for sample in &others.0 {
            self.add(&sample.node, &sample.row);
        }
    }

    /// The rows, by time.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter()
    }
}
