//! The pods of one workload, with the names and labels that its controller would give them.

use super::{Cgroup, Owner, Pod, counted, settings};
use crate::identity;
use crate::model::{CustomKind, Kind, Labels, Name, Offset, Replica, Scenario, Span, Workload};
use crate::problem::Problem;

/// Minutes since 1970 at the start of the window: a CronJob names its Jobs after the minute they are due.
const START_MINUTE: u32 = 29_453_760;

/// Appends a workload's pods.
pub(super) fn add_pods(
    scenario: &Scenario,
    place: usize,
    workload: &Workload,
    pods: &mut Vec<Pod>,
    problems: &mut Vec<Problem>,
) {
    let mut complain = |line: usize, message: String| {
        problems.push(Problem {
            line,
            column: 1,
            message,
        });
    };
    let nodes = nodes_of(scenario, workload, &mut complain);
    let count = if counted(workload.kind) {
        workload.replicas
    } else {
        match workload.kind {
            Kind::DaemonSet => u32::try_from(nodes.len()).unwrap_or(u32::MAX),
            Kind::CronJob => u32::try_from(workload.runs.len()).unwrap_or(u32::MAX),
            Kind::StaticPod => u32::try_from(workload.nodes.len().max(1)).unwrap_or(u32::MAX),
            Kind::Pod | Kind::Deployment | Kind::StatefulSet | Kind::Job => 1,
        }
    };
    for (replica, single) in workload.overrides.iter().filter(|(replica, _)| *replica >= count) {
        complain(
            single.line,
            format!("`{}` has {count} pods, so there is no pod {replica}", workload.name),
        );
    }
    if workload.host_network && settings_of_all(workload).any(|replica| !replica.addresses.is_empty()) {
        complain(
            workload.line,
            "a pod with `host-network` has its node's addresses and no others".to_owned(),
        );
    }
    if count > 1 && !workload.defaults.addresses.is_empty() {
        complain(
            workload.line,
            "`address` needs a `replica` line where there is more than one pod".to_owned(),
        );
    }
    for replica in 0..count {
        let settings = settings(workload, replica);
        let in_turn = || nodes.get(usize::try_from(replica).ok()? % nodes.len().max(1)).copied();
        let chosen = match &settings.node {
            None => in_turn(),
            Some(name) => scenario.nodes.iter().position(|node| node.name == *name),
        };
        let Some(node) = chosen else {
            match &settings.node {
                Some(name) => complain(settings.line, format!("node `{name}` is not declared")),
                None if scenario.nodes.is_empty() => {
                    complain(
                        workload.line,
                        "a pod needs a node: declare one with `node NAME ADDRESS`".to_owned(),
                    );
                }
                None => {}
            }
            continue;
        };
        let mut pod = pod(place, workload, replica, node, &scenario.nodes[node].name, settings);
        if workload.host_network {
            pod.addresses.clone_from(&scenario.nodes[node].addresses);
        }
        if pod.from.zip(pod.to).is_some_and(|(from, to)| from >= to) {
            complain(
                workload.line,
                format!("pod {replica} of `{}` ends before it starts", workload.name),
            );
        }
        pods.push(pod);
    }
}

/// The nodes a workload's pods are spread over.
fn nodes_of(scenario: &Scenario, workload: &Workload, complain: &mut impl FnMut(usize, String)) -> Vec<usize> {
    if workload.nodes.is_empty() {
        return (0..scenario.nodes.len()).collect();
    }
    let mut nodes = Vec::new();
    for name in &workload.nodes {
        match scenario.nodes.iter().position(|node| node.name == *name) {
            Some(node) => nodes.push(node),
            None => complain(workload.line, format!("node `{name}` is not declared")),
        }
    }
    nodes
}

fn settings_of_all(workload: &Workload) -> impl Iterator<Item = &Replica> {
    workload
        .overrides
        .iter()
        .map(|(_, single)| single)
        .chain(std::iter::once(&workload.defaults))
}

/// One pod, without cgroups and, unless the text fixes them, without addresses.
fn pod(place: usize, workload: &Workload, replica: u32, node: usize, node_name: &str, settings: Replica) -> Pod {
    let revision = settings.revision.unwrap_or(1);
    let namespace = workload.name.namespace.as_str();
    let (name, owner, added) = named(workload, replica, revision, node_name);
    let run = workload.runs.get(usize::try_from(replica).unwrap_or(usize::MAX));
    let (from, to) = lifetime(workload.kind, run, &settings);
    let uid = identity::uid(&["pod", namespace, &name]);
    let mut labels = workload.labels.clone();
    labels.extend(added);
    labels.extend(settings.labels);
    Pod {
        workload: place,
        replica,
        namespace: namespace.to_owned(),
        config_hash: (workload.kind == Kind::StaticPod)
            .then(|| identity::hexadecimal(&["config", namespace, &name], 32)),
        node,
        addresses: settings.addresses,
        container_id: identity::hexadecimal(&["container", namespace, &name], 64),
        cgroup: Cgroup {
            id: 0,
            path: String::new(),
        },
        container_cgroup: Cgroup {
            id: 0,
            path: String::new(),
        },
        proxy_cgroup: None,
        netns: 0,
        from,
        to,
        labels,
        revision,
        owner,
        name,
        uid,
    }
}

