//! Text for people: tables in columns, names from a tape made harmless.

pub mod connectivity;
pub mod diff;
pub mod eval;
pub mod explain;
pub mod findings;
pub mod flows;
pub mod inspect;
pub mod proof;
pub mod rows;
pub mod shares;
pub mod verify;
pub mod workload;

use std::fmt::Write as _;

use flowtape_schemas::time::Time;

use crate::escape::escaped;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows in columns, two blanks apart, each line indented; cells are escaped, and no line ends in blanks.
#[must_use]
pub fn columns(indent: usize, aligns: &[Align], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| escaped(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..aligns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = " ".repeat(indent);
        for ((cell, align), &width) in row.iter().zip(aligns).zip(&widths) {
            let _ = match align {
                Align::Left => write!(line, "{cell:<width$}  "),
                Align::Right => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The time without its fraction of a second.
pub(super) fn seconds(time: Time) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Align, columns};

    #[test]
    fn columns_line_up() {
        let rows = [["a", "1", "x"], ["bcd", "22", ""]].map(|row| row.map(str::to_owned).to_vec());
        let aligns = [Align::Left, Align::Right, Align::Left];
        assert_eq!(columns(2, &aligns, &rows), "  a     1  x\n  bcd  22\n");
    }
}
