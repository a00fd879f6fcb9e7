//! The command `flowtape` as a whole: exit code, stdout and stderr of each case, compared as whole texts.
#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its case fails")]

mod shares;
mod support;

mod bad_input;
mod compat;
mod damage;
mod determinism;
mod flows;
mod health;
mod hostile;
mod into;
mod redacted;
mod summary;
mod usage;
