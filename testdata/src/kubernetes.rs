//! The objects that `kubectl get ... -A -o json` would print for a scenario.
//!
//! They are complete where Flowtape reads them and realistic elsewhere: what a tape must never carry (environment
//! values, arguments, foreign annotations) is there, too, and holds [`CANARY`].

use std::net::IpAddr;

use flowtape_schemas::time::Time;
use serde_json::{Map, Value, json};

use crate::identity;
use crate::layout::{Layout, Pod};
use crate::model::{Labels, Offset, Scenario};

pub(crate) mod node;
mod pod;
mod service;
mod workload;

/// Stands in every field that must never reach a tape.
pub const CANARY: &str = "canary-never-on-a-tape";

/// Start of every window: 2026-01-01T00:00:00Z, in nanoseconds since 1970.
pub const WINDOW_START: i64 = 1_767_225_600_000_000_000;

/// When the cluster and everything but its pods was made.
const CLUSTER_MADE: Offset = Offset::seconds(-31 * 86_400);

/// When pods started whose start the text leaves open.
const PODS_STARTED: Offset = Offset::seconds(-3_600);

/// The `v1` List of everything that exists at an instant, kinds in the order
/// `nodes,namespaces,pods,services,endpointslices,deployments,replicasets,statefulsets,daemonsets,jobs,cronjobs,networkpolicies`.
#[must_use]
pub fn list_at(scenario: &Scenario, layout: &Layout, instant: Offset) -> Value {
    list_by_clock(scenario, layout, instant, &|at| Time(WINDOW_START).saturating_add(at.0))
}

/// The List of [`list_at`] for a window that took place at other times than compiled ones do.
#[must_use]
pub fn list_by_clock(scenario: &Scenario, layout: &Layout, instant: Offset, clock: &dyn Fn(Offset) -> Time) -> Value {
    let cluster = Cluster {
        scenario,
        layout,
        instant,
        clock,
    };
    let mut items = Vec::new();
    items.extend(node::nodes(&cluster));
    items.extend(node::namespaces(&cluster));
    items.extend(pod::pods(&cluster));
    items.extend(service::services(&cluster));
    items.extend(service::slices(&cluster));
    items.extend(workload::workloads(&cluster));
    items.extend(scenario.policies.iter().map(|policy| {
        let mut object = cluster.meta(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            &policy.name.namespace,
            &policy.name.name,
        );
        object.insert("spec".to_owned(), policy.spec.clone());
        object
    }));
    let items: Vec<Value> = items.into_iter().map(versioned).collect();
    json!({ "apiVersion": "v1", "items": items, "kind": "List", "metadata": { "resourceVersion": "" } })
}

/// The instants at which the answer of [`list_at`] changes, the start of the window first.
#[must_use]
pub fn changes(scenario: &Scenario, layout: &Layout) -> Vec<Offset> {
    let ends = layout.pods.iter().flat_map(|pod| [pod.from, pod.to]);
    let mut instants: Vec<Offset> = ends
        .flatten()
        .filter(|at| (Offset(0)..=scenario.window).contains(at))
        .collect();
    instants.push(Offset(0));
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// What all objects are made from.
struct Cluster<'s> {
    scenario: &'s Scenario,
    layout: &'s Layout,
    instant: Offset,
    /// When something happened that the scenario dates.
    clock: &'s dyn Fn(Offset) -> Time,
}

impl Cluster<'_> {
    /// The pods of one workload that the API knows at the instant, ended ones of Jobs included.
    fn pods_of(&self, workload: usize) -> impl Iterator<Item = &Pod> {
        self.layout
            .pods
            .iter()
            .filter(move |pod| pod.workload == workload && self.knows(pod))
    }

    /// Whether the API knows a pod: pods of Jobs stay when they have ended.
    fn knows(&self, pod: &Pod) -> bool {
        pod.lives_at(self.instant) || self.completed(pod)
    }

    /// Whether a pod has ended and stays in the API.
    fn completed(&self, pod: &Pod) -> bool {
        let of_job = pod.owner.as_ref().is_some_and(|owner| owner.kind == "Job");
        of_job && pod.to.is_some_and(|to| to <= self.instant)
    }

    /// An object with its metadata; more is added by the caller.
    fn meta(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Map<String, Value> {
        let uid = crate::layout::pod::object_uid(kind, namespace, name);
        self.meta_with_uid(api_version, kind, namespace, name, &uid)
    }

    fn meta_with_uid(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Map<String, Value> {
        let mut metadata = Map::new();
        metadata.insert("creationTimestamp".to_owned(), self.timestamp(CLUSTER_MADE));
        metadata.insert("name".to_owned(), json!(name));
        if !namespace.is_empty() {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        metadata.insert("uid".to_owned(), json!(uid));
        let mut object = Map::new();
        object.insert("apiVersion".to_owned(), json!(api_version));
        object.insert("kind".to_owned(), json!(kind));
        object.insert("metadata".to_owned(), Value::Object(metadata));
        object
    }

    /// A time as the API prints it: RFC 3339, whole seconds unless the scenario is finer than that.
    fn timestamp(&self, at: Offset) -> Value {
        let text = (self.clock)(at).to_string();
        match text.strip_suffix(".000000000Z") {
            Some(whole) => json!(format!("{whole}Z")),
            None => json!(text),
        }
    }
}

/// Sets a field of an object's metadata.
fn set_meta(object: &mut Map<String, Value>, field: &str, value: Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert(field.to_owned(), value);
    }
}

fn set_labels(object: &mut Map<String, Value>, labels: &Labels) {
    if !labels.is_empty() {
        set_meta(object, "labels", json!(labels));
    }
}

fn set_owner(object: &mut Map<String, Value>, owner: &crate::layout::Owner) {
    let reference = json!({
        "apiVersion": owner.api_version,
        "blockOwnerDeletion": true,
        "controller": true,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    });
    set_meta(object, "ownerReferences", json!([reference]));
}

/// Gives an object a resource version, which changes when the object does.
fn versioned(mut object: Map<String, Value>) -> Value {
    let content = Value::Object(object.clone()).to_string();
    let digits = identity::hexadecimal(&["version", &content], 7);
    let number = u32::from_str_radix(&digits, 16).unwrap_or_default();
    set_meta(&mut object, "resourceVersion", json!(number.to_string()));
    Value::Object(object)
}

/// Addresses the way `status.podIPs` and `status.hostIPs` list them.
fn ip_list(addresses: &[IpAddr]) -> Value {
    addresses.iter().map(|address| json!({ "ip": address })).collect()
}
