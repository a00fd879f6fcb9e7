//! What an operation costs more with something attached: turns of every subject, over and over, so that whatever else the
//! machine does meets all of them alike.

use crate::Outcome;
use crate::subject::Subject;
use crate::table::{Table, micros, micros_more};
use crate::traffic::Kind;
use crate::worker::Worker;

/// What is timed.
pub(crate) struct Measure {
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    /// Operations between two looks at the clock: two milliseconds, so that many rounds are not interrupted.
    pub(crate) operations: u32,
    /// Sides of an operation; the cost is that of one of them.
    pub(crate) sides: u64,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Turns of every subject.
    pub(crate) turns: u32,
    /// Rounds of a turn.
    pub(crate) rounds: u32,
}

/// A subject with what its rounds took: picoseconds per operation, so that whole numbers do.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) subject: Subject,
    turns: Vec<Vec<u64>>,
}

impl Entry {
    pub(crate) fn new(name: impl Into<String>, subject: Subject) -> Self {
        Self {
            name: name.into(),
            subject,
            turns: Vec::new(),
        }
    }

    fn fastest(&self) -> u64 {
        self.turns.iter().flatten().copied().min().unwrap_or_default()
    }

    fn median(&self) -> u64 {
        median(self.turns.iter().flatten().copied().collect())
    }
}

/// Measures the subjects, the first of which is what the others are compared with.
pub(crate) fn run(worker: &Worker, measure: &Measure, effort: Effort, mut entries: Vec<Entry>) -> Outcome<Table> {
    worker.run(measure.kind, measure.operations)?;
    for turn in 0..effort.turns {
        // Every other turn the other way round, so that nobody always comes after the same one.
        let order: Vec<usize> = if turn % 2 == 0 {
            (0..entries.len()).collect()
        } else {
            (0..entries.len()).rev().collect()
        };
        for at in order {
            if let Some(entry) = entries.get_mut(at) {
                entry
                    .turns
                    .push(turn_of(worker, measure, effort.rounds, &entry.subject)?);
            }
        }
    }
    Ok(table(measure, &entries))
}

fn turn_of(worker: &Worker, measure: &Measure, rounds: u32, subject: &Subject) -> Outcome<Vec<u64>> {
    let attached = subject.attach()?;
    // The first round fills caches and the counting map, and is not timed.
    worker.run(measure.kind, measure.operations)?;
    let times = (0..rounds)
        .map(|_| {
            let nanoseconds = worker.run(measure.kind, measure.operations)?;
            Ok(nanoseconds.saturating_mul(1_000) / u64::from(measure.operations))
        })
        .collect();
    attached.detach()?;
    times
}

fn table(measure: &Measure, entries: &[Entry]) -> Table {
    let mut table = Table::new(
        measure.title,
        &[
            "attached",
            "min us",
            "median us",
            "added, min",
            "added, median of turns",
        ],
    );
    let Some(baseline) = entries.first() else {
        return table;
    };
    for (at, entry) in entries.iter().enumerate() {
        let mut cells = vec![entry.name.clone(), micros(entry.fastest()), micros(entry.median())];
        if at == 0 {
            cells.extend(["-".to_owned(), "-".to_owned()]);
        } else {
            let sides = measure.sides;
            cells.push(micros_more(entry.fastest(), baseline.fastest(), sides));
            let (with, without) = (of_turns(entry), of_turns(baseline));
            let more: Vec<i64> = with
                .zip(without)
                .map(|(with, without)| with.cast_signed() - without.cast_signed())
                .collect();
            let more = median(more);
            cells.push(micros_more(
                more.max(0).cast_unsigned(),
                (-more).max(0).cast_unsigned(),
                sides,
            ));
        }
        table.row(cells);
    }
    table
}

/// The fastest round of every turn.
fn of_turns(entry: &Entry) -> impl Iterator<Item = u64> {
    entry
        .turns
        .iter()
        .map(|rounds| rounds.iter().copied().min().unwrap_or_default())
}

fn median<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
