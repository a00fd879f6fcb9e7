//! cgroup paths as the kubelet spells them, and identifiers as the kernel would number them.

use super::{Cgroup, HOST_NETNS, Pod};
use crate::identity;
use crate::model::CgroupDriver;

/// Identifier of the cgroup of a machine's own processes.
pub(super) const MACHINE_ID: u64 = 4_000;

/// First network namespace inode after the machine's own and a few that services have.
const FIRST_NETNS: u32 = HOST_NETNS + 200;

/// First identifier of the cgroups of proxies, after those of all other containers.
const FIRST_PROXY: u64 = 50_000;

/// Identifier of the container of a pod's proxy.
pub(crate) fn proxy_id(pod: &Pod) -> String {
    identity::hexadecimal(&["proxy", &pod.namespace, &pod.name], 64)
}

/// Gives a pod its cgroups and its network namespace; `nth` counts the pods of its node.
///
/// Paths: the kubelet's cgroup manager (`pkg/kubelet/cm` in Kubernetes 1.36) with containerd, quality class Burstable.
pub(super) fn assign(pod: &mut Pod, driver: CgroupDriver, nth: u32, host_network: bool, proxy: bool) {
    let uid = pod.config_hash.as_deref().unwrap_or(&pod.uid);
    let path = match driver {
        CgroupDriver::Cgroupfs => format!("/kubepods/burstable/pod{uid}"),
        CgroupDriver::Systemd => format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
            uid.replace('-', "_")
        ),
    };
    let leaf = |container: &str| match driver {
        CgroupDriver::Cgroupfs => container.to_owned(),
        CgroupDriver::Systemd => format!("cri-containerd-{container}.scope"),
    };
    // A pod directory, its sandbox and its container: three numbers in the order of creation.
    let first = 5_000 + 3 * u64::from(nth);
    pod.container_cgroup = Cgroup {
        id: first + 2,
        path: format!("{path}/{}", leaf(&pod.container_id)),
    };
    pod.proxy_cgroup = proxy.then(|| Cgroup {
        id: FIRST_PROXY + u64::from(nth),
        path: format!("{path}/{}", leaf(&proxy_id(pod))),
    });
    pod.cgroup = Cgroup { id: first, path };
    pod.netns = if host_network { HOST_NETNS } else { FIRST_NETNS + nth };
}
