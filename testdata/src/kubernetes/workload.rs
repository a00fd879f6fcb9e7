//! What owns pods: Deployments and their ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{CANARY, Cluster, pod, set_labels, set_meta, set_owner};
use crate::layout::Owner;
use crate::layout::pod::{above, hash_label, object_uid, owner_of_pods, run_name, template_hash};
use crate::model::{Kind, Labels, Workload};

/// All workload objects, kinds in the order that `kubectl` was asked for.
pub(super) fn workloads(cluster: &Cluster<'_>) -> Vec<Map<String, Value>> {
    let of = |kind: Kind| {
        cluster
            .scenario
            .workloads
            .iter()
            .enumerate()
            .filter(move |(_, workload)| workload.kind == kind)
    };
    let mut objects = Vec::new();
    objects.extend(of(Kind::Deployment).filter_map(|(_, workload)| controller(cluster, workload)));
    for (place, workload) in of(Kind::Deployment) {
        objects.extend(
            revisions(cluster, place, workload)
                .into_iter()
                .map(|(revision, pods)| replica_set(cluster, workload, revision, pods)),
        );
    }
    objects.extend(of(Kind::StatefulSet).filter_map(|(_, workload)| controller(cluster, workload)));
    objects.extend(of(Kind::DaemonSet).filter_map(|(_, workload)| controller(cluster, workload)));
    let listed = of(Kind::Job).filter(|(_, workload)| workload.listed);
    objects.extend(listed.map(|(_, workload)| job(cluster, workload, &workload.name.name)));
    for (_, workload) in of(Kind::CronJob) {
        objects.extend(runs(cluster, workload));
    }
    let listed = of(Kind::CronJob).filter(|(_, workload)| workload.listed);
    objects.extend(listed.map(|(_, workload)| cron_job(cluster, workload)));
    objects
}

/// Annotations that somebody's tool wrote, with all of the manifest in them.
fn annotate(object: &mut Map<String, Value>) {
    set_meta(
        object,
        "annotations",
        json!({ "kubectl.kubernetes.io/last-applied-configuration": CANARY }),
    );
}

fn template(workload: &Workload, added: &Labels) -> Value {
    let mut labels = workload.labels.clone();
    labels.extend(added.clone());
    json!({ "metadata": { "labels": labels }, "spec": pod::spec(workload) })
}

/// The object of a workload whose pods have all one template; `None` if the metadata has it not.
fn controller(cluster: &Cluster<'_>, workload: &Workload) -> Option<Map<String, Value>> {
    let Owner { api_version, kind, .. } = owner_of_pods(workload);
    let mut object = cluster.meta(&api_version, &kind, &workload.name.namespace, &workload.name.name);
    annotate(&mut object);
    set_labels(&mut object, &workload.labels);
    if let Some(owner) = above(workload) {
        set_owner(&mut object, &owner);
    }
    let mut spec = Map::new();
    if workload.kind != Kind::DaemonSet {
        spec.insert("replicas".to_owned(), json!(workload.replicas));
    }
    if workload.kind == Kind::StatefulSet {
        spec.insert("serviceName".to_owned(), json!(workload.name.name));
    }
    spec.insert("selector".to_owned(), json!({ "matchLabels": workload.selects }));
    spec.insert("template".to_owned(), template(workload, &Labels::new()));
    object.insert("spec".to_owned(), Value::Object(spec));
    workload.listed.then_some(object)
}

/// The revisions of a Deployment that have pods, with their number; always at least the one new pods are made from.
fn revisions(cluster: &Cluster<'_>, place: usize, workload: &Workload) -> Vec<(u32, usize)> {
    let mut known: BTreeSet<u32> = cluster
        .layout
        .pods
        .iter()
        .filter(|pod| pod.workload == place)
        .map(|pod| pod.revision)
        .collect();
    known.insert(workload.defaults.revision.unwrap_or(1));
    known
        .into_iter()
        .map(|revision| {
            (
                revision,
                cluster.pods_of(place).filter(|pod| pod.revision == revision).count(),
            )
        })
        .collect()
}

fn replica_set(cluster: &Cluster<'_>, workload: &Workload, revision: u32, pods: usize) -> Map<String, Value> {
    let namespace = &workload.name.namespace;
    let hash = template_hash(workload, revision);
    let mut object = cluster.meta(
        "apps/v1",
        "ReplicaSet",
        namespace,
        &format!("{}-{hash}", workload.name.name),
    );
    annotate(&mut object);
    let added: Labels = std::iter::once((hash_label(workload).to_owned(), hash)).collect();
    let with_hash = |labels: &Labels| -> Labels { labels.clone().into_iter().chain(added.clone()).collect() };
    set_labels(&mut object, &with_hash(&workload.labels));
    set_owner(&mut object, &owner_of_pods(workload));
    object.insert(
        "spec".to_owned(),
        json!({
            "replicas": pods,
            "selector": { "matchLabels": with_hash(&workload.selects) },
            "template": template(workload, &added),
        }),
    );
    object
}

fn job(cluster: &Cluster<'_>, workload: &Workload, name: &str) -> Map<String, Value> {
    let namespace = &workload.name.namespace;
    let mut object = cluster.meta("batch/v1", "Job", namespace, name);
    annotate(&mut object);
    let uid = object_uid("Job", namespace, name);
    let added: Labels = [
        ("batch.kubernetes.io/controller-uid", uid.as_str()),
        ("batch.kubernetes.io/job-name", name),
        ("controller-uid", uid.as_str()),
        ("job-name", name),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    set_labels(&mut object, &workload.labels);
    object.insert(
        "spec".to_owned(),
        json!({
            "completions": workload.replicas,
            "parallelism": workload.replicas,
            "selector": { "matchLabels": { "batch.kubernetes.io/controller-uid": uid } },
            "template": template(workload, &added),
        }),
    );
    object
}

/// The Jobs of a CronJob that were due by the instant.
fn runs(cluster: &Cluster<'_>, workload: &Workload) -> Vec<Map<String, Value>> {
    let due = (0_u32..)
        .zip(&workload.runs)
        .filter(|(_, run)| run.first <= cluster.instant);
    due.map(|(nth, run)| {
        let mut object = job(cluster, workload, &run_name(workload, nth));
        set_meta(&mut object, "creationTimestamp", cluster.timestamp(run.first));
        set_owner(&mut object, &owner_of_pods(workload));
        object
    })
    .collect()
}

fn cron_job(cluster: &Cluster<'_>, workload: &Workload) -> Map<String, Value> {
    let mut object = cluster.meta("batch/v1", "CronJob", &workload.name.namespace, &workload.name.name);
    annotate(&mut object);
    set_labels(&mut object, &workload.labels);
    object.insert(
        "spec".to_owned(),
        json!({
            "jobTemplate": { "spec": { "template": template(workload, &Labels::new()) } },
            "schedule": "* * * * *",
        }),
    );
    object
}
