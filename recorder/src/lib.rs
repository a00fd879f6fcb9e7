//! Records socket operations and Kubernetes metadata into a tape.
//!
//! The only privileged crate. Data flows one way:
//!
//! ```text
//! kernel (maps, ring buffer) ─▶ record ─▶ convert ─▶ tape (Parquet files, manifest last)
//! /proc, cgroup2 mount ───────▶ cgroup, netns ──────▲
//! kubectl's JSON or YAML ─────▶ metadata ───────────▲
//! API server ─────────────────▶ watch ──────────────▲
//! ```
//!
//! - [`cli`] says what may be asked, [`output`] is the only place that prints;
//! - [`record`] is the verb that drives a window, [`convert`] turns what the kernel says into rows;
//! - [`agent`] does so in a container, until somebody collects the files;
//! - [`cgroup`] and [`netns`] say which pod a socket belonged to;
//! - [`tape`] writes files so that whatever finished before a crash opens;
//! - [`transfer`] brings them to another machine;
//! - [`kernel`] loads the programs, [`check`] finds out what is missing for that, [`readiness`] says it.
//!
//! - [`plugin`] drives a window on a whole cluster, from wherever the user is.
//!
//! Only Linux can record; [`metadata`] works anywhere.

#[cfg(target_os = "linux")]
pub mod agent;
#[cfg(target_os = "linux")]
pub mod cgroup;
pub mod check;
pub mod cli;
#[cfg(target_os = "linux")]
pub mod clock;
#[cfg(target_os = "linux")]
pub mod convert;
pub mod exit;
pub mod kernel;
#[cfg(target_os = "linux")]
pub mod listen;
pub mod metadata;
#[cfg(target_os = "linux")]
pub mod netns;
pub mod output;
pub mod plugin;
#[cfg(target_os = "linux")]
pub mod privilege;
pub mod readiness;
#[cfg(target_os = "linux")]
pub mod record;
#[cfg(unix)]
pub mod shutdown;
#[cfg(target_os = "linux")]
pub mod socket;
pub mod tape;
pub mod transfer;
#[cfg(unix)]
pub mod watch;
