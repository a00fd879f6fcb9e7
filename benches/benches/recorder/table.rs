//! Tables as `benches/RESULTS.md` holds them.

use std::fmt;

/// A table with a title.
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, head: &[&str]) -> Self {
        Self {
            title: title.into(),
            rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\n{}\n", self.title)?;
        for (at, row) in self.rows.iter().enumerate() {
            writeln!(formatter, "| {} |", row.join(" | "))?;
            if at == 0 {
                writeln!(formatter, "| --- {}|", "| ---: ".repeat(row.len() - 1))?;
            }
        }
        Ok(())
    }
}

/// Picoseconds as microseconds.
pub(crate) fn micros(picoseconds: u64) -> String {
    let nanoseconds = (picoseconds + 500) / 1_000;
    format!("{}.{:03}", nanoseconds / 1_000, nanoseconds % 1_000)
}

/// How much more the one is than the other, in microseconds and a part of it, with its sign.
pub(crate) fn micros_more(one: u64, other: u64, parts: u64) -> String {
    if one >= other {
        format!("+{}", micros((one - other) / parts))
    } else {
        format!("-{}", micros((other - one) / parts))
    }
}

/// `part` in hundredths of `whole`, with one digit behind the point.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let thousandths = part.saturating_mul(1_000) / whole.max(1);
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

/// A quotient with two digits behind the point.
pub(crate) fn quotient(part: u64, whole: u64) -> String {
    let hundredths = part.saturating_mul(100) / whole.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
