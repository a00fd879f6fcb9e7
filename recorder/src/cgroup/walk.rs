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

/// The hierarchy that `/proc/self/mountinfo` names (proc(5), format of `/proc/pid/mountinfo`): of several mounts the one
/// that shows most of it.
///
/// Inside a control group namespace, as in a container, the root of a mount is told from that of the namespace
/// (cgroup_namespaces(7)): `/` is the container's own part, and the host's mount, bound into the container, is so many `/..`
/// above. What is that far above is taken for all of the hierarchy.
#[must_use]
pub fn hierarchy(mountinfo: &str) -> Option<Hierarchy> {
    let (levels_up, hierarchy) = mounts(mountinfo, "cgroup2")
        .map(|hierarchy| (levels_up(&hierarchy.root), hierarchy))
        .min_by_key(|(levels_up, hierarchy)| (std::cmp::Reverse(*levels_up), hierarchy.root != "/"))?;
    Some(match levels_up {
        0 => hierarchy,
        _ => Hierarchy {
            root: "/".to_owned(),
            ..hierarchy
        },
    })
}

/// Whether version 1 hierarchies are mounted as well, in which pods may be instead.
#[must_use]
pub fn is_hybrid(mountinfo: &str) -> bool {
    mounts(mountinfo, "cgroup").next().is_some()
}

/// The mounts of a type of file system.
fn mounts(mountinfo: &str, kind: &str) -> impl Iterator<Item = Hierarchy> {
    mountinfo.lines().filter_map(move |line| {
        let (mount, rest) = line.split_once(" - ")?;
        (rest.split(' ').next() == Some(kind)).then_some(())?;
        let mut fields = mount.split(' ').skip(3);
        let (root, mount) = (fields.next()?, fields.next()?);
        Some(Hierarchy {
            mount: PathBuf::from(unescape(mount)),
            root: unescape(root),
        })
    })
}

/// How far a root is above that of this namespace; 0 unless it is nothing but `/..`, again and again.
fn levels_up(root: &str) -> usize {
    let parts = || root.split('/').skip(1);
    if parts().all(|part| part == "..") {
        parts().count()
    } else {
        0
    }
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
    use super::{Found, Hierarchy, hierarchy, is_hybrid, walk};
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
    fn the_mount_of_the_host_wins_over_the_part_of_a_container() {
        let own = "1 0 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let host = "2 0 0:38 /../../.. /host/cgroup rw - cgroup2 cgroup2 rw\n";
        let sibling = "3 0 0:38 /../../podx /podx rw - cgroup2 cgroup2 rw\n";
        for text in [[own, host, sibling].concat(), [sibling, host, own].concat()] {
            assert_eq!(found(&text), Some(pair("/host/cgroup", "/")));
        }
        assert_eq!(found(&[sibling, own].concat()), Some(pair("/sys/fs/cgroup", "/")));
    }

    #[test]
    fn version_1_is_noticed() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let old = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert!(!is_hybrid(unified) && !is_hybrid(""));
        assert!(is_hybrid(old) && is_hybrid(&[unified, old].concat()));
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
