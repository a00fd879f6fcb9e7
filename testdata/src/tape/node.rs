//! Tables of one node besides its traffic.

use std::collections::BTreeMap;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::{
    CgroupRow, ClockRow, Counter, EventRow, Hook, ListenRow, NameRow, NetnsRow, Qos, Runtime, SocketRow, StatsRow,
};
use flowtape_schemas::time::Time;

use super::{INTERVAL, View};
use crate::connection::listeners;
use crate::layout::cgroup::proxy_id;
use crate::layout::{Cgroup, HOST_NETNS, Pod};
use crate::model::{CgroupDriver, ClientSocket, Offset, Protocol, Workload};

/// How long a node has been up when the window starts: ten days, and less for every later node.
const UP: i64 = 864_000_000_000_000;

/// Beginning and end of something, each with how it is known.
type Validity = ((Option<Time>, Bound), (Option<Time>, Bound));

impl View<'_> {
    fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.layout.pods.iter().filter(|pod| pod.node == self.place)
    }

    /// A pod's life as the node's recorder saw it; ends outside the window were not seen.
    fn life(&self, from: Option<Offset>, to: Option<Offset>) -> Validity {
        let seen = |at: Option<Offset>| match at.filter(|at| (Offset(0)..=self.scenario.window).contains(at)) {
            Some(at) => (Some(self.time(at)), Bound::Observed),
            None => (None, Bound::Assumed),
        };
        (seen(from), seen(to))
    }

    /// Whether a pod was there at any time of the window.
    fn saw(&self, pod: &Pod) -> bool {
        pod.from.is_none_or(|from| from <= self.scenario.window) && pod.to.is_none_or(|to| to >= Offset(0))
    }
}

pub(super) fn listens(view: &View<'_>) -> Vec<ListenRow> {
    let mut rows: Vec<ListenRow> = listeners(view.scenario, view.layout, view.connections)
        .into_iter()
        .filter(|listener| listener.socket.node == view.place)
        .filter_map(|listener| {
            let pod = listener.socket.pod.and_then(|pod| view.layout.pods.get(pod));
            if pod.is_some_and(|pod| !view.saw(pod)) {
                return None;
            }
            let machine = view.layout.machines.get(view.place)?;
            let (from, to) = pod.map_or_else(|| view.life(None, None), |pod| view.life(pod.from, pod.to));
            Some(ListenRow {
                protocol: listener.protocol.number(),
                local_ip: None,
                port: listener.port,
                backlog: (listener.protocol == Protocol::Tcp).then_some(128),
                cgroup_id: Some(pod.map_or(machine.cgroup.id, |pod| pod.container_cgroup.id)),
                netns: Some(pod.map_or(HOST_NETNS, |pod| pod.netns)),
                valid_from: from.0,
                from_bound: from.1,
                valid_to: to.0,
                to_bound: to.1,
                hook: Hook::Synthetic,
            })
        })
        .collect();
    rows.sort();
    rows
}

/// Sockets besides those of the traffic.
pub(super) fn sockets(view: &View<'_>) -> Vec<SocketRow> {
    let mut rows: Vec<SocketRow> = Vec::new();
    for sockets in &view.scenario.sockets {
        let pods = view.layout.pods_of(view.scenario, &sockets.owner, sockets.at);
        for (_, pod) in pods.filter(|(_, pod)| pod.node == view.place) {
            let (start, end) = view.interval(sockets.at);
            rows.push(SocketRow {
                interval_start: view.time(start),
                interval_end: view.time(end),
                family: sockets.family,
                socket_type: sockets.socket_type,
                protocol: sockets.protocol,
                cgroup_id: Some(pod.container_cgroup.id),
                netns: Some(pod.netns),
                count: sockets.count,
                first_seen: view.time(sockets.at),
                last_seen: view.time(sockets.at),
                hook: Hook::Synthetic,
            });
        }
    }
    rows.sort();
    rows
}

pub(super) fn cgroups(view: &View<'_>) -> Vec<CgroupRow> {
    let row = |cgroup: &Cgroup, (from, to): Validity| CgroupRow {
        cgroup_id: cgroup.id,
        path: cgroup.path.clone(),
        pod_uid: None,
        static_pod_hash: None,
        container_id: None,
        runtime: None,
        qos: None,
        valid_from: from.0,
        from_bound: from.1,
        valid_to: to.0,
        to_bound: to.1,
    };
    let mut rows: Vec<CgroupRow> = view
        .layout
        .machines
        .get(view.place)
        .map(|machine| row(&machine.cgroup, view.life(None, None)))
        .into_iter()
        .collect();
    for pod in view.pods().filter(|pod| view.saw(pod)) {
        let of_pod = CgroupRow {
            pod_uid: pod.config_hash.is_none().then(|| pod.uid.clone()),
            static_pod_hash: pod.config_hash.clone(),
            qos: Some(Qos::Burstable),
            ..row(&pod.cgroup, view.life(pod.from, pod.to))
        };
        let of_container = |cgroup: &Cgroup, container_id: String| CgroupRow {
            cgroup_id: cgroup.id,
            path: cgroup.path.clone(),
            container_id: Some(container_id),
            runtime: Some(match view.node.cgroups {
                CgroupDriver::Cgroupfs => Runtime::Unnamed,
                CgroupDriver::Systemd => Runtime::Containerd,
            }),
            ..of_pod.clone()
        };
        rows.push(of_container(&pod.container_cgroup, pod.container_id.clone()));
        let workload = view.scenario.workloads.get(pod.workload);
        if let Some(cgroup) = &pod.proxy_cgroup
            && workload.is_some_and(Workload::has_sidecar)
        {
            rows.push(of_container(cgroup, proxy_id(pod)));
        }
        rows.push(of_pod);
    }
    rows.sort();
    rows
}

