//! Snapshots to versions: which row held from when to when, and how that is known.

use std::collections::BTreeMap;

use super::{ClusterRows, MetadataError, Snapshot, Validity};
use crate::cluster::{
    Bound, ContainerRow, EndpointSliceRow, NamespaceRow, NetworkPolicyRow, NodeRow, PodRow, ServiceRow, WorkloadRow,
};
use crate::time::Time;

/// Times that objects state themselves, by UID.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    starts: BTreeMap<String, Time>,
    ends: BTreeMap<String, Time>,
    created: BTreeMap<String, Time>,
}

impl Declared {
    /// A pod's `status.startTime`, and the time its last container finished if it has ended.
    pub(super) fn pod(&mut self, uid: &str, start: Option<Time>, end: Option<Time>) {
        self.starts.extend(start.map(|time| (uid.to_owned(), time)));
        self.ends.extend(end.map(|time| (uid.to_owned(), time)));
    }

    /// `metadata.creationTimestamp` of anything but a pod, for which it says nothing about addresses.
    pub(super) fn created(&mut self, uid: &str, time: Option<Time>) {
        self.created.extend(time.map(|time| (uid.to_owned(), time)));
    }
}

pub(super) fn rows(mut snapshots: Vec<Snapshot>) -> Result<ClusterRows, MetadataError> {
    if snapshots.len() > 1 && snapshots.iter().any(|snapshot| snapshot.time.is_none()) {
        return Err(MetadataError::NoTime);
    }
    snapshots.sort_by_key(|snapshot| snapshot.time);
    if let Some(pair) = snapshots.windows(2).find(|pair| pair[0].time == pair[1].time) {
        return Err(MetadataError::SameTime {
            time: pair[0].time.unwrap_or_default(),
        });
    }
    Ok(ClusterRows {
        pods: table(&snapshots, |rows| &rows.pods, |row| row.uid.clone(), pod_uid),
        containers: table(
            &snapshots,
            |rows| &rows.containers,
            container_key,
            |row| row.pod_uid.clone(),
        ),
        services: table(
            &snapshots,
            |rows| &rows.services,
            |row| row.uid.clone(),
            |row| row.uid.clone(),
        ),
        endpoint_slices: table(
            &snapshots,
            |rows| &rows.endpoint_slices,
            |row| row.uid.clone(),
            |row| row.uid.clone(),
        ),
        namespaces: table(
            &snapshots,
            |rows| &rows.namespaces,
            |row| row.uid.clone(),
            |row| row.uid.clone(),
        ),
        nodes: table(
            &snapshots,
            |rows| &rows.nodes,
            |row| row.uid.clone(),
            |row| row.uid.clone(),
        ),
        workloads: table(
            &snapshots,
            |rows| &rows.workloads,
            |row| row.uid.clone(),
            |row| row.uid.clone(),
        ),
        network_policies: table(
            &snapshots,
            |rows| &rows.network_policies,
            |row| row.uid.clone(),
            |row| row.uid.clone(),
        ),
    })
}

fn pod_uid(row: &PodRow) -> String {
    row.uid.clone()
}

fn container_key(row: &ContainerRow) -> String {
    format!("{}/{}", row.pod_uid, row.name)
}

/// A version that has begun and not ended.
struct Open<R> {
    row: R,
    from: (Option<Time>, Bound),
    declared_end: Option<Time>,
}

/// The versions of one table. `key` names an object within it, `owner` is the UID under which times were declared.
fn table<R: Clone + Ord + Validity>(
    snapshots: &[Snapshot],
    rows: impl Fn(&ClusterRows) -> &Vec<R>,
    key: impl Fn(&R) -> String,
    owner: impl Fn(&R) -> String,
) -> Vec<R> {
    let mut open: BTreeMap<String, Open<R>> = BTreeMap::new();
    let mut done = Vec::new();
    for snapshot in snapshots {
        let mut present = BTreeMap::new();
        for row in rows(&snapshot.rows) {
            let (key, owner) = (key(row), owner(row));
            let end = snapshot.declared.ends.get(&owner).copied();
            let from = match open.remove(&key) {
                Some(before) if same_content(&before.row, row) => before.from,
                Some(before) => {
                    close(&mut done, before, snapshot.time);
                    (snapshot.time, Bound::Assumed)
                }
                None => first_start(snapshot, &owner),
            };
            present.insert(
                key,
                Open {
                    row: row.clone(),
                    from,
                    declared_end: end,
                },
            );
        }
        for before in std::mem::replace(&mut open, present).into_values() {
            close(&mut done, before, snapshot.time);
        }
    }
    for version in open.into_values() {
        close(&mut done, version, None);
    }
    done.sort();
    done
}

/// When an object that no earlier snapshot had began to hold: as it states itself, otherwise unknown.
fn first_start(snapshot: &Snapshot, owner: &str) -> (Option<Time>, Bound) {
    let Declared { starts, created, .. } = &snapshot.declared;
    let created = created.get(owner).filter(|_| snapshot.time.is_some());
    match starts.get(owner).or(created) {
        Some(time) => (Some(*time), Bound::Declared),
        None => (None, Bound::Assumed),
    }
}

fn close<R: Validity>(done: &mut Vec<R>, version: Open<R>, end: Option<Time>) {
    let Open {
        mut row,
        from,
        declared_end,
    } = version;
    let to = match declared_end {
        Some(time) => (Some(time), Bound::Declared),
        None => (end, Bound::Assumed),
    };
    // A new version can be seen after the end that it declares.
    let from = if to.0.is_some() && from.0 > to.0 {
        (to.0, from.1)
    } else {
        from
    };
    row.set_validity(from, to);
    done.push(row);
}

fn same_content<R: Clone + Eq + Validity>(a: &R, b: &R) -> bool {
    let (mut a, mut b) = (a.clone(), b.clone());
    a.forget_resource_version();
    b.forget_resource_version();
    a == b
}

macro_rules! validity {
    ($($row:ty { $($version:ident)? }),* $(,)?) => {$(
        impl Validity for $row {
            fn set_validity(&mut self, from: (Option<Time>, Bound), to: (Option<Time>, Bound)) {
                (self.valid_from, self.from_bound) = from;
                (self.valid_to, self.to_bound) = to;
            }

            fn forget_resource_version(&mut self) {
                $(self.$version = None;)?
            }
        }
    )*};
}
validity! {
    PodRow { resource_version },
    ContainerRow {},
    ServiceRow { resource_version },
    EndpointSliceRow { resource_version },
    NamespaceRow { resource_version },
    NodeRow { resource_version },
    WorkloadRow { resource_version },
    NetworkPolicyRow { resource_version },
}
