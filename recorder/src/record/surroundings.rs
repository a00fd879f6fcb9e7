//! What is around the sockets: control groups and network namespaces, looked at again and again.

use std::path::{Path, PathBuf};

use flowtape_schemas::time::Time;

use crate::cgroup::track::Cgroups;
use crate::cgroup::walk::{self, Hierarchy};
use crate::netns::Namespaces;
use crate::output;

/// Control groups and network namespaces of the node.
pub(super) struct Surroundings {
    pub(super) cgroups: Cgroups,
    pub(super) namespaces: Namespaces,
    hierarchy: Option<Hierarchy>,
}

impl Surroundings {
    /// Finds the hierarchy of control groups; without one, sockets are known by namespace and address only.
    pub(super) fn new() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            cgroups: Cgroups::default(),
            namespaces: Namespaces::new(PathBuf::from("/proc"), walk::is_hybrid(&mounts)),
            hierarchy: walk::hierarchy(&mounts),
        }
    }

    /// Where the hierarchy of control groups is mounted.
    pub(super) fn mount(&self) -> Option<&Path> {
        self.hierarchy.as_ref().map(|hierarchy| hierarchy.mount.as_path())
    }

    /// Looks at what is there at `at`.
    pub(super) fn look(&mut self, at: Time) {
        if let Some(hierarchy) = &self.hierarchy {
            match walk::walk(hierarchy) {
                Ok(found) => self.cgroups.walked(at, found),
                // What the kernel tells of still arrives; the next look may succeed.
                Err(error) => output::warn(format_args!(
                    "cannot look at the control groups in `{}`: {error}",
                    hierarchy.mount.display()
                )),
            }
        }
        self.namespaces.look(at, self.hierarchy.as_ref(), &mut self.cgroups);
    }
}
