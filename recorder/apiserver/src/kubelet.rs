//! Controllers and kubelets, as far as a test needs them: every DaemonSet gets a pod on every Node that has a script, and
//! every Deployment one on the first of them. What a pod says of itself follows the script of its node.

use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::resource::Resource;
use crate::store::{Store, key_of, now};

/// Annotation of a Node: what becomes of a DaemonSet's pod on it. One of `ready`, `waiting`, `image`, `unschedulable`,
/// `lost`, `evicted`, `leaving`, or `crash: WORDS`.
pub const SCRIPT: &str = "flowtape.test/pod";

/// Annotation of a Node: directory with what its pods hold, in a directory for each kind of owner.
pub const HOME: &str = "flowtape.test/home";

/// Brings the pods in line with what wants them.
pub(crate) fn reconcile(store: &mut Store) -> Result<(), Refusal> {
    let nodes: Vec<Value> = all(store, "v1", "Node")
        .into_iter()
        .filter(|node| node["metadata"]["annotations"][SCRIPT].is_string())
        .collect();
    let mut wanted = Vec::new();
    for set in all(store, "apps/v1", "DaemonSet") {
        wanted.extend(nodes.iter().map(|node| pod(&set, node)));
        let mut counted = set.clone();
        counted["status"] = json!({"observedGeneration": 1, "desiredNumberScheduled": nodes.len(),
            "currentNumberScheduled": nodes.len(), "numberMisscheduled": 0, "numberReady": 0});
        if counted != set {
            store.put(counted)?;
        }
    }
    for deployment in all(store, "apps/v1", "Deployment") {
        if let Some(node) = nodes.first() {
            let mut ready = node.clone();
            ready["metadata"]["annotations"][SCRIPT] = json!("ready");
            wanted.push(pod(&deployment, &ready));
        }
    }
    for found in all(store, "v1", "Pod") {
        let is_ours = found["metadata"]["annotations"][SCRIPT].is_string();
        if is_ours && !wanted.iter().any(|pod| name(pod) == name(&found)) {
            store.delete(&key_of(&found)?);
        }
    }
    for pod in wanted {
        let present = store.get(&key_of(&pod)?);
        let script = |pod: &Value| pod["metadata"]["annotations"][SCRIPT].clone();
        if present.is_none_or(|present| script(present) != script(&pod)) {
            store.put(pod)?;
        }
    }
    Ok(())
}

/// The node of a pod of ours.
pub(crate) fn node_of(store: &Store, pod: &Value) -> Option<Value> {
    let name = &pod["spec"]["nodeName"];
    all(store, "v1", "Node")
        .into_iter()
        .find(|node| node["metadata"]["name"] == *name)
}

fn all(store: &Store, api_version: &str, kind: &str) -> Vec<Value> {
    let resource = Resource::of_object(api_version, kind);
    resource.map_or_else(Vec::new, |resource| store.all(resource).cloned().collect())
}

fn name(object: &Value) -> &Value {
    &object["metadata"]["name"]
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The pod of an owner on a node.
fn pod(owner: &Value, node: &Value) -> Value {
    let template = &owner["spec"]["template"];
    let script = text(&node["metadata"]["annotations"][SCRIPT]);
    let mut spec = template["spec"].clone();
    if script == "unschedulable" {
        // As the controller of DaemonSets pins its pods before they are scheduled.
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
            [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name(node)]}]}]}}});
    } else {
        spec["nodeName"] = name(node).clone();
    }
    let mut metadata = json!({
        "name": format!("{}-{}", text(name(owner)), text(name(node))),
        "namespace": owner["metadata"]["namespace"],
        "labels": template["metadata"]["labels"],
        "annotations": {SCRIPT: script},
        "ownerReferences": [{"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name(owner),
            "uid": owner["metadata"]["uid"], "controller": true}],
    });
    if script == "leaving" {
        metadata["deletionTimestamp"] = json!(now());
    }
    let container = text(&spec["containers"][0]["name"]).to_owned();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status(script, &container)})
}

/// What a kubelet, a scheduler or the node controller writes.
fn status(script: &str, container: &str) -> Value {
    let conditions = |scheduled: &str, ready: &str| {
        json!([{"type": "PodScheduled", "status": scheduled, "message": "0/1 nodes are available: 1 Insufficient memory."},
            {"type": "Ready", "status": ready}])
    };
    let containers = |started: bool, state: Value, last: Value| {
        json!([{"name": container, "image": "i", "imageID": "", "ready": started, "started": started, "restartCount": 0,
            "state": state, "lastState": last}])
    };
    let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let running = || containers(true, json!({"running": {}}), json!({}));
    match script {
        "ready" | "leaving" => {
            json!({"phase": "Running", "conditions": conditions("True", "True"), "containerStatuses": running()})
        }
        "lost" => {
            json!({"phase": "Running", "conditions": conditions("True", "False"), "containerStatuses": running()})
        }
        "evicted" => {
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."})
        }
        "unschedulable" => json!({"phase": "Pending", "conditions": conditions("False", "False")}),
        "image" => json!({"phase": "Pending", "conditions": conditions("True", "False"),
            "containerStatuses": containers(false, waiting("ImagePullBackOff", "Back-off pulling image"), json!({}))}),
        other => match other.strip_prefix("crash: ") {
            Some(words) => {
                json!({"phase": "Running", "conditions": conditions("True", "False"), "containerStatuses": containers(
                false, waiting("CrashLoopBackOff", "back-off 10s restarting failed container"),
                json!({"terminated": {"exitCode": 2, "reason": "Error", "message": words}}))})
            }
            None => json!({"phase": "Pending", "conditions": conditions("True", "False"),
                "containerStatuses": containers(false, waiting("ContainerCreating", ""), json!({}))}),
        },
    }
}
