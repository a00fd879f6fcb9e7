//! The two pods: the recorder of a node, and the watcher of the cluster.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, HostPathVolumeSource,
    ObjectFieldSelector, PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext,
    Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{CONTAINER, NODE_ROLE, PROGRAM, Run, TAPE, WATCHER_ROLE, labels, texts};

/// Directories of the node that the recorder reads: control groups, and the types of the kernel.
const OF_THE_NODE: [(&str, &str); 2] = [("cgroup", "/sys/fs/cgroup"), ("btf", "/sys/kernel/btf")];

/// Seconds that a recorder has to end its files and to be collected when its pod must go.
const GRACE_SECONDS: i64 = 90;

/// Seconds that a recorder has to begin.
const START_SECONDS: i32 = 120;

const MIB: u64 = 1 << 20;

/// Room beside the tape, in MiB: the files that are being written when the limit is reached.
const SPARE_MIB: u64 = 256;

/// User of the watcher: nobody in particular.
const WATCHER_USER: i64 = 65_532;

/// The pod that records a node. Root, because the kernel asks for capabilities, and of those three only.
pub(super) fn of_node(run: &Run) -> PodSpec {
    let mut arguments = texts(&["record", "--node", "$(NODE_NAME)"]);
    arguments.extend(limit(run));
    arguments.extend(["--max-size".to_owned(), format!("{}MiB", run.max_size.div_ceil(MIB))]);
    arguments.extend(run.arguments.clone());
    let mut container = container(run, arguments);
    container.env = Some(vec![EnvVar {
        name: "NODE_NAME".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "spec.nodeName".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }]);
    container.security_context = Some(SecurityContext {
        run_as_user: Some(0),
        capabilities: Some(Capabilities {
            add: Some(texts(&["BPF", "NET_ADMIN", "PERFMON"])),
            drop: Some(texts(&["ALL"])),
        }),
        // The default profiles of older runtimes refuse bpf(2) to whoever lacks CAP_SYS_ADMIN.
        seccomp_profile: Some(seccomp("Unconfined")),
        ..confined()
    });
    let (mut volumes, mut mounts) = (vec![tape(run)], vec![mount("tape", TAPE, false)]);
    for (name, path) in OF_THE_NODE {
        mounts.push(mount(name, path, true));
        volumes.push(Volume {
            name: name.to_owned(),
            host_path: Some(HostPathVolumeSource {
                path: path.to_owned(),
                type_: Some("Directory".to_owned()),
            }),
            ..Volume::default()
        });
    }
    container.volume_mounts = Some(mounts);
    PodSpec {
        service_account_name: Some(run.name(NODE_ROLE)),
        // Open sockets are found through the processes that hold them, which only the node's own view shows.
        host_pid: Some(true),
        tolerations: Some(vec![Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        }]),
        ..pod(container, volumes)
    }
}

/// The pod that follows the API: no privileges, and a token that reads.
pub(super) fn of_watcher(run: &Run) -> PodSpec {
    let mut arguments = texts(&["metadata", "--watch"]);
    arguments.extend(limit(run));
    if !run.namespaces.is_empty() {
        arguments.extend(["--namespaces".to_owned(), run.namespaces.join(",")]);
    }
    let mut container = container(run, arguments);
    container.security_context = Some(SecurityContext {
        run_as_user: Some(WATCHER_USER),
        run_as_group: Some(WATCHER_USER),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(texts(&["ALL"])),
        }),
        seccomp_profile: Some(seccomp("RuntimeDefault")),
        ..confined()
    });
    container.volume_mounts = Some(vec![mount("tape", TAPE, false)]);
    PodSpec {
        service_account_name: Some(run.name(WATCHER_ROLE)),
        automount_service_account_token: Some(true),
        security_context: Some(PodSecurityContext {
            fs_group: Some(WATCHER_USER),
            ..PodSecurityContext::default()
        }),
        ..pod(container, vec![tape(run)])
    }
}

/// What both pods have in common.
fn pod(container: Container, volumes: Vec<Volume>) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        node_selector: Some(labels(&[("kubernetes.io/os", "linux")])),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        containers: vec![container],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn container(run: &Run, verb: Vec<String>) -> Container {
    let mut arguments = texts(&["agent", "--output", TAPE, "--"]);
    arguments.extend(verb);
    Container {
        name: CONTAINER.to_owned(),
        image: Some(run.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(texts(&[PROGRAM])),
        args: Some(arguments),
        // Ready means that the recording has begun; once it has, nothing is executed any more.
        startup_probe: Some(Probe {
            exec: Some(ExecAction {
                command: Some(texts(&[PROGRAM, "status", TAPE])),
            }),
            period_seconds: Some(1),
            timeout_seconds: Some(5),
            failure_threshold: Some(START_SECONDS),
            ..Probe::default()
        }),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&[("cpu", "50m"), ("memory", "96Mi")])),
            limits: Some(quantities(&[("memory", "512Mi")])),
            ..ResourceRequirements::default()
        }),
        // Why a recorder could not begin is its last line.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

/// What no container here may do.
fn confined() -> SecurityContext {
    SecurityContext {
        privileged: Some(false),
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

fn seccomp(kind: &str) -> SeccompProfile {
    SeccompProfile {
        type_: kind.to_owned(),
        ..SeccompProfile::default()
    }
}

/// The end of a recording that nobody ends, in whole seconds.
fn limit(run: &Run) -> Vec<String> {
    run.limit.map_or_else(Vec::new, |limit| {
        vec!["--duration".to_owned(), format!("{}s", limit.as_secs().max(1))]
    })
}

fn tape(run: &Run) -> Volume {
    Volume {
        name: "tape".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            // A pod that takes more is evicted; the recorder ends its window before.
            size_limit: Some(Quantity(format!("{}Mi", run.max_size.div_ceil(MIB) + SPARE_MIB))),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn quantities(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, Quantity> {
    pairs
        .iter()
        .map(|&(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
        .collect()
}
