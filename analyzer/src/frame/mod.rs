//! Results as tables: named columns of one type each, for spreadsheets, Parquet and SQL.
//!
//! What one column holds is said once, here, and stands in every format alike.

pub mod edges;
mod events;
pub mod json;
mod rows;
pub mod tables;

use flowtape_schemas::time::Time;

/// A table in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The columns, all of the same length.
    pub columns: Vec<Column>,
}

/// A column with its cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds, with its unit; empty for what a query computed.
    pub doc: String,
    /// The cells, of which any can be null.
    pub cells: Cells,
}

/// The cells of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Words and names.
    Text(Vec<Option<String>>),
    /// Whole numbers.
    Integer(Vec<Option<i64>>),
    /// Numbers with a fraction; only what a query computed.
    Number(Vec<Option<f64>>),
    /// True or false.
    Boolean(Vec<Option<bool>>),
    /// Instants.
    Time(Vec<Option<Time>>),
}

/// One cell that is not null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// A word or name.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// An instant.
    Time(Time),
}

impl Frame {
    /// How many rows there are.
    #[must_use]
    pub fn height(&self) -> usize {
        self.columns.first().map_or(0, |column| column.cells.len())
    }

    /// Puts the rows of a table with the same columns below.
    fn append(&mut self, other: Self) {
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.cells.append(more.cells);
        }
    }
}

impl Column {
    /// A column of words or names.
    #[must_use]
    pub fn text<I: Into<String>>(name: &str, doc: &str, cells: impl Iterator<Item = Option<I>>) -> Self {
        Self::new(name, doc, Cells::Text(cells.map(|cell| cell.map(Into::into)).collect()))
    }

    /// A column of whole numbers. What exceeds 63 bits, as no counter does, is cut off there.
    #[must_use]
    pub fn integers<I: TryInto<i64>>(name: &str, doc: &str, cells: impl Iterator<Item = Option<I>>) -> Self {
        let cell = |cell: I| cell.try_into().unwrap_or(i64::MAX);
        Self::new(name, doc, Cells::Integer(cells.map(|one| one.map(cell)).collect()))
    }

    /// A column of what is true or false.
    #[must_use]
    pub fn booleans(name: &str, doc: &str, cells: impl Iterator<Item = Option<bool>>) -> Self {
        Self::new(name, doc, Cells::Boolean(cells.collect()))
    }

    /// A column of instants.
    #[must_use]
    pub fn times(name: &str, doc: &str, cells: impl Iterator<Item = Option<Time>>) -> Self {
        Self::new(name, doc, Cells::Time(cells.collect()))
    }

    fn new(name: &str, doc: &str, cells: Cells) -> Self {
        Self {
            name: name.to_owned(),
            doc: doc.to_owned(),
            cells,
        }
    }
}

impl Cells {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(cells) => cells.len(),
            Self::Integer(cells) => cells.len(),
            Self::Number(cells) => cells.len(),
            Self::Boolean(cells) => cells.len(),
            Self::Time(cells) => cells.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Text(cells), Self::Text(more)) => cells.extend(more),
            (Self::Integer(cells), Self::Integer(more)) => cells.extend(more),
            (Self::Number(cells), Self::Number(more)) => cells.extend(more),
            (Self::Boolean(cells), Self::Boolean(more)) => cells.extend(more),
            (Self::Time(cells), Self::Time(more)) => cells.extend(more),
            (cells, more) => unreachable!("{} below {}", more.kind(), cells.kind()),
        }
    }

    /// The cell of a row; `None` for null.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Cell<'_>> {
        match self {
            Self::Text(cells) => cells.get(row)?.as_deref().map(Cell::Text),
            Self::Integer(cells) => cells.get(row).copied()?.map(Cell::Integer),
            Self::Number(cells) => cells.get(row).copied()?.map(Cell::Number),
            Self::Boolean(cells) => cells.get(row).copied()?.map(Cell::Boolean),
            Self::Time(cells) => cells.get(row).copied()?.map(Cell::Time),
        }
    }

    /// The word for what they are, as the reference and JSON have it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "integer",
            Self::Number(_) => "number",
            Self::Boolean(_) => "bool",
            Self::Time(_) => "time",
        }
    }
}

impl std::fmt::Display for Cell<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Integer(number) => number.fmt(formatter),
            Self::Number(number) => number.fmt(formatter),
            Self::Boolean(truth) => truth.fmt(formatter),
            Self::Time(time) => time.fmt(formatter),
        }
    }
}
