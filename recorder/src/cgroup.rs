//! Which pod and container a cgroup v2 id stands for, and from when to when.
//!
//! [`path`] reads a path, [`walk`] finds paths on the node, [`track`] follows them through the window.

pub mod path;
pub mod track;
pub mod walk;