fn lifetime(kind: Kind, run: Option<&Span>, settings: &Replica) -> (Option<Offset>, Option<Offset>) {
    match (kind, run) {
        (Kind::CronJob, Some(run)) => (Some(run.first), Some(run.last)),
        _ => (settings.from, settings.to),
    }
}

/// Name, owner and controller-given labels of a pod.
fn named(workload: &Workload, replica: u32, revision: u32, node: &str) -> (String, Option<Owner>, Labels) {
    let namespace = workload.name.namespace.as_str();
    let name = workload.name.name.as_str();
    let place = replica.to_string();
    let random = |parent: &str| identity::suffix(&["pod", namespace, parent, &place], 5);
    let owned = |kind, name: &str| Some(owner(kind, namespace, name));
    let own = || Some(owner_of_pods(workload));
    match workload.kind {
        Kind::Deployment => {
            let hash = template_hash(workload, revision);
            let set = format!("{name}-{hash}");
            let pod = format!("{set}-{}", random(&set));
            (pod, owned("ReplicaSet", &set), labels(&[(hash_label(workload), &hash)]))
        }
        Kind::StatefulSet => {
            let pod = format!("{name}-{replica}");
            let hash = format!("{name}-{}", template_hash(workload, revision));
            let added = labels(&[
                ("apps.kubernetes.io/pod-index", &place),
                ("controller-revision-hash", &hash),
                ("statefulset.kubernetes.io/pod-name", &pod),
            ]);
            (pod, own(), added)
        }
        Kind::DaemonSet => {
            let generation = revision.to_string();
            let hash = template_hash(workload, revision);
            let added = labels(&[
                ("controller-revision-hash", &hash),
                ("pod-template-generation", &generation),
            ]);
            (format!("{name}-{}", random(name)), own(), added)
        }
        Kind::Job => (format!("{name}-{}", random(name)), own(), job_labels(namespace, name)),
        Kind::CronJob => {
            let job = run_name(workload, replica);
            (
                format!("{job}-{}", random(&job)),
                owned("Job", &job),
                job_labels(namespace, &job),
            )
        }
        Kind::Pod => (name.to_owned(), above(workload), Labels::new()),
        Kind::StaticPod => (format!("{name}-{node}"), Some(owner("Node", "", node)), Labels::new()),
    }
}

/// An owner reference to an object of the scenario.
pub(crate) fn owner(kind: &str, namespace: &str, name: &str) -> Owner {
    let (api_version, uid) = match kind {
        "Node" => ("v1", identity::uid(&["node", name])),
        "Job" | "CronJob" => ("batch/v1", object_uid(kind, namespace, name)),
        _ => ("apps/v1", object_uid(kind, namespace, name)),
    };
    Owner {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid,
    }
}

fn custom_owner(custom: &CustomKind, namespace: &str, name: &str) -> Owner {
    Owner {
        api_version: custom.api_version(),
        kind: custom.kind.clone(),
        name: name.to_owned(),
        uid: object_uid(&custom.kind, namespace, name),
    }
}

/// A workload's own object as an owner.
pub(crate) fn owner_of_pods(workload: &Workload) -> Owner {
    let Name { namespace, name } = &workload.name;
    match &workload.custom {
        Some(custom) => custom_owner(custom, namespace, name),
        None => owner(object_kind(workload.kind), namespace, name),
    }
}

/// What owns a workload's object, if the text says so.
pub(crate) fn above(workload: &Workload) -> Option<Owner> {
    let (kind, name) = workload.owner.as_ref()?;
    Some(custom_owner(kind, &workload.name.namespace, name))
}

/// The kind of the objects that a word of the text declares.
pub(crate) const fn object_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Deployment => "Deployment",
        Kind::StatefulSet => "StatefulSet",
        Kind::DaemonSet => "DaemonSet",
        Kind::Job => "Job",
        Kind::CronJob => "CronJob",
        Kind::Pod | Kind::StaticPod => "Pod",
    }
}

/// The label that tells the pods of revisions apart. Argo Rollouts has one of its own.
pub(crate) fn hash_label(workload: &Workload) -> &'static str {
    match &workload.custom {
        Some(custom) if custom.group == "argoproj.io" => "rollouts-pod-template-hash",
        Some(_) | None => "pod-template-hash",
    }
}

/// UID of a namespaced object.
pub(crate) fn object_uid(kind: &str, namespace: &str, name: &str) -> String {
    identity::uid(&[kind, namespace, name])
}

/// Name of the Job of one run of a CronJob.
pub(crate) fn run_name(workload: &Workload, run: u32) -> String {
    format!("{}-{}", workload.name.name, START_MINUTE + run)
}

/// Hash of one revision of a workload's template.
pub(crate) fn template_hash(workload: &Workload, revision: u32) -> String {
    let name = workload.name.to_string();
    identity::suffix(&["template", &name, &revision.to_string()], 10)
}

/// Labels of a Job's pods; the unprefixed ones are those of Kubernetes before 1.27 and still set.
fn job_labels(namespace: &str, job: &str) -> Labels {
    let uid = object_uid("Job", namespace, job);
    labels(&[
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", job),
        ("controller-uid", &uid),
        ("job-name", job),
    ])
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
