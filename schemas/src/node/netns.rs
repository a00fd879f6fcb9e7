//! Table `netns`: which pod a network namespace belonged to, and when.

use crate::cluster::Bound;
use crate::table::table;
use crate::time::Time;

table! {
    /// Network namespaces: all containers of a pod share one; hostNetwork pods share the node's.
    pub struct NetnsRow in Node "netns" {
        /// Inode of the namespace. Inodes are reused, hence the interval.
        pub netns: u32,
        /// Namespace cookie, never reused; null where the kernel does not give it.
        pub cookie: Option<u64>,
        /// UID of the pod, where it is known.
        pub pod_uid: Option<String>,
        /// Whether it is the node's own namespace.
        pub is_host: bool,
        /// When it was first known; null if before the window.
        pub valid_from: Option<Time>,
        /// How the beginning is known.
        pub from_bound: Bound,
        /// When it ended; null if after the window.
        pub valid_to: Option<Time>,
        /// How the end is known.
        pub to_bound: Bound,
    }
}
