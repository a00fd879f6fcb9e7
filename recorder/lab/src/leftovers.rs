//! Names of everything a lab makes, and its removal, also when the lab that made it is gone.
//!
//! A lab's id is `PID-START-N`: the process that made it, that process's start time in clock ticks, and a counter. The
//! first two tell for certain whether the lab still lives, because a process id is reused and a start time is not.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::preflight::{cgroup_mounts, cgroup_root};

/// What names of network namespaces start with.
const NETNS_PREFIX: &str = "ftlab-";

/// What names of cgroups start with.
const CGROUP_PREFIX: &str = "flowtape-lab-";

/// Where `ip netns` keeps namespaces.
const NETNS_DIRECTORY: &str = "/run/netns";

/// Labs of this process so far.
static LABS: AtomicU32 = AtomicU32::new(0);

/// A new id for a lab of this process.
pub(crate) fn new_id() -> String {
    let pid = std::process::id();
    let number = LABS.fetch_add(1, Ordering::Relaxed);
    format!("{pid}-{}-{number}", start_of(pid).unwrap_or_default())
}

/// Name of a network namespace of a lab.
pub(crate) fn netns(id: &str, part: &str) -> String {
    format!("{NETNS_PREFIX}{id}-{part}")
}

/// Path of a network namespace, to be opened.
pub(crate) fn netns_path(name: &str) -> PathBuf {
    Path::new(NETNS_DIRECTORY).join(name)
}

/// The cgroup all of a lab is below.
pub(crate) fn cgroup(id: &str) -> Option<PathBuf> {
    cgroup_root().map(|root| root.join(format!("{CGROUP_PREFIX}{id}")))
}

/// Directories of a lab in version 1 hierarchies, where only tests make any.
fn of_version_1(id: &str) -> Vec<PathBuf> {
    let mounts = cgroup_mounts("cgroup").into_iter();
    mounts
        .map(|mount| mount.join(format!("{CGROUP_PREFIX}{id}")))
        .filter(|path| path.is_dir())
        .collect()
}

/// Ids of all labs that something is left of.
#[must_use]
pub fn labs() -> BTreeSet<String> {
    let id = |name: &str, prefix: &str| {
        let parts: Vec<&str> = name.strip_prefix(prefix)?.splitn(4, '-').collect();
        let numbers = parts.get(..3)?;
        numbers
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| numbers.join("-"))
    };
    let namespaces = names(Path::new(NETNS_DIRECTORY));
    let roots = cgroup_root().into_iter().chain(cgroup_mounts("cgroup"));
    let cgroups: Vec<String> = roots.flat_map(|root| names(&root)).collect();
    let from_namespaces = namespaces.iter().filter_map(|name| id(name, NETNS_PREFIX));
    let from_cgroups = cgroups.iter().filter_map(|name| id(name, CGROUP_PREFIX));
    from_namespaces.chain(from_cgroups).collect()
}

/// Removes what dead labs left behind; returns their ids.
#[expect(clippy::must_use_candidate, reason = "what matters is the removal")]
pub fn clean() -> Vec<String> {
    let dead: Vec<String> = labs().into_iter().filter(|id| !lives(id)).collect();
    for id in &dead {
        remove(id);
    }
    dead
}

/// Whether the process that made a lab is still there.
fn lives(id: &str) -> bool {
    let mut parts = id.split('-');
    let pid = parts.next().and_then(|pid| pid.parse().ok());
    let start = parts.next().and_then(|start| start.parse().ok());
    pid.is_some_and(|pid| start_of(pid) == start && start.is_some())
}

/// When a process started, in clock ticks since boot (`proc_pid_stat(5)`, field 22).
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Removes everything of one lab: processes, namespaces, cgroups. Best effort: it also runs after failures.
pub fn remove(id: &str) {
    let cgroup = cgroup(id).filter(|path| path.is_dir());
    if let Some(path) = &cgroup {
        kill_all(path);
    }
    let prefix = netns(id, "");
    let commands: Vec<String> = names(Path::new(NETNS_DIRECTORY))
        .iter()
        .filter(|name| name.starts_with(&prefix))
        .map(|name| format!("netns del {name}"))
        .collect();
    if !commands.is_empty() {
        delete_namespaces(&(commands.join("\n") + "\n"));
    }
    for path in cgroup.iter().chain(&of_version_1(id)) {
        remove_tree(path);
    }
}

fn delete_namespaces(commands: &str) {
    use std::io::Write as _;
    let child = Command::new("ip")
        .args(["-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut child) = child {
        if let Some(mut input) = child.stdin.take() {
            let _ = input.write_all(commands.as_bytes());
        }
        let _ = child.wait();
    }
}

/// Ends every process below a cgroup, all of which a lab has started there (`cgroup.kill`, Linux 5.14).
fn kill_all(path: &Path) {
    let _ = std::fs::write(path.join("cgroup.kill"), "1");
}

/// Removes a cgroup and all below it, deepest first.
pub(crate) fn remove_tree(path: &Path) {
    for name in names(path) {
        let below = path.join(name);
        if below.is_dir() {
            remove_tree(&below);
        }
    }
    // The directory is busy until the last of its processes has been reaped.
    for _ in 0..200 {
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => std::thread::sleep(Duration::from_millis(10)),
            _ => return,
        }
    }
}

/// Names in a directory, sorted; none if it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
