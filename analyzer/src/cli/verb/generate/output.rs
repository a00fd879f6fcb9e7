//! What is written: files of policies, and the document.

use std::collections::BTreeSet;

use crate::cli::directory::OutputFile;
use crate::json;
use crate::json::generate::{Addition, Generate};
use crate::merge::change::Change;
use crate::render::kind::Manifest;
use crate::replay::proof::Proof;
use crate::synthesis::{Generated, additions};

/// The files of an output directory.
pub(super) fn files(manifests: &[Manifest]) -> Vec<OutputFile> {
    let file = |manifest: &Manifest| OutputFile {
        folder: manifest.namespace.clone(),
        name: format!("{}.yaml", manifest.name),
        content: manifest.text(),
    };
    manifests.iter().map(file).collect()
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
pub(super) fn body(generated: &Generated, manifests: &[Manifest], proof: &Proof) -> Generate {
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
    Generate {
        policies: manifests.iter().map(|manifest| manifest.json.clone()).collect(),
        additions: additions.into_iter().collect(),
        proof: json::proof::Proof::new(proof, &generated.set),
        changes: None,
    }
}

/// What a merge changed, for the document.
pub(super) fn changes(changes: &[Change]) -> Vec<json::generate::Change> {
    let change = |change: &Change| json::generate::Change {
        change: change.kind.word().to_owned(),
        namespace: change.namespace.clone(),
        policy: change.policy.clone(),
        rule: change.rule.clone(),
        file: change.file.clone(),
        line: change.line,
        message: change.message.clone(),
    };
    changes.iter().map(change).collect()
}
