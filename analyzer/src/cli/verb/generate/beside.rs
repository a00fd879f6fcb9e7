//! What stands beside the policies in their directory: what is behind the rules, the proof, and where it all comes from.

use std::io::Write;

use super::lock;
use crate::cli::directory::{Content, Contents};
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::flow::Flows;
use crate::json::evidence::Evidence;
use crate::json::proof::Proof;
use crate::synthesis::Generated;

/// The file of the evidence.
const EVIDENCE: &str = "evidence.json";

/// The file of the proof.
const PROOF: &str = "proof.json";

/// The documents of one run.
pub(super) struct Beside<'a> {
    head: String,
    evidence: Evidence<'a>,
    proof: String,
}

impl<'a> Beside<'a> {
    pub(super) fn new(
        report: &Report,
        generated: &'a Generated,
        flows: &'a Flows,
        proof: &Proof,
    ) -> Result<Self, Failure> {
        Ok(Self {
            head: report.head("flowtape.evidence/v1")?,
            evidence: Evidence::new(&generated.evidence, &flows.edges),
            proof: report.document("flowtape.proof/v1", proof)?,
        })
    }

    /// The files, with the lock.
    pub(super) fn files<'f>(&'f self, lock: &'f str) -> Contents<'f> {
        let evidence = |out: &mut dyn Write| self.evidence.write(&self.head, out);
        Contents::from([
            (EVIDENCE, Content::Made(Box::new(evidence))),
            (PROOF, Content::Text(&self.proof)),
            (lock::FILE, Content::Text(lock)),
        ])
    }
}
