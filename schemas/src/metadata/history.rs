//! The versions of every object: which row held from when to when, and how that is known.

use std::collections::BTreeMap;

use super::{ClusterRows, Reduced};
use crate::cluster::{
    Bound, ContainerRow, EndpointSliceRow, NamespaceRow, NetworkPolicyRow, NodeRow, PodRow, ServiceRow, WorkloadRow,
};
use crate::time::Time;

/// One end of an interval.
type End = (Option<Time>, Bound);

/// Times that an object states itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Declared {
    start: Option<Time>,
    end: Option<Time>,
    created: Option<Time>,
}

impl Declared {
    /// A pod's `status.startTime`, and the time its last container finished if it has ended.
    pub(super) fn pod(&mut self, start: Option<Time>, end: Option<Time>) {
        (self.start, self.end) = (start, end);
    }

    /// `metadata.creationTimestamp` of anything but a pod, for which it says nothing about addresses.
    pub(super) fn created(&mut self, time: Option<Time>) {
        self.created = time;
    }
}

/// When a state of an object became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The moment; `None` for a snapshot without a time.
    pub at: Option<Time>,
    /// `Observed` if the object changed then, `Assumed` if it had changed some time before.
    pub bound: Bound,
}

impl Seen {
    fn end(self) -> End {
        (self.at, self.bound)
    }
}

/// Versions of objects, in the order in which they are told.
#[derive(Debug, Default)]
pub struct History {
    pods: Versions<PodRow>,
    containers: Versions<ContainerRow>,
    services: Versions<ServiceRow>,
    endpoint_slices: Versions<EndpointSliceRow>,
    namespaces: Versions<NamespaceRow>,
    nodes: Versions<NodeRow>,
    workloads: Versions<WorkloadRow>,
    network_policies: Versions<NetworkPolicyRow>,
}

/// Does the same to every table.
macro_rules! each {
    ($history:expr, $versions:ident, $rows:ident => $what:expr) => {{
        each!(@ $history, $versions, $rows, $what,
            pods, containers, services, endpoint_slices, namespaces, nodes, workloads, network_policies)
    }};
    (@ $history:expr, $versions:ident, $rows:ident, $what:expr, $($table:ident),*) => {
        ClusterRows { $($table: {
            let $versions = &mut $history.$table;
            let $rows = |rows: &mut ClusterRows| std::mem::take(&mut rows.$table);
            $what
        }),* }
    };
}

impl History {
    /// An object as it is from now on, or has been since some time before.
    pub fn put(&mut self, object: Reduced, seen: Seen) {
        let Reduced {
            id,
            resource_version: _,
            mut rows,
            declared,
        } = object;
        each!(self, versions, taken => {
            versions.put(&id, taken(&mut rows), declared, seen);
            Vec::new()
        });
    }

    /// An object is no longer there.
    pub fn remove(&mut self, id: &str, seen: Seen) {
        each!(self, versions, _rows => {
            versions.put(id, Vec::new(), Declared::default(), seen);
            Vec::new()
        });
    }

    /// The versions that ended since the last call.
    pub fn take_ended(&mut self) -> ClusterRows {
        each!(self, versions, _rows => std::mem::take(&mut versions.ended))
    }

    /// How many versions [`Self::take_ended`] would give.
    #[must_use]
    pub fn ended(&self) -> usize {
        let Self {
            pods,
            containers,
            services,
            endpoint_slices,
            namespaces,
            nodes,
            workloads,
            network_policies,
        } = self;
        [
            pods.ended.len(),
            containers.ended.len(),
            services.ended.len(),
            endpoint_slices.ended.len(),
            namespaces.ended.len(),
            nodes.ended.len(),
            workloads.ended.len(),
            network_policies.ended.len(),
        ]
        .iter()
        .sum()
    }

    /// The versions that have not ended, as they would be written if nothing more were known.
    pub fn open(&mut self) -> ClusterRows {
        each!(self, versions, _rows => versions.open())
    }

    /// Every version, sorted.
    #[must_use]
    pub fn finish(mut self) -> ClusterRows {
        each!(self, versions, _rows => {
            let mut rows = versions.open();
            rows.append(&mut versions.ended);
            rows.sort();
            rows
        })
    }
}

/// What every row of metadata has.
trait Version: Clone + Ord {
    /// Tells the rows of one object apart.
    fn part(&self) -> &str;
    fn set_validity(&mut self, from: End, to: End);
    fn forget_resource_version(&mut self);
    /// Whether this version only knows more than the one before: what it says held from the beginning that the object
    /// declares.
    fn completes(&self, before: &Self) -> bool;
}

