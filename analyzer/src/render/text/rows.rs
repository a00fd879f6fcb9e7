//! A table of any kind in columns.

use super::{Align, columns};
use crate::frame::{Cells, Frame};

/// The names of the columns above the rows, numbers to the right; null is an empty cell.
#[must_use]
pub fn text(frame: &Frame) -> String {
    let align = |cells: &Cells| match cells {
        Cells::Integer(_) | Cells::Number(_) => Align::Right,
        Cells::Text(_) | Cells::Boolean(_) | Cells::Time(_) => Align::Left,
    };
    let aligns: Vec<Align> = frame.columns.iter().map(|column| align(&column.cells)).collect();
    let names = frame.columns.iter().map(|column| column.name.clone()).collect();
    let cell = |cells: &Cells, row| cells.get(row).map_or_else(String::new, |cell| cell.to_string());
    let row = |row| frame.columns.iter().map(|column| cell(&column.cells, row)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(names).chain((0..frame.height()).map(row)).collect();
    columns(0, &aligns, &rows)
}
