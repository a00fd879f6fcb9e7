//! The shapes both sides share, one file per subject.

pub mod address;
pub mod cgroup;
pub mod control;
pub mod counters;
pub mod event;
pub mod flow;
pub mod id;
pub mod layout;
pub mod listen;
pub mod socket;