pub(super) fn netns(view: &View<'_>) -> Vec<NetnsRow> {
    let row = |netns: u32, pod: Option<&Pod>| {
        let (from, to) = pod.map_or_else(|| view.life(None, None), |pod| view.life(pod.from, pod.to));
        NetnsRow {
            netns,
            cookie: None,
            pod_uid: pod.filter(|pod| pod.config_hash.is_none()).map(|pod| pod.uid.clone()),
            is_host: pod.is_none(),
            valid_from: from.0,
            from_bound: from.1,
            valid_to: to.0,
            to_bound: to.1,
        }
    };
    let own = view
        .pods()
        .filter(|pod| pod.netns != HOST_NETNS && view.saw(pod))
        .map(|pod| row(pod.netns, Some(pod)));
    let mut rows: Vec<NetnsRow> = std::iter::once(row(HOST_NETNS, None)).chain(own).collect();
    rows.sort();
    rows
}

/// Names that clients of this node asked for before they connected, one answer for each connection.
pub(super) fn names(view: &View<'_>) -> Vec<NameRow> {
    let mut rows: BTreeMap<(&str, Address, Address), NameRow> = BTreeMap::new();
    for connection in view.connections {
        let traffic = view.scenario.traffic.get(connection.traffic);
        let asked = traffic.filter(|traffic| traffic.socket == ClientSocket::Named);
        let here = connection.client_socket.is_some_and(|socket| socket.node == view.place);
        let name = asked.and_then(|traffic| view.scenario.name_of(&traffic.server));
        let Some(name) = name.filter(|_| here) else { continue };
        let (client, address) = (Address::from(connection.client.0), Address::from(connection.dialed.0));
        let at = view.time(connection.at);
        let row = rows.entry((name, address, client)).or_insert_with(|| NameRow {
            name: name.to_owned(),
            address,
            client_ip: Some(client),
            first_seen: at,
            last_seen: at,
            ttl_seconds: Some(60),
            count: 0,
            hook: Hook::Synthetic,
        });
        row.first_seen = row.first_seen.min(at);
        row.last_seen = row.last_seen.max(at);
        row.count += 1;
    }
    rows.into_values().collect()
}

pub(super) fn stats(view: &View<'_>, events: &[EventRow]) -> Vec<StatsRow> {
    let mut counts: BTreeMap<(Offset, Hook, Counter), u64> = BTreeMap::new();
    for event in events {
        let at = Offset(event.time.0 - view.time(Offset(0)).0);
        for counter in [Counter::Counted, Counter::Samples] {
            *counts.entry((at, Hook::Synthetic, counter)).or_default() += 1;
        }
    }
    for loss in view.scenario.losses.iter().filter(|loss| loss.node == view.node.name) {
        *counts.entry((loss.at, loss.hook, loss.counter)).or_default() += loss.count;
    }
    let mut by_interval: BTreeMap<(Offset, Offset, Hook, Counter), u64> = BTreeMap::new();
    for ((at, hook, counter), value) in counts {
        let (start, end) = view.interval(at);
        *by_interval.entry((start, end, hook, counter)).or_default() += value;
    }
    for gap in view.scenario.gaps.iter().filter(|gap| gap.node == view.node.name) {
        let mut start = Offset(0);
        while start < view.scenario.window {
            let (start_of, end) = view.interval(start);
            let blind = gap.at.last.min(end).0 - gap.at.first.max(start_of).0;
            if let Ok(blind) = u64::try_from(blind) {
                *by_interval
                    .entry((start_of, end, Hook::SetState, Counter::BlindNanos))
                    .or_default() += blind;
            }
            start = Offset(start_of.0 + INTERVAL);
        }
    }
    let row = |((start, end, hook, counter), value): ((Offset, Offset, Hook, Counter), u64)| StatsRow {
        interval_start: view.time(start),
        interval_end: view.time(end),
        hook,
        counter,
        value,
    };
    by_interval
        .into_iter()
        .filter(|(_, value)| *value > 0)
        .map(row)
        .collect()
}

pub(super) fn clock(view: &View<'_>) -> Vec<ClockRow> {
    let booted = UP - 3_600_000_000_000 * i64::try_from(view.place).unwrap_or(0);
    let sample = |at: Offset| ClockRow {
        boot_nanos: u64::try_from(booted.saturating_add(at.0)).unwrap_or(0),
        wall_time: view.time(at),
    };
    vec![sample(Offset(0)), sample(view.scenario.window)]
}
