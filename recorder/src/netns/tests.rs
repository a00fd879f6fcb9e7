//! Pods and namespaces in made-up trees of `/proc` and control groups.

use super::{Namespaces, parse_link};
use crate::cgroup::track::Cgroups;
use crate::cgroup::walk::Hierarchy;
use flowtape_schemas::node::NetnsRow;
use flowtape_schemas::time::Time;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";

fn process(root: &Path, process: &str, netns: &str) {
    fs::create_dir_all(root.join(process).join("ns")).unwrap();
    symlink(netns, root.join(process).join("ns/net")).unwrap();
}

fn cgroup(root: &Path, path: &str, processes: &str) {
    fs::create_dir_all(root.join(path)).unwrap();
    fs::write(root.join(path).join("cgroup.procs"), processes).unwrap();
}

#[test]
fn links_of_namespaces() {
    assert_eq!(parse_link("net:[4026531840]"), Some(4_026_531_840));
    for link in ["", "net:[]", "net:[x]", "mnt:[1]", "net:[99999999999]", "/etc"] {
        assert_eq!(parse_link(link), None, "{link}");
    }
}

#[test]
fn a_pod_has_the_namespace_of_its_processes_until_it_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let (proc, mount) = (home.path().join("proc"), home.path().join("cgroup"));
    process(&proc, "1", "net:[10]");
    process(&proc, "7", "net:[11]");
    let (pod, host_pod) = (
        format!("/kubepods/pod{UID}"),
        format!("/kubepods/pod{}", UID.replacen('2', "3", 1)),
    );
    // The first process cannot be seen, the second is gone.
    cgroup(&mount, &pod[1..], "0\n6\n7\n");
    cgroup(&mount, &host_pod[1..], "1\n");
    let hierarchy = Hierarchy {
        mount,
        root: "/".to_owned(),
    };
    let mut cgroups = Cgroups::default();
    cgroups.made(1, pod.clone(), Time(5));
    cgroups.made(2, host_pod, Time(5));
    let mut all = Namespaces::new(proc, false);
    all.look(Time(6), Some(&hierarchy), &mut cgroups);
    let live = all.live();
    assert_eq!(live.len(), 2, "a pod in the host's namespace does not own it");
    assert_eq!((live[0].netns, live[0].is_host, &live[0].pod_uid), (10, true, &None));
    assert_eq!((live[1].netns, live[1].pod_uid.as_deref()), (11, Some(UID)));
    assert_eq!(live[1].valid_from, Some(Time(5)));

    cgroups.removed(1, pod, Time(8));
    all.look(Time(9), Some(&hierarchy), &mut cgroups);
    assert_eq!(all.live().len(), 1);
    let ended = all.take_ended();
    assert_eq!(
        (ended[0].netns, ended[0].valid_to),
        (11, Some(Time(8))),
        "with its last control group, not when that was noticed"
    );
}

fn pods_in(rows: &[NetnsRow]) -> Vec<(u32, &str, Option<Time>, Option<Time>)> {
    rows.iter()
        .filter_map(|row| Some((row.netns, row.pod_uid.as_deref()?, row.valid_from, row.valid_to)))
        .collect()
}

/// One namespace number, two pods after each other: their intervals do not touch.
#[test]
fn a_number_that_is_used_again_belongs_to_each_in_its_time() {
    let home = tempfile::tempdir().unwrap();
    let (proc, mount) = (home.path().join("proc"), home.path().join("cgroup"));
    process(&proc, "1", "net:[10]");
    process(&proc, "7", "net:[11]");
    let hierarchy = Hierarchy {
        mount: mount.clone(),
        root: "/".to_owned(),
    };
    let (first, second) = (
        format!("/kubepods/pod{UID}"),
        format!("/kubepods/pod{}", UID.replacen('2', "3", 1)),
    );
    cgroup(&mount, &first[1..], "7\n");
    let mut cgroups = Cgroups::default();
    let mut all = Namespaces::new(proc, false);
    cgroups.made(1, first.clone(), Time(1));
    all.look(Time(2), Some(&hierarchy), &mut cgroups);
    cgroups.removed(1, first, Time(3));
    cgroups.made(2, second.clone(), Time(4));
    cgroup(&mount, &second[1..], "7\n");
    all.look(Time(9), Some(&hierarchy), &mut cgroups);
    assert_eq!(pods_in(&all.take_ended()), [(11, UID, Some(Time(1)), Some(Time(3)))]);
    let other = UID.replacen('2', "3", 1);
    assert_eq!(pods_in(&all.live()), [(11, other.as_str(), Some(Time(4)), None)]);
}

