//! What the path of a control group says about pod and container. Pure.
//!
//! The rule: the *last* component that names a pod is the pod (a cluster nested in a container has outer components that
//! name none or another), the component after it names the container, and what is deeper (an init system or a container
//! engine inside the container) is ignored.
//!
//! Spellings, all below the root of the hierarchy:
//!
//! | who | example |
//! | --- | --- |
//! | cgroupfs driver | `/kubepods/burstable/pod<uid>/<id>` |
//! | systemd driver, containerd | `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid_>.slice/cri-containerd-<id>.scope` |
//! | systemd driver, CRI-O | `.../kubepods-pod<uid_>.slice/crio-<id>.scope`, sometimes with `/container` below |
//! | systemd driver, Docker | `.../kubepods-besteffort-pod<uid_>.slice/docker-<id>.scope` |
//! | driver mismatch | `/system.slice/containerd.service/kubepods-burstable-pod<uid_>.slice:cri-containerd:<id>` |
//! | kind, k3d | `/docker/<node>/kubelet.slice/kubelet-kubepods.slice/.../kubelet-kubepods-pod<uid_>.slice/...` |
//!
//! The names are made by kubelet (`pkg/kubelet/cm/pod_container_manager_linux.go` and `cgroup_manager_linux.go`,
//! Kubernetes 1.36: `pod` + UID, dashes as underscores under systemd) and by the runtimes. A static pod has the hash of its
//! configuration where others have a UID: 32 hexadecimal digits without dashes, while the API knows its mirror by a UID of
//! its own.

use flowtape_schemas::node::{Qos, Runtime};

/// What the path of a pod's control group says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPath {
    /// Which pod.
    pub pod: PodName,
    /// Quality-of-service class.
    pub qos: Qos,
    /// Which container; `None` for the pod's own control group and for what a runtime runs beside the containers.
    pub container: Option<Container>,
}

/// How a path names a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodName {
    /// By the UID of the API object, with dashes, lower case.
    Uid(String),
    /// By kubelet's hash of its configuration.
    StaticHash(String),
}

/// How a path names a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits, lower case.
    pub id: String,
    /// Who runs it.
    pub runtime: Runtime,
}

/// Reads a path below the root of the hierarchy. `None` if it belongs to no pod.
#[must_use]
pub fn parse(path: &str) -> Option<PodPath> {
    let components: Vec<&str> = path.split('/').filter(|component| !component.is_empty()).collect();
    let (at, found) = components
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, component)| Some((at, pod_component(component)?)))?;
    let beside = found.same_component_container;
    Some(PodPath {
        pod: found.pod,
        qos: qos(
            found.prefix,
            at.checked_sub(1).and_then(|above| components.get(above)).copied(),
        ),
        container: beside.or_else(|| {
            components
                .get(at + 1)
                .and_then(|component| container_component(component))
        }),
    })
}

/// A component that names a pod.
struct PodComponent<'a> {
    pod: PodName,
    /// What stands before `pod`, as `kubepods-burstable-`.
    prefix: &'a str,
    /// The container of `...slice:cri-containerd:<id>`.
    same_component_container: Option<Container>,
}

fn pod_component(component: &str) -> Option<PodComponent<'_>> {
    let (name, scope) = component
        .split_once(':')
        .map_or((component, None), |(name, scope)| (name, Some(scope)));
    let (prefix, uid) = match name.strip_suffix(".slice") {
        // A slice carries the path to itself in its name: `a-b-c.slice` stands in `a-b.slice`.
        Some(slice) => {
            let at = slice.rfind("pod").filter(|&at| at == 0 || slice[..at].ends_with('-'))?;
            (&slice[..at], &slice[at + 3..])
        }
        None => ("", name.strip_prefix("pod")?),
    };
    Some(PodComponent {
        pod: pod_name(uid)?,
        prefix,
        same_component_container: scope
            .and_then(|scope| scope.rsplit_once(':'))
            .and_then(|(runtime, id)| {
                container_id(id).map(|id| Container {
                    id,
                    runtime: runtime_of(runtime),
                })
            }),
    })
}

/// A UID in its usual form (RFC 9562 section 4), with dashes or underscores, or a configuration hash.
fn pod_name(text: &str) -> Option<PodName> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    if text.len() == 32 && is_hex(text) {
        return Some(PodName::StaticHash(text.to_ascii_lowercase()));
    }
    let separator = if text.contains('_') { '_' } else { '-' };
    let groups: Vec<&str> = text.split(separator).collect();
    let fits = groups.len() == GROUPS.len()
        && groups
            .iter()
            .zip(GROUPS)
            .all(|(group, length)| group.len() == length && is_hex(group));
    fits.then(|| PodName::Uid(groups.join("-").to_ascii_lowercase()))
}

/// Below the class's own directory, or with the class in the slice's name; a pod without either is guaranteed.
fn qos(prefix: &str, above: Option<&str>) -> Qos {
    let says = |class: &str| {
        let in_prefix = prefix.split('-').any(|part| part == class);
        in_prefix
            || above
                .is_some_and(|above| above.strip_suffix(".slice").unwrap_or(above).rsplit('-').next() == Some(class))
    };
    if says("burstable") {
        Qos::Burstable
    } else if says("besteffort") {
        Qos::BestEffort
    } else {
        Qos::Guaranteed
    }
}

/// `<id>`, `<runtime>-<id>` or `<runtime>-<id>.scope`.
fn container_component(component: &str) -> Option<Container> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let (runtime, id) = name.rsplit_once('-').unwrap_or(("", name));
    // CRI-O's monitor of a container runs beside it, in a scope named after it.
    if runtime == "crio-conmon" {
        return None;
    }
    Some(Container {
        id: container_id(id)?,
        runtime: runtime_of(runtime),
    })
}

fn container_id(text: &str) -> Option<String> {
    (text.len() == 64 && is_hex(text)).then(|| text.to_ascii_lowercase())
}

fn runtime_of(word: &str) -> Runtime {
    match word {
        "cri-containerd" | "containerd" => Runtime::Containerd,
        "crio" => Runtime::Crio,
        "docker" => Runtime::Docker,
        // Others exist (`cri-dockerd` has no word of its own); the path does not say which.
        _ => Runtime::Unnamed,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
