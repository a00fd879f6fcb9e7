//! The verbs, one file each: open what it reads, ask the stages, print.

pub(super) mod connectivity;
pub(super) mod diff;
pub(super) mod eval;
pub(super) mod explain;
pub(super) mod flows;
pub(super) mod generate;
pub(super) mod import;
pub(super) mod inspect;
pub(super) mod query;
pub(super) mod schema;
pub(super) mod verify;
