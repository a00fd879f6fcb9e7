//! What stands in a tape, finished or not.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flowtape_schemas::cluster::{Bound, PodRow, ServiceRow};
use flowtape_schemas::manifest::{ClusterRecording, Manifest};
use flowtape_schemas::parquet::decode_file;
use flowtape_schemas::table::Row;
use flowtape_schemas::time::Time;
use flowtape_schemas::validate::check_file;

/// How long something may take on a machine that has much to do.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until something is there.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "still no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The present.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time(i64::try_from(since.as_nanos()).unwrap())
}

/// Every file of a tape, finished or not.
pub(crate) fn files(tape: &Path) -> Vec<PathBuf> {
    let directories = [tape.to_owned(), tape.join("cluster")];
    let entries = directories
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok());
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Rows of a table in the finished files, sorted. A file can be replaced while it is looked for.
pub(crate) fn rows<R: Row + Ord>(tape: &Path) -> Vec<R> {
    let of_table = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&format!("{}-", R::TABLE)) && name.ends_with(".parquet")
    };
    let mut rows = Vec::new();
    for file in files(tape).iter().filter(|path| of_table(path)) {
        rows.extend(decode_file::<R>(Bytes::from(std::fs::read(file).unwrap())).unwrap());
    }
    rows.sort();
    rows
}

/// The manifest, after every file was compared with it.
pub(crate) fn sound_manifest(tape: &Path) -> Manifest {
    let manifest = Manifest::parse(&std::fs::read(tape.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(files(tape).len(), manifest.files.len() + 1, "nothing else stands there");
    for entry in &manifest.files {
        let bytes = Bytes::from(std::fs::read(tape.join(&entry.path)).unwrap());
        let problems = check_file(&entry.table, &bytes, Some(entry));
        assert!(problems.is_empty(), "{}: {problems:?}", entry.path);
    }
    manifest
}

/// What the manifest says of the watch.
pub(crate) fn recording(tape: &Path) -> ClusterRecording {
    sound_manifest(tape).cluster.unwrap()
}

/// One version: what it says, and how its ends are known.
pub(crate) type Version = (String, Bound, Bound);

/// Versions of the Service of a name, by port, in order of time.
pub(crate) fn service_versions(tape: &Path, name: &str) -> Vec<Version> {
    let mut found: Vec<ServiceRow> = rows(tape);
    found.retain(|row| row.name == name);
    found.sort_by_key(|row| (row.valid_from, row.valid_to.is_none(), row.valid_to));
    joined(found.iter().map(|row| (row.valid_from, row.valid_to)));
    let version = |row: &ServiceRow| (row.ports[0].port.to_string(), row.from_bound, row.to_bound);
    found.iter().map(version).collect()
}

/// Versions of the pod of a name, by phase, in order of time.
pub(crate) fn pod_versions(tape: &Path, name: &str) -> Vec<Version> {
    let mut found: Vec<PodRow> = rows(tape);
    found.retain(|row| row.name == name);
    found.sort_by_key(|row| (row.valid_from, row.valid_to.is_none(), row.valid_to));
    joined(found.iter().map(|row| (row.valid_from, row.valid_to)));
    let version = |row: &PodRow| (row.phase.clone(), row.from_bound, row.to_bound);
    found.iter().map(version).collect()
}

/// Each version begins where the one before ended: no instant has two, and none is missing.
fn joined(spans: impl Iterator<Item = (Option<Time>, Option<Time>)>) {
    let spans: Vec<_> = spans.collect();
    for pair in spans.windows(2) {
        assert!(pair[0].1.is_some() && pair[0].1 == pair[1].0, "{spans:?}");
    }
}

/// A version as a test expects it.
pub(crate) fn version(says: &str, from: Bound, to: Bound) -> Version {
    (says.to_owned(), from, to)
}