/// A version that has begun and not ended.
#[derive(Clone, Debug)]
struct Open<R> {
    row: R,
    from: End,
    declared_end: Option<Time>,
}

/// The versions of one table.
#[derive(Debug)]
struct Versions<R> {
    /// By object and part of it.
    open: BTreeMap<String, BTreeMap<String, Open<R>>>,
    ended: Vec<R>,
}

impl<R> Default for Versions<R> {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            ended: Vec::new(),
        }
    }
}

impl<R: Version> Versions<R> {
    /// The rows of an object; none if it is gone.
    fn put(&mut self, id: &str, rows: Vec<R>, declared: Declared, seen: Seen) {
        let mut before = self.open.remove(id).unwrap_or_default();
        let mut present = BTreeMap::new();
        for row in rows {
            let part = row.part().to_owned();
            let from = match before.remove(&part) {
                Some(open) if same_content(&open.row, &row) => open.from,
                Some(open) => {
                    let change = change(&open.row, &row, declared, seen);
                    self.ended.push(closed(open, change));
                    change
                }
                None => first_start(declared, seen),
            };
            let declared_end = declared.end;
            present.insert(
                part,
                Open {
                    row,
                    from,
                    declared_end,
                },
            );
        }
        self.ended
            .extend(before.into_values().map(|open| closed(open, seen.end())));
        if !present.is_empty() {
            self.open.insert(id.to_owned(), present);
        }
    }

    fn open(&self) -> Vec<R> {
        let open = self.open.values().flat_map(BTreeMap::values).cloned();
        open.map(|version| closed(version, (None, Bound::Assumed))).collect()
    }
}

/// When one version gave way to the next.
fn change<R: Version>(before: &R, after: &R, declared: Declared, seen: Seen) -> End {
    let declared = match declared.start {
        Some(start) if after.completes(before) => Some(start),
        Some(_) | None => declared.end,
    };
    declared.map_or_else(|| seen.end(), |time| (Some(time), Bound::Declared))
}

/// When an object that was not known began to hold: as it states itself, or when it was seen to appear.
fn first_start(declared: Declared, seen: Seen) -> End {
    let created = declared.created.filter(|_| seen.at.is_some());
    match (declared.start.or(created), seen.bound) {
        (Some(time), _) => (Some(time), Bound::Declared),
        (None, Bound::Observed) => seen.end(),
        (None, Bound::Declared | Bound::Assumed) => (None, Bound::Assumed),
    }
}

/// A version with its end; its own declaration of an end counts for more.
fn closed<R: Version>(version: Open<R>, end: End) -> R {
    let Open {
        mut row,
        from,
        declared_end,
    } = version;
    let to = match declared_end {
        Some(time) => (Some(time), Bound::Declared),
        None => end,
    };
    // A version can be seen after the end that it, or the version after it, declares.
    let from = if to.0.is_some() && from.0 > to.0 {
        (to.0, from.1)
    } else {
        from
    };
    row.set_validity(from, to);
    row
}

fn same_content<R: Version>(a: &R, b: &R) -> bool {
    let (mut a, mut b) = (a.clone(), b.clone());
    a.forget_resource_version();
    b.forget_resource_version();
    a == b
}

macro_rules! version {
    ($($row:ty { $($version:ident)?; $part:expr; $completes:expr }),* $(,)?) => {$(
        impl Version for $row {
            fn part(&self) -> &str {
                let part: fn(&Self) -> &str = $part;
                part(self)
            }

            fn set_validity(&mut self, from: End, to: End) {
                (self.valid_from, self.from_bound) = from;
                (self.valid_to, self.to_bound) = to;
            }

            fn forget_resource_version(&mut self) {
                $(self.$version = None;)?
            }

            fn completes(&self, before: &Self) -> bool {
                let completes: fn(&Self, &Self) -> bool = $completes;
                completes(self, before)
            }
        }
    )*};
}
version! {
    // A kubelet tells the addresses of a pod after they are in use.
    PodRow { resource_version; |_| ""; |after, before| before.pod_ips.is_empty() && !after.pod_ips.is_empty() },
    ContainerRow {; |row| &row.name; |after, before| before.container_id.is_none() && after.container_id.is_some() },
    ServiceRow { resource_version; |_| ""; |_, _| false },
    EndpointSliceRow { resource_version; |_| ""; |_, _| false },
    NamespaceRow { resource_version; |_| ""; |_, _| false },
    NodeRow { resource_version; |_| ""; |_, _| false },
    WorkloadRow { resource_version; |_| ""; |_, _| false },
    NetworkPolicyRow { resource_version; |_| ""; |_, _| false },
}