/// The container that the namespace was found by goes, another of the pod stays.
#[test]
fn a_restarted_container_leaves_the_namespace_to_its_pod() {
    let home = tempfile::tempdir().unwrap();
    let (proc, mount) = (home.path().join("proc"), home.path().join("cgroup"));
    process(&proc, "1", "net:[10]");
    process(&proc, "7", "net:[11]");
    let hierarchy = Hierarchy {
        mount: mount.clone(),
        root: "/".to_owned(),
    };
    let container = |number: u64| format!("/kubepods/pod{UID}/{number:064x}");
    let mut cgroups = Cgroups::default();
    let mut all = Namespaces::new(proc, false);
    for number in 1..=3 {
        cgroup(&mount, &container(number)[1..], "7\n");
    }
    cgroups.made(2, container(2), Time(4));
    all.look(Time(5), Some(&hierarchy), &mut cgroups);
    // Whichever is found first, the namespace is the pod's since the older one.
    cgroups.made(1, container(1), Time(3));
    all.look(Time(6), Some(&hierarchy), &mut cgroups);
    cgroups.removed(2, container(2), Time(7));
    cgroups.made(3, container(3), Time(8));
    all.look(Time(9), Some(&hierarchy), &mut cgroups);
    assert_eq!(pods_in(&all.live()), [(11, UID, Some(Time(3)), None)]);
    assert_eq!(pods_in(&all.take_ended()), []);
}

fn member(root: &Path, number: &str, netns: &str, groups: &str) {
    process(root, number, netns);
    fs::write(root.join(number).join("cgroup"), groups).unwrap();
}

/// What a process of a pod has where only version 1 knows pods.
fn version_1(path: &str) -> String {
    format!("12:pids:{path}\n4:cpu,cpuacct:{path}\n1:name=systemd:{path}\n0::/\n")
}

#[test]
fn version_1_pods_are_found_by_their_processes() {
    let home = tempfile::tempdir().unwrap();
    let proc = home.path();
    let pod = version_1(&format!("/kubepods/burstable/pod{UID}/{:064x}", 1));
    member(proc, "1", "net:[10]", "0::/init.scope\n");
    // The runtime sets the namespace up; the pod's own process comes after it.
    member(proc, "20", "net:[11]", &version_1("/system.slice/containerd.service"));
    member(proc, "21", "net:[11]", &pod);
    // A pod on the network of the host, and something that is no pod.
    member(proc, "30", "net:[10]", &pod);
    member(proc, "40", "net:[12]", &version_1("/machine.slice/x.scope"));
    fs::create_dir(proc.join("sys")).unwrap();

    let mut cgroups = Cgroups::default();
    let mut unified = Namespaces::new(proc.to_owned(), false);
    unified.look(Time(5), None, &mut cgroups);
    assert_eq!(
        pods_in(&unified.live()),
        [],
        "not looked for where there is no version 1"
    );
    let mut all = Namespaces::new(proc.to_owned(), true);
    all.look(Time(5), None, &mut cgroups);
    assert_eq!(pods_in(&all.live()), [(11, UID, None, None)]);

    fs::remove_dir_all(proc.join("20")).unwrap();
    all.look(Time(6), None, &mut cgroups);
    assert_eq!(pods_in(&all.live()), [(11, UID, None, None)]);
    fs::remove_dir_all(proc.join("21")).unwrap();
    all.look(Time(7), None, &mut cgroups);
    assert_eq!(pods_in(&all.live()), []);
    assert_eq!(pods_in(&all.take_ended()), [(11, UID, None, Some(Time(7)))]);
}

#[test]
fn an_event_of_an_unknown_namespace_is_looked_into_at_once() {
    let home = tempfile::tempdir().unwrap();
    let proc = home.path();
    member(proc, "1", "net:[10]", "0::/init.scope\n");
    let mut cgroups = Cgroups::default();
    let mut all = Namespaces::new(proc.to_owned(), true);
    all.look(Time(5), None, &mut cgroups);
    member(
        proc,
        "21",
        "net:[11]",
        &version_1(&format!("/kubepods/pod{UID}/{:064x}", 1)),
    );
    all.ask(11, 99);
    assert_eq!(pods_in(&all.live()), [], "that process is gone");
    all.ask(12, 21);
    assert_eq!(pods_in(&all.live()), [], "that process is elsewhere by now");
    all.ask(11, 21);
    assert_eq!(pods_in(&all.live()), [(11, UID, Some(Time(5)), None)]);
    // The pod is gone before anybody looks again.
    fs::remove_dir_all(proc.join("21")).unwrap();
    all.look(Time(15), None, &mut cgroups);
    assert_eq!(pods_in(&all.take_ended()), [(11, UID, Some(Time(5)), Some(Time(15)))]);
    // Whoever asks about ever more processes costs no more than so many looks.
    for process in 0..5_000 {
        all.ask(13, process);
    }
    assert_eq!(all.asked.len(), super::QUESTIONS);
}
