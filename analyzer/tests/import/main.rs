//! Imports of other tools' recordings: whatever a file holds, nothing panics, nothing is lost in silence, and what is
//! usable in it comes through.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its input fails")]

mod archives;
mod captures;
mod directions;
mod hostile;
mod layers;
mod samples;
