//! The edges of a tape, with single operations where counts leave more than one answer.

use super::failure::Failure;
use crate::findings::Findings;
use crate::flow::{self, Flows};
use crate::identity::cluster::Cluster;
use crate::tape::{self, Tape};

/// The edges of a tape. Samples are read only if something is unclear without them.
pub(super) fn edges(tape: &Tape, cluster: &Cluster, findings: &mut Findings) -> Result<Flows, Failure> {
    let mut of_counts = findings.clone();
    let flows = flow::edges(tape, cluster, &mut of_counts);
    if !flows.are_unclear() {
        *findings = of_counts;
        return Ok(flows);
    }
    let questions = flow::questions(tape, cluster);
    let operations = tape::operations(tape, &questions.rows())?;
    let divided = flow::divide(tape, cluster, &questions, &operations);
    Ok(flow::edges_of_divided(&divided, cluster, findings))
}
