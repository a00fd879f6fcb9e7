//! A growing table whose rows must not be lost: files are encoded in memory and then handed over whole.

use flowtape_schemas::table::Row;

use super::TapeError;
use super::whole::{Encoding, WholeFile};

/// The files of one growing table, one at a time.
pub struct CountedTable<R: Row> {
    directory: String,
    sequence: u32,
    open: Option<Encoding<R>>,
}

impl<R: Row> CountedTable<R> {
    /// A table without rows in a directory of a tape.
    #[must_use]
    pub fn new(directory: String) -> Self {
        Self {
            directory,
            sequence: 1,
            open: None,
        }
    }

    /// Appends rows to the present file, beginning one if there is none.
    pub fn write(&mut self, rows: &[R]) -> Result<(), TapeError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.file()?.write(rows)
    }

    /// Bytes the present file would have if it ended now.
    #[must_use]
    pub fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, Encoding::estimated_bytes)
    }

    /// Ends the present file, if there is one; later rows begin another.
    pub fn seal(&mut self) -> Result<Option<WholeFile>, TapeError> {
        self.open.take().map(Encoding::finish).transpose()
    }

    /// Ends the last file. A table without rows still gets one, so that a missing file means a missing table.
    pub fn seal_last(&mut self) -> Result<Option<WholeFile>, TapeError> {
        if self.sequence == 1 {
            self.file()?;
        }
        self.seal()
    }

    fn file(&mut self) -> Result<&mut Encoding<R>, TapeError> {
        match &mut self.open {
            Some(file) => Ok(file),
            empty => {
                let file = Encoding::begin(&self.directory, self.sequence)?;
                self.sequence += 1;
                Ok(empty.insert(file))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CountedTable;
    use flowtape_schemas::node::ClockRow;
    use flowtape_schemas::time::Time;

    #[test]
    fn every_table_has_a_file_and_numbers_go_on() {
        let row = ClockRow {
            boot_nanos: 1,
            wall_time: Time(2),
        };
        let mut table: CountedTable<ClockRow> = CountedTable::new("node=n1".to_owned());
        assert_eq!(table.seal().unwrap(), None);
        let empty = table.seal_last().unwrap().unwrap();
        assert_eq!(
            (empty.entry.path.as_str(), empty.entry.rows),
            ("node=n1/clock-000001.parquet", 0)
        );
        table.write(&[]).unwrap();
        assert_eq!((table.open_bytes(), table.seal_last().unwrap()), (0, None));
        table.write(&[row]).unwrap();
        assert!(table.open_bytes() > 0);
        let second = table.seal_last().unwrap().unwrap();
        assert_eq!(
            (second.entry.path.as_str(), second.entry.rows),
            ("node=n1/clock-000002.parquet", 1)
        );
    }
}
