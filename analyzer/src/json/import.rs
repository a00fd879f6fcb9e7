//! The body of `flowtape.import/v1`.

use flowtape_schemas::manifest::ImportRecording;
use serde::Serialize;

use crate::tape::Tape;

/// Body of `flowtape.import/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Import {
    /// What was imported, by format.
    pub imports: Vec<ImportRecording>,
    /// How many nodes it tells of.
    pub nodes: u64,
    /// How many rows of flows were made of it.
    pub rows: u64,
}

impl Import {
    /// What the tape that was made holds.
    #[must_use]
    pub fn of(tape: &Tape) -> Self {
        Self {
            imports: tape.imports.clone(),
            nodes: tape.nodes.len() as u64,
            rows: tape.nodes.iter().map(|node| node.flows.len() as u64).sum(),
        }
    }
}
