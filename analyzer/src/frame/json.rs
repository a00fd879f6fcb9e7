//! The body of `flowtape.query/v1`: the columns of a table with their types, and its rows by the names of the columns.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Cell, Column, Frame};

/// A table as a document.
#[derive(Clone, Debug, Serialize)]
pub struct Document<'a> {
    /// Its columns, in order.
    columns: Vec<Head<'a>>,
    /// Its rows.
    rows: Vec<Row<'a>>,
}

/// A column.
#[derive(Clone, Copy, Debug, Serialize)]
struct Head<'a> {
    /// Its name, which is that of its cells in each row.
    name: &'a str,
    /// `text`, `integer`, `number`, `bool` or `time`.
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Row<'a> {
    frame: &'a Frame,
    row: usize,
}

impl<'a> Document<'a> {
    /// The document of a table.
    #[must_use]
    pub fn new(frame: &'a Frame) -> Self {
        let head = |Column { name, doc: _, cells }: &'a Column| Head {
            name,
            kind: cells.kind(),
        };
        Self {
            columns: frame.columns.iter().map(head).collect(),
            rows: (0..frame.height()).map(|row| Row { frame, row }).collect(),
        }
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.frame.columns.len()))?;
        for Column { name, doc: _, cells } in &self.frame.columns {
            map.serialize_entry(name, &cells.get(self.row))?;
        }
        map.end()
    }
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Boolean(truth) => serializer.serialize_bool(*truth),
            Self::Time(time) => time.serialize(serializer),
        }
    }
}
