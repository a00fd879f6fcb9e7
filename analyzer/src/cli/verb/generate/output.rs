//! What is written: files of policies, and the document.

use std::collections::BTreeSet;

use crate::cli::directory::OutputFile;
use crate::cli::failure::Failure;
use crate::json;
use crate::json::generate::{Addition, Generate};
use crate::policy::model::PolicySet;
use crate::render::kubernetes;
use crate::replay::proof::Proof;
use crate::synthesis::{Generated, additions};

/// The files of an output directory.
pub(super) fn files(set: &PolicySet) -> Result<Vec<OutputFile>, Failure> {
    let file = |policy| {
        let content = kubernetes::manifest(policy).map_err(|error| Failure::of("cannot write a policy", &error))?;
        Ok(OutputFile {
            folder: policy.namespace.clone(),
            name: format!("{}.yaml", policy.name),
            content,
        })
    };
    set.iter().map(file).collect()
}

/// The file that the proof goes into, beside the policies.
pub(super) fn proof(document: String) -> OutputFile {
    OutputFile {
        folder: String::new(),
        name: "proof.json".to_owned(),
        content: document,
    }
}

/// The body of the document.
pub(super) fn body(generated: &Generated, proof: &Proof) -> Result<Generate, Failure> {
    let policies = generated.set.iter().map(kubernetes::json).collect::<Result<_, _>>();
    let addition = |addition: &additions::Addition| Addition {
        name: addition.kind.word().to_owned(),
        namespace: addition.namespace.clone(),
        policy: addition.policy.clone(),
        rule: addition.rule(),
        peer: addition.peer.to_string(),
        port: addition.port.to_string(),
        message: addition.to_string(),
    };
    let additions: BTreeSet<Addition> = generated.additions.iter().map(addition).collect();
    Ok(Generate {
        policies: policies.map_err(|error| Failure::of("cannot write JSON", &error))?,
        additions: additions.into_iter().collect(),
        proof: json::proof::Proof::new(proof, &generated.set),
    })
}
