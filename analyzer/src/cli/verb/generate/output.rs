//! What is written: files of policies, and the document.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::args::generate::Layout;
use crate::cli::directory::OutputFile;
use crate::cli::failure::Failure;
use crate::enforcer::Difference;
use crate::json;
use crate::json::generate::{Addition, Enforcer, Generate};
use crate::merge::change::Change;
use crate::render::kind::Manifest;
use crate::render::yaml;
use crate::replay::proof::Proof;
use crate::synthesis::{Generated, additions};

/// The file that holds several policies.
const TOGETHER: &str = "policies.yaml";

/// The files of policies, and a kustomization that names them.
pub(super) fn files(manifests: &[Manifest], layout: Layout) -> Result<Vec<OutputFile>, Failure> {
    let mut texts: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for manifest in manifests {
        let place = match layout {
            Layout::File => (String::new(), TOGETHER.to_owned()),
            Layout::Namespace => (manifest.namespace.clone(), TOGETHER.to_owned()),
            Layout::Policy => (manifest.namespace.clone(), format!("{}.yaml", manifest.name)),
        };
        texts.entry(place).or_default().push(manifest.text());
    }
    let file = |((folder, name), texts): ((String, String), Vec<String>)| OutputFile {
        folder,
        name,
        content: texts.join("---\n"),
    };
    let mut files: Vec<OutputFile> = texts.into_iter().map(file).collect();
    files.push(kustomization(&files)?);
    Ok(files)
}

/// What `kubectl apply -k` reads.
fn kustomization(files: &[OutputFile]) -> Result<OutputFile, Failure> {
    let path = |file: &OutputFile| match file.folder.as_str() {
        "" => file.name.clone(),
        folder => format!("{folder}/{}", file.name),
    };
    let resources: Vec<String> = files.iter().map(path).collect();
    let object = serde_json::json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    });
    let tree = yaml::tree(&object).map_err(|error| Failure::of("cannot write a kustomization", &error))?;
    Ok(OutputFile {
        folder: String::new(),
        name: "kustomization.yaml".to_owned(),
        content: yaml::document(&[], &tree),
    })
}

/// The file that the evidence goes into, beside the policies.
pub(super) fn evidence(document: String) -> OutputFile {
    OutputFile {
        folder: String::new(),
        name: "evidence.json".to_owned(),
        content: document,
    }
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
pub(super) fn body(
    generated: &Generated,
    manifests: &[Manifest],
    proof: &Proof,
    differences: &[Difference],
) -> Generate {
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
        enforcers: differences.iter().map(Enforcer::from).collect(),
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
