//! Every spelling that is known, and what only looks like one.

use flowtape_schemas::node::{Qos, Runtime};
use proptest::prelude::{prop_assert, proptest};

use super::{PodName, parse};

const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
const UID_: &str = "2c48913c_b29f_11e7_9350_020968147796";
const OTHER: &str = "00000000_0000_4000_8000_000000000001";
const HASH: &str = "ac0abd1c3c8a4d5e8f1d2b3c4d5e6f70";
const ID: &str = "7b8952daecf4c0e44bbcefe1b5c5ebc7b4839d4eefeccefe694709d31809b6e4";
const NODE: &str = "ea457f9527623734c8cb51b2e5d9a4d2b1f4f0e3c6a7988b9a0b1c2d3e4f5061";

struct Case {
    what: &'static str,
    path: String,
    qos: Qos,
    container: Option<Runtime>,
}

fn case(what: &'static str, path: impl Into<String>, qos: Qos, container: Option<Runtime>) -> Case {
    Case {
        what,
        path: path.into(),
        qos,
        container,
    }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    use Qos::{BestEffort, Burstable, Guaranteed};
    use Runtime::{Containerd, Crio, Docker, Unnamed};
    vec![
        case("cgroupfs, burstable", format!("/kubepods/burstable/pod{UID}/{ID}"), Burstable, Some(Unnamed)),
        case("cgroupfs, best effort", format!("/kubepods/besteffort/pod{UID}/{ID}"), BestEffort, Some(Unnamed)),
        case("cgroupfs, guaranteed", format!("/kubepods/pod{UID}/{ID}"), Guaranteed, Some(Unnamed)),
        case("cgroupfs, CRI-O", format!("/kubepods/burstable/pod{UID}/crio-{ID}"), Burstable, Some(Crio)),
        case("cgroupfs, the pod itself", format!("/kubepods/burstable/pod{UID}"), Burstable, None),
        case("cgroupfs under a root of its own", format!("/my-root/kubepods/besteffort/pod{UID}/{ID}"), BestEffort, Some(Unnamed)),
        case("systemd, containerd", format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/cri-containerd-{ID}.scope"), Burstable, Some(Containerd)),
        case("systemd, best effort", format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/cri-containerd-{ID}.scope"), BestEffort, Some(Containerd)),
        case("systemd, guaranteed", format!("/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{ID}.scope"), Guaranteed, Some(Containerd)),
        case("systemd, the pod itself", format!("/kubepods.slice/kubepods-pod{UID_}.slice"), Guaranteed, None),
        case("systemd, CRI-O", format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/crio-{ID}.scope"), Burstable, Some(Crio)),
        case("systemd, CRI-O with crun", format!("/kubepods.slice/kubepods-pod{UID_}.slice/crio-{ID}.scope/container"), Guaranteed, Some(Crio)),
        case("systemd, CRI-O's monitor", format!("/kubepods.slice/kubepods-pod{UID_}.slice/crio-conmon-{ID}.scope"), Guaranteed, None),
        case("systemd, Docker", format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/docker-{ID}.scope"), BestEffort, Some(Docker)),
        case("systemd under a root of its own", format!("/my.slice/my-kubepods.slice/my-kubepods-burstable.slice/my-kubepods-burstable-pod{UID_}.slice/crio-{ID}.scope"), Burstable, Some(Crio)),
        case("containerd with the other driver than kubelet", format!("/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{ID}"), Burstable, Some(Containerd)),
        case("the same, guaranteed", format!("/system.slice/containerd.service/kubepods-pod{UID_}.slice:cri-containerd:{ID}"), Guaranteed, Some(Containerd)),
        case("kind, systemd", format!("/docker/{NODE}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{UID_}.slice/cri-containerd-{ID}.scope"), Burstable, Some(Containerd)),
        case("kind, systemd on a systemd host", format!("/system.slice/docker-{NODE}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UID_}.slice/cri-containerd-{ID}.scope"), Guaranteed, Some(Containerd)),
        case("kind, cgroupfs", format!("/system.slice/docker-{NODE}.scope/kubelet/kubepods/besteffort/pod{UID}/{ID}"), BestEffort, Some(Unnamed)),
        case("k3s", format!("/kubepods/burstable/pod{UID}/{ID}"), Burstable, Some(Unnamed)),
        case("k3s under systemd", format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/cri-containerd-{ID}.scope"), Burstable, Some(Containerd)),
        case("k3s without root", format!("/user.slice/user-1000.slice/user@1000.service/app.slice/k3s-rootless.service/kubepods/burstable/pod{UID}/{ID}"), Burstable, Some(Unnamed)),
        case("k3d: k3s in Docker", format!("/docker/{NODE}/kubepods/besteffort/pod{UID}/{ID}"), BestEffort, Some(Unnamed)),
        case("CRI-O with the other driver than kubelet", format!("/system.slice/kubepods-besteffort-pod{UID_}.slice:crio:{ID}"), BestEffort, Some(Crio)),
        case("a virtual machine in place of a container", format!("/kubepods/burstable/pod{UID}/kata_{ID}"), Burstable, None),
        case("seen from a container's own part", format!("/../../burstable/pod{UID}/{ID}"), Burstable, Some(Unnamed)),
        case("a container that is the pod of another cluster's node", format!("/kubepods/pod{}/{NODE}/docker/{NODE}/kubepods/pod{UID}/{ID}", OTHER.replace('_', "-")), Guaranteed, Some(Unnamed)),
        case("an init system inside the container", format!("/kubepods/pod{UID}/{ID}/system.slice/nginx.service"), Guaranteed, Some(Unnamed)),
        case("Docker inside the container", format!("/kubepods/pod{UID}/{ID}/docker/{NODE}"), Guaranteed, Some(Unnamed)),
        case("a cluster inside a pod", format!("/kubepods.slice/kubepods-pod{OTHER}.slice/cri-containerd-{NODE}.scope/kubelet/kubepods/burstable/pod{UID}/{ID}"), Burstable, Some(Unnamed)),
        case("several machines in one hierarchy", format!("/n1/kubepods/burstable/pod{UID}/{ID}"), Burstable, Some(Unnamed)),
        case("upper-case digits", format!("/kubepods/pod{}/{}", UID.to_uppercase(), ID.to_uppercase()), Guaranteed, Some(Unnamed)),
    ]
}

#[test]
fn known_spellings() {
    for Case {
        what,
        path,
        qos,
        container,
    } in cases()
    {
        let found = parse(&path).unwrap_or_else(|| panic!("{what}: `{path}` names no pod"));
        assert_eq!(found.pod, PodName::Uid(UID.to_owned()), "{what}");
        assert_eq!(found.qos, qos, "{what}");
        assert_eq!(
            found.container.as_ref().map(|container| container.runtime),
            container,
            "{what}"
        );
        assert!(found.container.is_none_or(|container| container.id == ID), "{what}");
    }
}

#[test]
fn a_static_pod_is_named_by_its_hash() {
    for path in [
        format!("/kubepods/burstable/pod{HASH}/{ID}"),
        format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{HASH}.slice/cri-containerd-{ID}.scope"
        ),
    ] {
        let found = parse(&path).unwrap();
        assert_eq!(found.pod, PodName::StaticHash(HASH.to_owned()), "{path}");
        assert_eq!(
            (found.qos, found.container.unwrap().id.as_str()),
            (Qos::Burstable, ID),
            "{path}"
        );
    }
}

#[test]
fn what_is_no_pod() {
    for path in [
        "",
        "/",
        "//",
        "/system.slice/sshd.service",
        "/kubepods",
        "/kubepods.slice/kubepods-burstable.slice",
        "/user.slice/podman.service",
        "/kubepods/pod",
        "/kubepods/pod1234",
        "/machine.slice/libpod-7b8952daecf4c0e44bbcefe1b5c5ebc7b4839d4eefeccefe694709d31809b6e4.scope",
        &format!("/docker/{NODE}"),
        &format!("/kubepods/{UID}/{ID}"),
        &format!("/kubepods/pod{UID}x/{ID}"),
        &format!("/kubepods/pod{}/{ID}", UID.replacen('-', "_", 1)),
        &format!("/kubepods/pod{}/{ID}", UID.replacen('2', "g", 1)),
        &format!("/tripod{UID_}.slice/{ID}"),
        &format!("/machine.slice/machine-libpod_pod_{ID}.slice"),
    ] {
        assert_eq!(parse(path), None, "{path}");
    }
}

#[test]
fn a_component_that_names_no_container_leaves_the_pod() {
    for name in [
        "init.scope",
        "123",
        &ID[1..],
        "cri-containerd-123.scope",
        "crio-conmon-123.scope",
    ] {
        let found = parse(&format!("/kubepods/pod{UID}/{name}")).unwrap();
        assert_eq!(found.container, None, "{name}");
    }
}

/// Names that somebody chose to be taken for a pod, and lengths and letters nobody expects.
#[test]
fn hostile_paths_name_what_stands_in_them_and_nothing_else() {
    let long = "a".repeat(4_000);
    let many = "/x".repeat(2_000);
    for path in [
        format!("/kubepods/pod{UID}{long}/{ID}"),
        format!("/kubepods/pod{long}"),
        format!("/kubepods/pod{UID}\u{301}/{ID}"),
        format!("/kubepods/pod\u{ff12}{}/{ID}", &UID[1..]),
        format!("/kubepods/ pod{UID}/{ID}"),
        format!("/kubepods/pod{UID} /{ID}"),
        format!("/kubepods/pod-{UID}/{ID}"),
        format!("/kubepods/pod{UID_}_/{ID}"),
        format!("/kubepods/pod{}/{ID}", "-".repeat(36)),
        format!("/kubepods/pod{}/{ID}", "_".repeat(32)),
        format!("/kubepods/pod{HASH}0/{ID}"),
        format!("/kubepods/POD{UID}/{ID}"),
        format!("/kubepods-pod.slice{UID_}/{ID}"),
        format!("/kubepods-burstable-pod{UID_}.slice.slice/{ID}"),
        format!("pod{UID}pod{UID}"),
    ] {
        assert_eq!(parse(&path), None, "{path}");
    }
    for path in [
        format!("{many}/kubepods/pod{UID}/{ID}{many}"),
        format!("//kubepods///pod{UID}//{ID}//"),
        format!("pod{UID}/{ID}"),
        format!("/kubepods/pod{UID}/{ID}/podless/pod/tripod{UID}"),
    ] {
        let found = parse(&path).unwrap();
        assert_eq!(found.pod, PodName::Uid(UID.to_owned()), "{path}");
        assert_eq!(found.container.unwrap().id, ID, "{path}");
    }
    for scope in [
        "",
        ":",
        ":cri-containerd",
        ":cri-containerd:",
        &format!(":a:b:{ID}x"),
        &format!(":{}", &ID[1..]),
    ] {
        let found = parse(&format!("/x/kubepods-pod{UID_}.slice{scope}")).unwrap();
        assert_eq!(found.container, None, "{scope}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(path in ".*") {
        let _ = parse(&path);
    }

    /// Whatever stands before a pod and below its container changes nothing, unless it names a pod itself.
    #[test]
    fn surroundings_do_not_matter(before in "(/[a-o.]{1,8}){0,3}", below in "(/[a-z.:-]{1,8}){0,3}") {
        for path in [
            format!("/kubepods/burstable/pod{UID}/{ID}"),
            format!("/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/cri-containerd-{ID}.scope"),
        ] {
            prop_assert!(parse(&path).is_some());
            assert_eq!(parse(&format!("{before}{path}{below}")), parse(&path));
        }
    }
}
