//! Changes as lines that begin with a mark, and a line that counts them.

use super::{Align, columns};
use crate::baseline::Excused;
use crate::diff::change::{Change, Class, Diff, Pair};
use crate::diff::rewrite::Rewrite;
use crate::render::text::seconds;

const ALIGNS: [Align; 7] = [Align::Left; 7];

/// One line for each change, by class, and their number in the last line.
#[must_use]
pub fn text(diff: &Diff, excused: &[Excused<Change>]) -> String {
    let changes = diff.changes.iter().map(row);
    let rewrites = diff.rewrites.iter().filter_map(renamed);
    let rows: Vec<Vec<String>> = changes.chain(excused.iter().map(accepted)).chain(rewrites).collect();
    let mut text = columns(0, &ALIGNS, &rows);
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(diff, excused));
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

/// A policy under another name; what else happened to policies, the changes say.
fn renamed(rewrite: &Rewrite) -> Option<Vec<String>> {
    match rewrite {
        Rewrite::Renamed(before, after) => Some(vec![
            mark(Class::Renamed).to_owned(),
            Class::Renamed.word().to_owned(),
            before.to_string(),
            "->".to_owned(),
            after.to_string(),
            String::new(),
            "the same policy".to_owned(),
        ]),
        Rewrite::Added(_) | Rewrite::Removed(_) | Rewrite::Changed(..) => None,
    }
}

fn accepted(excused: &Excused<Change>) -> Vec<String> {
    let Excused { what, reason, until } = excused;
    let until = until.map_or_else(String::new, |until| format!(" until {}", seconds(until)));
    let mut row = row(what);
    "=".clone_into(&mut row[0]);
    row[6] = format!("{}; accepted{until}: {reason}", row[6]);
    row
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

pub(in crate::render) fn summary(diff: &Diff, excused: &[Excused<Change>]) -> String {
    let counts = diff.summary().into_iter();
    // Only policies have names of their own.
    let told = counts.filter(|(class, count)| *class != Class::Renamed || *count > 0);
    let mut parts: Vec<String> = told.map(|(class, count)| format!("{count} {}", class.word())).collect();
    let unbounded = diff.unbounded.len();
    if unbounded > 0 {
        parts.push(format!("{unbounded} not isolated"));
    }
    if !excused.is_empty() {
        parts.push(format!("{} accepted", excused.len()));
    }
    parts.join(", ")
}
