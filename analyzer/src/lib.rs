//! Replays tapes offline into network policies, proofs and diffs.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod cli;
pub mod counted;
pub mod diff;
pub mod enforcer;
pub mod escape;
pub mod explain;
pub mod findings;
pub mod flow;
pub mod frame;
pub mod identity;
pub mod import;
pub mod json;
pub mod merge;
pub mod parse;
pub mod policy;
pub mod query;
pub mod render;
pub mod replay;
pub mod semantics;
pub mod sorted;
pub mod synthesis;
pub mod tape;
pub mod verify;
