//! The command as a user runs it: stdout, stderr, exit code, and what stands on disk afterwards.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod check;
mod help;
mod metadata;
mod record;
mod run;
