//! Whole files on their way to the disk. One that the disk refuses waits here for the next try, and nothing behind it
//! overtakes it, so that what stands on the disk is always what was there up to some moment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use flowtape_schemas::manifest::FileEntry;

use super::{TapeError, WholeFile};

/// Files that wait, and what was stored.
#[derive(Debug)]
pub struct Outbox {
    tape: PathBuf,
    waiting: Vec<WholeFile>,
    /// By path: a file may be replaced by a later one.
    stored: BTreeMap<String, FileEntry>,
}

impl Outbox {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(tape: PathBuf) -> Self {
        Self {
            tape,
            waiting: Vec::new(),
            stored: BTreeMap::new(),
        }
    }

    /// Adds a file. It replaces one of the same path that still waits.
    pub fn put(&mut self, file: WholeFile) {
        self.waiting.retain(|other| other.entry.path != file.entry.path);
        self.waiting.push(file);
    }

    /// Stores what waits, up to the first that the disk refuses.
    pub fn send(&mut self) -> Result<(), TapeError> {
        while let Some(file) = self.waiting.first() {
            file.store(&self.tape)?;
            let WholeFile { entry, .. } = self.waiting.remove(0);
            self.stored.insert(entry.path.clone(), entry);
        }
        Ok(())
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting.iter().map(|file| file.entry.bytes).sum()
    }

    /// Bytes that were stored.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored.values().map(|file| file.bytes).sum()
    }

    /// What was stored.
    pub fn stored(&self) -> impl Iterator<Item = &FileEntry> {
        self.stored.values()
    }
}

#[cfg(test)]
mod tests {
    use super::{Outbox, WholeFile};
    use flowtape_schemas::node::ClockRow;
    use flowtape_schemas::time::Time;

    fn file(sequence: u32, boot_nanos: u64) -> WholeFile {
        let row = ClockRow {
            boot_nanos,
            wall_time: Time(0),
        };
        WholeFile::of("node=n1", sequence, &[row]).unwrap()
    }

    #[test]
    fn what_the_disk_refuses_waits_in_order_and_the_newest_of_a_name_counts() {
        let home = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::new(home.path().to_owned());
        outbox.put(file(1, 1));
        outbox.put(file(2, 2));
        // Its directory is not there yet, which is as good a refusal as any.
        assert!(outbox.send().unwrap_err().storage().is_some());
        outbox.put(file(1, 3));
        assert_eq!((outbox.stored_bytes(), outbox.waiting_bytes() > 0), (0, true));

        let directory = home.path().join("node=n1");
        std::fs::create_dir(&directory).unwrap();
        outbox.send().unwrap();
        let newest = file(1, 3).entry;
        assert_eq!(outbox.stored().collect::<Vec<_>>(), [&newest, &file(2, 2).entry]);
        assert_eq!(outbox.waiting_bytes(), 0);
        let on_disk: u64 = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert_eq!(on_disk, outbox.stored_bytes(), "no `.tmp` is left");
    }
}
