//! Whose socket it is, where that is not plain.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use flowtape::findings::Findings;
use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::Bound;

use crate::matrix::Row;
use crate::program::Recorder;
use crate::remote::Remote;
use crate::seen::Seen;
use crate::stage::Stage;
use crate::{Case, Outcome, Ran};

pub(crate) const CASES: &[Case] = &[
    Case::within("pods_on_the_network_of_the_host", host_network),
    Case::within("a_static_pod", static_pod),
    Case::within("a_control_group_that_is_no_pods", stray),
    Case::within("a_pod_that_only_version_1_knows", version_1),
    Case::within("a_thousand_pods_come_and_go", churn),
    Case::within("control_groups_the_kernel_could_not_tell_of", untold),
];

/// Two pods and a process of the node share one network: only the control group tells them apart.
fn host_network(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    let clients = [("one", 1), ("two", 2), ("node", 3)];
    for (client, count) in clients {
        for number in 0..count {
            stage.actor(client)?.connect(&format!("c{port}-{number}"), to)?;
        }
    }
    let from = Address::from(stage.v4("one", 0)?.ip());
    let mut rows = vec![Row::of_server("server", from, port, 6)];
    // The analyzer knows the process of the node by the node.
    let named = [("one", 1), ("two", 2), ("n1", 3)];
    rows.extend(named.map(|(who, count)| Row::out(who, to, count)));
    // As servers, too.
    for (number, server) in ["one", "two", "node"].into_iter().enumerate() {
        let to = stage.v4(server, port + 1 + u16::try_from(number)?)?;
        stage.actor(server)?.listen(&format!("l{}", to.port()), to)?;
        stage.actor("server")?.connect(&format!("c{}", to.port()), to)?;
        rows.extend(stage.both("server", named[number].0, to, 1)?);
    }
    Ok(Ran::Rows(rows))
}

/// The kubelet names its control group after a hash; its name in the API ends with that of its node.
fn static_pod(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("static", port)?;
    stage.actor("static")?.listen(&format!("l{port}"), to)?;
    stage.actor("client")?.connect(&format!("c{port}"), to)?;
    Ok(Ran::Rows(stage.both("client", "static", to, 1)?))
}

/// A process that stands in a pod's network and in no control group of it belongs to the pod all the same.
fn stray(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    let cgroup = stage.stray_cgroup()?.display().to_string();
    let netns = stage.place("client")?.netns.display().to_string();
    let mut stray = Remote::start(&cgroup, &netns)?;
    stray.connect(&format!("c{port}"), to)?;
    Ok(Ran::Rows(stage.both("client", "server", to, 1)?))
}

/// A pod in a version 1 hierarchy, and in the root of version 2 like everything else on such a machine: its network
/// namespace is known by its process.
fn version_1(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    let Some(hierarchy) = version_1_hierarchy()? else {
        return Ok(Ran::Skipped("no version 1 hierarchy is mounted"));
    };
    let uid = stage.pod("old")?.uid.clone();
    // By the name of the lab, which goes with it.
    let root = hierarchy.join(stage.lab.cgroup().file_name().ok_or("the lab has no control group")?);
    let container = root.join(format!("kubepods/burstable/pod{uid}/{:064x}", 1));
    std::fs::create_dir_all(&container)?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut pod = Remote::start(&container.display().to_string(), "-")?;
    stage.own.insert(pod.netns);
    pod.listen(&format!("l{port}"), to)?;
    pod.connect(&format!("c{port}"), to)?;
    let (netns, cookie) = (pod.netns, pod.value::<u64>(&format!("cookie l{port}"))?);
    // It lives on, for the recorder to find it now or at the end.
    stage.keep(pod);
    let check = move |seen: &Seen| {
        let rows: Vec<_> = seen.node()?.netns.iter().filter(|row| row.netns == netns).collect();
        let [row] = rows.as_slice() else {
            return Err(format!("{} rows of the namespace: {rows:?}", rows.len()).into());
        };
        // Before Linux 6.18 a namespace does not tell its cookie to who is outside.
        let same = row.cookie.is_none_or(|told| told == cookie);
        if row.pod_uid.as_deref() == Some(&uid) && row.valid_from.is_some() && same {
            return Ok(());
        }
        Err(format!("the namespace is {row:?}, its cookie {cookie}").into())
    };
    let from = Address::from(to.ip());
    let rows = vec![Row::out("old", to, 1), Row::of_server("old", from, port, 1)];
    Ok(Ran::Checked(rows, Box::new(check)))
}

/// Where a version 1 hierarchy is mounted that processes can be put into without any setting.
fn version_1_hierarchy() -> Outcome<Option<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let usable = |fields: &Vec<&str>| {
        let [_, _, kind, options, ..] = fields.as_slice() else {
            return false;
        };
        *kind == "cgroup"
            && options
                .split(',')
                .any(|option| option == "pids" || option == "name=systemd")
    };
    let mut found = fields.filter(usable).map(|fields| PathBuf::from(fields[1]));
    Ok(found.next())
}

/// Removes a control group and those below it, waiting for processes that were just ended.
fn remove(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    for _ in 0..200 {
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            _ => return,
        }
    }
}

