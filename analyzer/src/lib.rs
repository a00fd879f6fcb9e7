//! Replays tapes offline into network policies, proofs and diffs.

#![forbid(unsafe_code)]

pub mod policy;
pub mod semantics;
