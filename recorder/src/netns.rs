//! Which pod a network namespace belongs to: the second key, for sockets whose control group says nothing.
//!
//! A pod's processes stand in its control groups, and `/proc/PID/ns/net` says where they are. That needs to see the host's
//! processes and may need `CAP_SYS_PTRACE`; where it is not allowed the table stays short, and the control group decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::NetnsRow;
use flowtape_schemas::time::Time;

use crate::cgroup::path::PodName;
use crate::cgroup::track::Cgroups;
use crate::cgroup::walk::Hierarchy;

/// Every network namespace of the node that is known.
#[derive(Debug)]
pub struct Namespaces {
    proc: PathBuf,
    host: Option<u32>,
    /// By namespace and pod.
    live: BTreeMap<(u32, String), Option<Time>>,
    /// Control groups that need no second look.
    known: BTreeSet<u64>,
    ended: Vec<NetnsRow>,
}

impl Namespaces {
    /// Knows the host's namespace, which the first process is in; `proc` is where procfs is mounted.
    #[must_use]
    pub fn new(proc: PathBuf) -> Self {
        let host = of_process(&proc, "1").or_else(|| of_process(&proc, "self"));
        Self {
            proc,
            host,
            live: BTreeMap::new(),
            known: BTreeSet::new(),
            ended: Vec::new(),
        }
    }

    /// Looks into the control groups of pods that were not known yet, and ends the namespaces of pods that are gone.
    pub fn look(&mut self, at: Time, hierarchy: &Hierarchy, cgroups: &Cgroups) {
        let mut pods = BTreeSet::new();
        for pod in cgroups.live_pods() {
            let PodName::Uid(uid) = pod.pod else {
                // The API knows a static pod by another UID; the analyzer joins by its control group.
                continue;
            };
            if !self.known.contains(&pod.cgroup_id)
                && let Some(netns) = self.of_cgroup(hierarchy, pod.path)
            {
                self.known.insert(pod.cgroup_id);
                // A pod in the host's namespace (hostNetwork) does not own it.
                if Some(netns) != self.host {
                    self.live.entry((netns, uid.clone())).or_insert(pod.from);
                }
            }
            pods.insert(uid);
        }
        let ids: BTreeSet<u64> = cgroups.live_pods().map(|pod| pod.cgroup_id).collect();
        self.known.retain(|id| ids.contains(id));
        let gone: Vec<(u32, String)> = self
            .live
            .keys()
            .filter(|(_, uid)| !pods.contains(uid))
            .cloned()
            .collect();
        for (netns, uid) in gone {
            let from = self.live.remove(&(netns, uid.clone())).flatten();
            self.ended.push(row(netns, Some(uid), from, Some(at)));
        }
    }

    /// What ended since the last call.
    pub fn take_ended(&mut self) -> Vec<NetnsRow> {
        std::mem::take(&mut self.ended)
    }

    /// What is there now: the host's own, and one for each pod.
    #[must_use]
    pub fn live(&self) -> Vec<NetnsRow> {
        let pods = self
            .live
            .iter()
            .map(|((netns, uid), from)| row(*netns, Some(uid.clone()), *from, None));
        self.host
            .map(|host| row(host, None, None, None))
            .into_iter()
            .chain(pods)
            .collect()
    }

    fn of_cgroup(&self, hierarchy: &Hierarchy, path: &str) -> Option<u32> {
        let below = path
            .strip_prefix(hierarchy.root.trim_end_matches('/'))?
            .trim_start_matches('/');
        let processes = fs::read_to_string(hierarchy.mount.join(below).join("cgroup.procs")).ok()?;
        // `0` is a process that this namespace of processes cannot see.
        let mut visible = processes.lines().filter(|&process| process != "0");
        visible.find_map(|process| of_process(&self.proc, process))
    }
}

/// The inode number of the namespace a process is in, or `None` if it may not be seen.
fn of_process(proc: &Path, process: &str) -> Option<u32> {
    let link = fs::read_link(proc.join(process).join("ns/net")).ok()?;
    parse_link(link.to_str()?)
}

/// `net:[4026531840]` (namespaces(7)).
fn parse_link(link: &str) -> Option<u32> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

fn row(netns: u32, pod_uid: Option<String>, from: Option<Time>, to: Option<Time>) -> NetnsRow {
    NetnsRow {
        netns,
        cookie: None,
        is_host: pod_uid.is_none(),
        pod_uid,
        valid_from: from,
        from_bound: Bound::Assumed,
        valid_to: to,
        to_bound: Bound::Assumed,
    }
}

#[cfg(test)]
mod tests {
    use super::{Namespaces, parse_link};
    use crate::cgroup::track::Cgroups;
    use crate::cgroup::walk::Hierarchy;
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
        let mut all = Namespaces::new(proc);
        all.look(Time(6), &hierarchy, &cgroups);
        let live = all.live();
        assert_eq!(live.len(), 2, "a pod in the host's namespace does not own it");
        assert_eq!((live[0].netns, live[0].is_host, &live[0].pod_uid), (10, true, &None));
        assert_eq!((live[1].netns, live[1].pod_uid.as_deref()), (11, Some(UID)));
        assert_eq!(live[1].valid_from, Some(Time(5)));

        cgroups.removed(1, pod, Time(8));
        all.look(Time(9), &hierarchy, &cgroups);
        assert_eq!(all.live().len(), 1);
        let ended = all.take_ended();
        assert_eq!((ended[0].netns, ended[0].valid_to), (11, Some(Time(9))));
    }
}
