//! `kustomization.yaml`, which names the policies for `kubectl apply -k`.

use std::collections::BTreeSet;

use super::lock::{Locked, hash};
use crate::cli::directory::Files;
use crate::cli::failure::Failure;
use crate::merge::change::{Change, Kind};
use crate::parse::objects;
use crate::render::yaml;

/// Where it stands, below the directory of the policies.
pub(super) const FILE: &str = "kustomization.yaml";

/// One that names these files.
pub(super) fn text<'a>(resources: impl IntoIterator<Item = &'a str>) -> Result<String, Failure> {
    let resources: BTreeSet<&str> = resources.into_iter().collect();
    let object = serde_json::json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    });
    let tree = yaml::tree(&object).map_err(|error| Failure::of("cannot write a kustomization", &error))?;
    Ok(yaml::document(&[], &tree))
}

/// Names new files in the one that is there. Where somebody has written or edited it, it stays, and what it lacks is said.
pub(super) fn extend(
    there: &[(String, String)],
    locked: &Locked,
    changes: &mut [Change],
    files: &mut Files,
) -> Result<(), Failure> {
    let Some((_, text_there)) = there.iter().find(|(name, _)| name == FILE) else {
        return Ok(());
    };
    let ours = locked.get(FILE) == Some(&hash(text_there));
    let listed = resources(text_there);
    let mut named: BTreeSet<String> = BTreeSet::new();
    for change in changes.iter_mut().filter(|change| change.kind == Kind::Created) {
        let file = &change.file;
        let told = if ours {
            format!("named in `{FILE}`")
        } else if listed.contains(file.as_str()) {
            format!("which `{FILE}` names already")
        } else {
            format!("which `{FILE}` does not name; somebody wrote that, so add `{file}` there")
        };
        named.insert(file.clone());
        change.message = format!("{}, {told}", change.message);
    }
    if ours && !named.is_empty() {
        let before = locked.keys().filter(|name| *name != FILE);
        named.extend(
            before
                .filter(|name| there.iter().any(|(held, _)| held == *name))
                .cloned(),
        );
        files.insert(FILE.to_owned(), text(named.iter().map(String::as_str))?);
    }
    Ok(())
}

/// The files that a kustomization applies; none of a text that is no YAML.
fn resources(text: &str) -> BTreeSet<String> {
    let documents = objects::values(text.as_bytes()).unwrap_or_default();
    let entries = documents
        .iter()
        .filter_map(|document| document.get("resources")?.as_array())
        .flatten();
    let names = entries.filter_map(|entry| entry.as_str());
    names.map(|name| name.trim_start_matches("./").to_owned()).collect()
}
