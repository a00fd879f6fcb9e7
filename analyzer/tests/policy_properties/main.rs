//! The policy core against naive definitions: sets, selectors and prefixes, the evaluator, the parser and the writer.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its data fails")]

mod algebra;
mod arbitrary;
mod cases;
mod coming;
mod dialects;
mod diff;
mod evaluation;
mod hostile;
mod kinds;
mod merge;
mod reach;
mod reading;
mod reading_cluster;
mod tiers;
mod writing;
mod yaml;
