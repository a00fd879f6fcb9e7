//! Control groups that a case makes and that are gone after it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::Outcome;

/// Where version 2 control groups are mounted.
pub(crate) fn mount() -> Outcome<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find_map(|fields| match fields.as_slice() {
            [_, path, "cgroup2", ..] => Some(PathBuf::from(path)),
            _ => None,
        })
        .ok_or_else(|| "no version 2 control groups are mounted".into())
}

/// Numbers of the control groups that this process made. No other has had any of them since the machine was started
/// (`__kernfs_new_node`, `fs/kernfs/dir.c`, v6.12).
static OURS: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Whether this process made a control group.
pub(crate) fn is_ours(id: u64) -> bool {
    OURS.lock().is_ok_and(|ours| ours.contains(&id))
}

/// A control group of its own.
pub(crate) struct Group {
    path: PathBuf,
    /// Inode number of its directory.
    pub(crate) id: u64,
}

impl Group {
    /// Makes one that no other test has.
    pub(crate) fn new() -> Outcome<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = mount()?.join(format!("flowtape-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot make `{}`: {error}", path.display()))?;
        let id = fs::metadata(&path)?.ino();
        OURS.lock().map_err(|_panic| "a case panicked")?.insert(id);
        Ok(Self { path, id })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that just ended is still in it for a moment.
        for _ in 0..200 {
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

/// Moves this process into a control group.
pub(crate) fn enter(path: &Path) -> Outcome {
    let procs = path.join("cgroup.procs");
    fs::write(&procs, std::process::id().to_string())
        .map_err(|error| format!("cannot enter `{}`: {error}", path.display()).into())
}
