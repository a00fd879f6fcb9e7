//! What is written: files of policies, and the document.

use std::collections::{BTreeMap, BTreeSet};

use super::kustomization;
use crate::cli::args::generate::Layout;
use crate::cli::directory::Files;
use crate::cli::failure::Failure;
use crate::cli::manifests::Written;
use crate::enforcer::Difference;
use crate::json;
use crate::json::generate::{Addition, Enforcer, Generate};
use crate::merge::change::Change;
use crate::replay::proof::Proof;
use crate::synthesis::{Generated, additions};

/// The file that holds several policies.
const TOGETHER: &str = "policies.yaml";

/// The files of policies, into which their texts go, and a kustomization that names them.
pub(super) fn files(manifests: &mut [Written], layout: Layout) -> Result<Files, Failure> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for manifest in manifests {
        let folder = match manifest.namespace.as_str() {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        };
        let place = match layout {
            Layout::File => TOGETHER.to_owned(),
            Layout::Namespace => format!("{folder}{TOGETHER}"),
            Layout::Policy => format!("{folder}{}.yaml", manifest.name),
        };
        texts.entry(place).or_default().push(std::mem::take(&mut manifest.text));
    }
    let kustomization = kustomization::text(texts.keys().map(String::as_str))?;
    let text = |texts: Vec<String>| match <[String; 1]>::try_from(texts) {
        Ok([only]) => only,
        Err(several) => several.join("---\n"),
    };
    let mut files: Files = texts.into_iter().map(|(name, texts)| (name, text(texts))).collect();
    files.insert(kustomization::FILE.to_owned(), kustomization);
    Ok(files)
}

/// The body of the document.
pub(super) fn body(
    generated: &Generated,
    manifests: &mut [Written],
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
        policies: manifests.iter_mut().filter_map(|one| one.json.take()).collect(),
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
