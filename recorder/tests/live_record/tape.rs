//! Reads a tape back as its rows.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use flowtape_schemas::manifest::Manifest;
use flowtape_schemas::node::{Counter, Direction, FlowRow, StatsRow};
use flowtape_schemas::parquet::decode_file;
use flowtape_schemas::table::Row;
use flowtape_schemas::validate::check_file;

use crate::Outcome;
use crate::recording::files;

/// A tape on disk.
pub(crate) struct Tape(PathBuf);

impl Tape {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn manifest(&self) -> Outcome<Manifest> {
        Ok(Manifest::parse(&std::fs::read(self.0.join("manifest.json"))?)?)
    }

    /// All rows of a table, from every finished file of the node.
    pub(crate) fn rows<R: Row>(&self) -> Outcome<Vec<R>> {
        let mut rows = Vec::new();
        for path in files(&self.0, ".parquet")? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.rsplit_once('-').is_some_and(|(table, _)| table == R::TABLE) {
                rows.extend(decode_file::<R>(Bytes::from(std::fs::read(path)?))?);
            }
        }
        Ok(rows)
    }

    /// Flows of a control group in one direction. Its number is its own since boot; that of a network namespace is given to
    /// another one as soon as it is gone.
    pub(crate) fn flows(&self, cgroup_id: u64, direction: Direction) -> Outcome<Vec<FlowRow>> {
        let mut rows = self.rows::<FlowRow>()?;
        rows.retain(|row| row.cgroup_id == Some(cgroup_id) && row.direction == direction);
        Ok(rows)
    }

    /// Operations counted in a control group in one direction.
    pub(crate) fn operations(&self, cgroup_id: u64, direction: Direction) -> Outcome<u64> {
        Ok(self.flows(cgroup_id, direction)?.iter().map(|row| row.count).sum())
    }

    /// The sum of a counter over all hooks and intervals.
    pub(crate) fn counter(&self, counter: Counter) -> Outcome<u64> {
        let stats = self.rows::<StatsRow>()?;
        Ok(stats
            .iter()
            .filter(|row| row.counter == counter)
            .map(|row| row.value)
            .sum())
    }

    /// Fails unless every file is listed, sound and what the manifest says, and nothing unfinished is left.
    pub(crate) fn must_be_whole(&self) -> Outcome {
        let manifest = self.manifest()?;
        for entry in &manifest.files {
            let bytes = Bytes::from(std::fs::read(self.0.join(&entry.path))?);
            let problems = check_file(&entry.table, &bytes, Some(entry));
            if !problems.is_empty() {
                return Err(format!("{}: {problems:?}", entry.path).into());
            }
        }
        let found = files(&self.0, "")?.len();
        if found != manifest.files.len() + 1 {
            return Err(format!("{found} files, and the manifest lists {}", manifest.files.len()).into());
        }
        Ok(())
    }
}
