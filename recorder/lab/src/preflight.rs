//! What a lab needs from the machine.

use std::path::{Path, PathBuf};

/// Something a lab needs and the machine lacks, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Not the root user.
    #[error("the lab makes network namespaces, so it must be run as root")]
    Root,
    /// A program is not installed.
    #[error("`{program}` is not installed; on Debian: apt-get install {package}")]
    Program {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// There is no cgroup v2 hierarchy.
    #[error("no cgroup v2 hierarchy is mounted; mount -t cgroup2 none /sys/fs/cgroup")]
    Cgroup,
    /// The hierarchy cannot be written to.
    #[error("cannot make cgroups in `{}`: {reason}", path.display())]
    CgroupReadOnly {
        /// Root of the hierarchy.
        path: PathBuf,
        /// What the kernel said.
        reason: String,
    },
}

/// Everything that is missing; empty if a lab can be built.
#[must_use]
pub fn missing() -> Vec<Missing> {
    let mut missing = Vec::new();
    // SAFETY: geteuid reads a number of the calling process and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        missing.push(Missing::Root);
    }
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if !installed(program) {
            missing.push(Missing::Program { program, package });
        }
    }
    match cgroup_root() {
        None => missing.push(Missing::Cgroup),
        Some(path) => missing.extend(cgroup_problem(path)),
    }
    missing
}

/// All that is missing, one per line.
#[must_use]
pub fn explain(missing: &[Missing]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Where the cgroup v2 hierarchy is mounted: `/sys/fs/cgroup`, or beside version 1 in `/sys/fs/cgroup/unified`.
#[must_use]
pub fn cgroup_root() -> Option<PathBuf> {
    cgroup_mounts("cgroup2").into_iter().next()
}

/// Where hierarchies of control groups are mounted, by the type of their file system: `cgroup2`, or `cgroup` for version 1.
pub(crate) fn cgroup_mounts(kind: &str) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        // man 5 proc_pid_mountinfo: the fifth field is the mount point, the file system stands after a lone dash.
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next() == Some(kind)).then_some(())?;
        before.split(' ').nth(4).map(PathBuf::from)
    };
    mounts.lines().filter_map(mount).collect()
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    known.into_iter().any(|directory| directory.join(program).is_file())
}

fn cgroup_problem(path: PathBuf) -> Option<Missing> {
    // Named like a lab, so that it is cleaned up like one, and differently each time: tests probe at the same time.
    let probe = path.join(format!("flowtape-lab-{}", crate::leftovers::new_id()));
    let made = std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe));
    made.err().map(|error| Missing::CgroupReadOnly {
        path,
        reason: error.to_string(),
    })
}

/// The agent's program: this one if it is `flowtape-lab`, else the one that cargo built beside it.
#[must_use]
pub fn find_agent() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    if own.file_name().is_some_and(|name| name == "flowtape-lab") {
        return Some(own);
    }
    let directory = own.parent()?;
    // Tests are built in `deps/`, programs one level up.
    [Some(directory), directory.parent()]
        .into_iter()
        .flatten()
        .map(|directory: &Path| directory.join("flowtape-lab"))
        .find(|candidate| candidate.is_file())
}
