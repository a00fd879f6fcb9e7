//! Finds the version 2 hierarchy of this machine and every control group in it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Deepest nesting that is followed: a cluster in a container in a pod has about 15 levels.
const DEPTH: usize = 64;

/// The mount point of the version 2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Which part of the hierarchy that shows: `/` is all of it.
    pub root: String,
}

/// A control group: the inode number of its directory is the id by which the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// cgroup v2 id.
    pub id: u64,
    /// Path below the root of the hierarchy, beginning with `/`.
    pub path: String,
}

/// The hierarchy that `/proc/self/mountinfo` names (proc(5), format of `/proc/pid/mountinfo`): of several mounts one that
/// shows all of it.
#[must_use]
pub fn hierarchy(mountinfo: &str) -> Option<Hierarchy> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        (kind.split(' ').next() == Some("cgroup2")).then_some(())?;
        let mut fields = mount.split(' ').skip(3);
        let (root, mount) = (fields.next()?, fields.next()?);
        Some(Hierarchy {
            mount: PathBuf::from(unescape(mount)),
            root: unescape(root),
        })
    });
    mounts.min_by_key(|hierarchy| hierarchy.root != "/")
}

/// Spaces and the like stand as three octal digits (proc(5)).
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// Every control group that can be seen now. One that goes away meanwhile is left out.
pub fn walk(hierarchy: &Hierarchy) -> io::Result<Vec<Found>> {
    let top = hierarchy.root.trim_end_matches('/').to_owned();
    let mut found = Vec::new();
    let mut waiting = vec![(hierarchy.mount.clone(), top, 0)];
    while let Some((directory, path, depth)) = waiting.pop() {
        let listed = look(&directory);
        let (id, below) = match listed {
            Ok(listed) => listed,
            Err(error) if depth == 0 => return Err(error),
            Err(_gone) => continue,
        };
        if depth < DEPTH {
            waiting.extend(below.into_iter().map(|name| {
                let child = format!("{path}/{name}");
                (directory.join(name), child, depth + 1)
            }));
        }
        found.push(Found {
            id,
            path: if path.is_empty() { "/".to_owned() } else { path },
        });
    }
    Ok(found)
}

fn look(directory: &Path) -> io::Result<(u64, Vec<String>)> {
    let id = fs::metadata(directory)?.ino();
    let mut below = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok((id, below))
}

#[cfg(test)]
mod tests {
    use super::{Found, Hierarchy, hierarchy, walk};
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;

    fn found(mountinfo: &str) -> Option<(String, String)> {
        hierarchy(mountinfo).map(|hierarchy| (hierarchy.mount.display().to_string(), hierarchy.root))
    }

    fn pair(mount: &str, root: &str) -> (String, String) {
        (mount.to_owned(), root.to_owned())
    }

    #[test]
    fn unified_hybrid_and_none() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(found(unified), Some(pair("/sys/fs/cgroup", "/")));
        let hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(found(hybrid), Some(pair("/sys/fs/cgroup/unified", "/")));
        assert_eq!(
            found("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"),
            None
        );
        assert_eq!(found("no mountinfo at all\n\n - \n"), None);
    }

    #[test]
    fn the_mount_that_shows_everything_wins() {
        let text = "1 0 0:1 /kubepods/pod1 /inner rw - cgroup2 none rw\n2 0 0:1 / /host/sys/fs/cgroup\\040v2 rw - cgroup2 none rw\n";
        assert_eq!(found(text), Some(pair("/host/sys/fs/cgroup v2", "/")));
        assert_eq!(
            found(text.lines().next().unwrap()),
            Some(pair("/inner", "/kubepods/pod1"))
        );
    }

    #[test]
    fn directories_are_control_groups_by_inode() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir_all(mount.path().join("kubepods/pod1")).unwrap();
        fs::write(mount.path().join("kubepods/cgroup.procs"), "").unwrap();
        let inode = |path: &str| fs::metadata(mount.path().join(path)).unwrap().ino();
        let expected = |root: &str| {
            let entry = |below: &str| Found {
                id: inode(below.trim_start_matches('/')),
                path: match format!("{root}{below}").as_str() {
                    "" => "/".to_owned(),
                    path => path.to_owned(),
                },
            };
            [entry(""), entry("/kubepods"), entry("/kubepods/pod1")]
        };
        for (root, prefix) in [("/", ""), ("/outer", "/outer")] {
            let mut all = walk(&Hierarchy {
                mount: mount.path().to_owned(),
                root: root.to_owned(),
            })
            .unwrap();
            all.sort_by(|a, b| a.path.cmp(&b.path));
            assert_eq!(all, expected(prefix));
        }
    }

    #[test]
    fn a_missing_mount_is_an_error() {
        let nowhere = Hierarchy {
            mount: PathBuf::from("/nonexistent"),
            root: "/".to_owned(),
        };
        assert!(walk(&nowhere).is_err());
    }
}