/// Pods that live for a moment, some with a connection: each has its rows, with both ends as the kernel told them.
fn churn(stage: &mut Stage, port: u16) -> Outcome<Ran> {
    const PODS: usize = 1_000;
    const EVERY: usize = 100;
    const GROWTH_KIB: u64 = 16 << 10;
    let to = stage.v4("server", port)?;
    stage.actor("server")?.listen(&format!("l{port}"), to)?;
    let netns = stage.place("old")?.netns.display().to_string();
    let below = stage.lab.node_cgroup("n1").join("kubepods/burstable");
    let before = recorder_kib()?;
    let mut uids = BTreeSet::new();
    let mut connected = BTreeSet::new();
    for number in 0..PODS {
        // Of no other lab that does the same at the same time.
        let uid = format!("{number:08x}-0000-4000-8000-{:08x}c4a7", std::process::id());
        let pod = below.join(format!("pod{uid}"));
        let container = pod.join(format!("{number:064x}"));
        std::fs::create_dir_all(&container)?;
        if number % EVERY == 0 {
            let mut actor = Remote::start(&container.display().to_string(), &netns)?;
            actor.connect(&format!("c{port}"), to)?;
            drop(actor);
            connected.insert(uid.clone());
        }
        remove(&pod);
        uids.insert(uid);
    }
    let grown = recorder_kib()?.saturating_sub(before);
    if grown > GROWTH_KIB {
        return Err(format!("the recorder grew by {grown} KiB").into());
    }
    let from = Address::from(stage.v4("old", 0)?.ip());
    let count = u64::try_from(connected.len())?;
    // The metadata has none of these pods; which UIDs the connections are of is what the check looks at.
    let rows = vec![
        Row::of_server("server", from, port, count),
        Row::out("nobody", to, count),
    ];
    let check = move |seen: &Seen| {
        let node = seen.node()?;
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        let mut of_id: BTreeMap<u64, &str> = BTreeMap::new();
        for row in &node.cgroups {
            let Some(uid) = row.pod_uid.as_deref().filter(|uid| uids.contains(*uid)) else {
                continue;
            };
            let told = row.from_bound == Bound::Observed && row.to_bound == Bound::Observed;
            if !told || row.valid_from > row.valid_to {
                return Err(format!("not told by the kernel: {row:?}").into());
            }
            *found.entry(uid).or_default() += 1;
            of_id.insert(row.cgroup_id, uid);
        }
        let twice = found.values().filter(|rows| **rows == 2).count();
        if (found.len(), twice) != (PODS, PODS) {
            return Err(format!("{} pods, {twice} of them with two control groups", found.len()).into());
        }
        let flows = node.flows.iter().filter(|row| row.service_port == Some(port));
        let clients: BTreeSet<String> = flows
            .filter_map(|row| of_id.get(&row.cgroup_id?).map(|uid| (*uid).to_owned()))
            .collect();
        if clients == connected {
            return Ok(());
        }
        Err(format!("connections of {clients:?}, not of {connected:?}").into())
    };
    Ok(Ran::Checked(rows, Box::new(check)))
}

/// Memory of the recorder that this process has started, in KiB (proc(5), `VmRSS`).
fn recorder_kib() -> Outcome<u64> {
    let own = format!("PPid:\t{}", std::process::id());
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let command = std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        if status.lines().any(|line| line == own) && command.starts_with("flowtape-recorder\0record") {
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = resident.and_then(|text| text.split_whitespace().next());
            return Ok(number.ok_or("no VmRSS")?.parse()?);
        }
    }
    Err("no recorder is at work".into())
}

/// A recorder with a ring buffer of one page that is stopped while control groups are made: most records find no room. The
/// next look finds those groups, and says that it only supposes when they were made.
fn untold(stage: &mut Stage, _port: u16) -> Outcome<Ran> {
    const GROUPS: usize = 40;
    let tape = stage.home.path().join("untold");
    // SAFETY: asks for a number, without any pointer.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.to_string();
    let recorder = Recorder::start(&tape, &["--ring-bytes", &page])?;
    recorder.pause()?;
    let below = stage.lab.node_cgroup("n2").join("untold");
    for number in 0..GROUPS {
        std::fs::create_dir_all(below.join(number.to_string()))?;
    }
    recorder.resume()?;
    recorder.stop()?;
    let mut findings = Findings::default();
    let opened = flowtape::tape::open(&[tape], &mut findings)?;
    let rows = opened.nodes.iter().flat_map(|node| &node.cgroups);
    let bounds: Vec<Bound> = rows
        .filter(|row| row.path.contains("/untold/") && row.valid_from.is_some())
        .map(|row| row.from_bound)
        .collect();
    let supposed = bounds.iter().filter(|bound| **bound == Bound::Assumed).count();
    if bounds.len() == GROUPS && supposed > 0 {
        return Ok(Ran::Rows(Vec::new()));
    }
    Err(format!(
        "{} of {GROUPS} control groups have a row, {supposed} a supposed beginning",
        bounds.len()
    )
    .into())
}
