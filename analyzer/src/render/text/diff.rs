//! Changes as lines that begin with a mark, and a line that counts them.

use super::{Align, columns};
use crate::diff::change::{Change, Class, Diff, Pair};

const ALIGNS: [Align; 7] = [Align::Left; 7];

/// One line for each change, by class, and their number in the last line.
#[must_use]
pub fn text(diff: &Diff) -> String {
    let rows: Vec<Vec<String>> = diff.changes.iter().map(row).collect();
    let mut text = columns(0, &ALIGNS, &rows);
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(diff));
    text.push('\n');
    text
}

fn row(change: &Change) -> Vec<String> {
    let Pair { from, to, protocol } = &change.pair;
    let ports = &change.ports;
    vec![
        mark(change.class).to_owned(),
        change.class.word().to_owned(),
        from.to_string(),
        "->".to_owned(),
        to.to_string(),
        format!("{protocol} {ports}").trim_end().to_owned(),
        change.explanation(),
    ]
}

/// What a line begins with.
const fn mark(class: Class) -> &'static str {
    match class {
        Class::Added => "+",
        Class::Removed => "-",
        Class::Widened | Class::Narrowed | Class::Renamed => "~",
        Class::Undecided => "?",
    }
}

fn summary(diff: &Diff) -> String {
    let counts = diff.summary().into_iter();
    // Nothing is ever renamed while nothing can prove it.
    let told = counts.filter(|(class, count)| *class != Class::Renamed || *count > 0);
    let mut parts: Vec<String> = told.map(|(class, count)| format!("{count} {}", class.word())).collect();
    let unbounded = diff.unbounded.len();
    if unbounded > 0 {
        parts.push(format!("{unbounded} not isolated"));
    }
    parts.join(", ")
}
