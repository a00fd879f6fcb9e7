//! The door to a cluster that policies are judged on: what `kubectl get` printed, manifests, or the metadata of a tape.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use flowtape_schemas::metadata::{MetadataError, Snapshot, rows};
use serde_json::{Value, json};

use super::failure::Failure;
use super::policies;
use super::side::has_tape;
use crate::findings::{Code, Findings};
use crate::identity::cluster::Cluster;
use crate::json::Input;
use crate::parse::objects;
use crate::tape::{self, Health};

/// A cluster from disk.
pub(super) struct Given {
    /// What is in it.
    pub(super) cluster: Cluster,
    /// What it is called in a document.
    pub(super) inputs: Vec<Input>,
    /// Whether it is complete; a list of objects is taken to be.
    pub(super) health: Health,
}

/// Reads a tape, or the objects of a file or of every file below a directory.
pub(super) fn read(path: &Path, findings: &mut Findings) -> Result<Given, Failure> {
    if has_tape(path)? {
        let tape = tape::open(&[PathBuf::from(path)], findings)?;
        return Ok(Given {
            cluster: Cluster::new(&tape.cluster, findings),
            inputs: Input::of_tape(&tape),
            health: tape.health,
        });
    }
    let (texts, mut faults) = policies::texts(path)?;
    let mut documents = Vec::new();
    for (name, text) in &texts {
        match objects::values(text.as_bytes()) {
            Ok(values) => documents.extend(values.into_iter().map(|value| (name, in_a_namespace(value)))),
            Err(fault) => faults.push(format!("`{name}`: {fault}")),
        }
    }
    if !faults.is_empty() {
        return Err(unusable(path, faults));
    }
    // Documents are read in turn, so that the last one that was asked for is the one that is wrong.
    let reading: Cell<&str> = Cell::new("");
    let documents = documents.into_iter().map(|(name, document)| {
        reading.set(name);
        Ok(document)
    });
    let snapshot = Snapshot::of_documents(documents, None);
    let objects = snapshot.and_then(|snapshot| rows(vec![snapshot]));
    let objects = objects.map_err(|error| {
        let cause = if matches!(error, MetadataError::NotKubernetes) {
            format!("`{}`: {error}", reading.get())
        } else {
            error.to_string()
        };
        unusable(path, vec![cause])
    })?;
    let cluster = Cluster::new(&objects, findings);
    if cluster.pods.is_empty() && cluster.owners.templates().next().is_none() {
        return Err(Failure::plain(format!("no pods and no workloads: `{}`", path.display())).hint(
            "`kubectl get pods,namespaces,nodes,deployments,replicasets,statefulsets,daemonsets,jobs,cronjobs -A -o json` \
             prints a cluster",
        ));
    }
    report_strange_namespaces(&cluster, findings);
    Ok(Given {
        cluster,
        inputs: vec![policies::input("cluster", &texts)],
        health: Health::default(),
    })
}

/// Objects of manifests are in `default` where they name no namespace, as `kubectl apply` has it. Kinds that are in none
/// do not mind one.
fn in_a_namespace(mut document: Value) -> Value {
    let settle = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            let namespace = metadata.entry("namespace").or_insert(Value::Null);
            if namespace.as_str().is_none_or(str::is_empty) {
                *namespace = json!("default");
            }
        }
    };
    match document.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().for_each(settle),
        None => settle(&mut document),
    }
    document
}

/// A namespace that holds pods and is not given has no labels that anybody knows, and a policy may select by them.
fn report_strange_namespaces(cluster: &Cluster, findings: &mut Findings) {
    let held = cluster.pods.values().map(|pod| &pod.namespace);
    let templates = cluster.owners.templates().map(|(_, row)| &row.namespace);
    let mut strange: Vec<&String> = held
        .chain(templates)
        .filter(|name| !cluster.namespaces.contains_key(*name))
        .collect();
    strange.sort_unstable();
    strange.dedup();
    for name in strange {
        findings.report(
            Code::NamespaceNotGiven,
            format!("namespace `{name}` is not among the objects"),
        );
    }
}

fn unusable(path: &Path, causes: Vec<String>) -> Failure {
    Failure::Told {
        message: format!("no cluster can be read: `{}`", path.display()),
        causes,
        hint: None,
    }
}
