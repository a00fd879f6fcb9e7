//! Kubernetes objects to metadata rows.
//!
//! Input is what `kubectl get ... -A -o json` prints: a List, or one object. The types of [`object`] are the
//! allow-list: a field that has no member there cannot reach a tape, however the input spells it.
//!
//! Identity is an interval. Several snapshots with their times give versions of every object; between two snapshots
//! the moment of a change is not known, and the row says so with [`Bound::Assumed`]. A [`History`] is told every change
//! as it comes, and makes the same rows of it.

mod convert;
mod history;
mod object;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{
    Bound, ContainerRow, EndpointSliceRow, NamespaceRow, NetworkPolicyRow, NodeRow, PodRow, ServiceRow, WorkloadRow,
};
use crate::table::Row;
use crate::time::Time;
pub use history::{History, Seen};

/// Annotations that may reach a tape.
pub const ALLOWED_ANNOTATIONS: [&str; 5] = [
    "kubernetes.io/config.hash",
    "kubernetes.io/config.mirror",
    "kubernetes.io/config.source",
    "linkerd.io/inject",
    "sidecar.istio.io/inject",
];

/// Why a text is no metadata.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The text is not JSON.
    #[error("not JSON: {0}; expected what `kubectl get ... -A -o json` prints")]
    Json(#[from] serde_json::Error),
    /// The text is JSON, and not a Kubernetes object or list of them.
    #[error(
        "not a Kubernetes object or List: `kind` or `apiVersion` is missing; expected what `kubectl get ... -A -o json` prints"
    )]
    NotKubernetes,
    /// Objects of a known kind that have another shape; every one is listed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Objects(Vec<ObjectError>),
    /// Several snapshots, and one has no time.
    #[error("several snapshots need a time each: write FILE@2026-01-01T00:00:00Z")]
    NoTime,
    /// Two snapshots have the same time.
    #[error("two snapshots have the time {time}; each needs its own")]
    SameTime {
        /// The time.
        time: Time,
    },
}

/// An object that does not have the shape of its kind.
#[derive(Debug, thiserror::Error)]
#[error("item {index} ({kind} `{name}`): {error}")]
pub struct ObjectError {
    /// Place in the list, from 0.
    pub index: usize,
    /// `kind` of the object.
    pub kind: String,
    /// `metadata.namespace/name`, as far as it has them.
    pub name: String,
    /// What is wrong.
    pub error: serde_json::Error,
}

/// One object, reduced to the allow-list: the rows it becomes, without validity.
#[derive(Debug, Default)]
pub struct Reduced {
    id: String,
    resource_version: Option<String>,
    rows: ClusterRows,
    declared: history::Declared,
}

impl Reduced {
    /// Reduces an object of a known kind, which items of a typed list do not state themselves. `None` if no table holds it.
    pub fn parse(item: Value, api_version: &str, kind: &str) -> Result<Option<Self>, ObjectError> {
        convert::reduce(0, with_kind(item, api_version, kind))
    }

    /// Identifies the object: its kind and UID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its `metadata.resourceVersion`.
    #[must_use]
    pub fn resource_version(&self) -> Option<&str> {
        self.resource_version.as_deref()
    }
}

/// The objects of one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    time: Option<Time>,
    objects: Vec<Reduced>,
    skipped: std::collections::BTreeMap<String, u64>,
}

/// Rows of every metadata table, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterRows {
    /// Table `pods`.
    pub pods: Vec<PodRow>,
    /// Table `containers`.
    pub containers: Vec<ContainerRow>,
    /// Table `services`.
    pub services: Vec<ServiceRow>,
    /// Table `endpoint_slices`.
    pub endpoint_slices: Vec<EndpointSliceRow>,
    /// Table `namespaces`.
    pub namespaces: Vec<NamespaceRow>,
    /// Table `nodes`.
    pub nodes: Vec<NodeRow>,
    /// Table `workloads`.
    pub workloads: Vec<WorkloadRow>,
    /// Table `network_policies`.
    pub network_policies: Vec<NetworkPolicyRow>,
}

/// What is done with the rows of each metadata table.
pub trait EachRows {
    /// Why it could not be done.
    type Error;
    /// Does it for one table.
    fn rows<R: Row>(&mut self, rows: &[R]) -> Result<(), Self::Error>;
}

impl ClusterRows {
    /// Visits every table, in the order of `SCHEMA.md`, until something goes wrong.
    pub fn each<V: EachRows>(&self, visitor: &mut V) -> Result<(), V::Error> {
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
        visitor.rows(pods)?;
        visitor.rows(containers)?;
        visitor.rows(services)?;
        visitor.rows(endpoint_slices)?;
        visitor.rows(namespaces)?;
        visitor.rows(nodes)?;
        visitor.rows(workloads)?;
        visitor.rows(network_policies)
    }
}

impl Snapshot {
    /// Reads the objects of one moment; `time` is when they were printed, if that is known.
    pub fn parse(text: &[u8], time: Option<Time>) -> Result<Self, MetadataError> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(MetadataError::NotKubernetes);
        }
        let documents = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
        Self::of_documents(documents.map(|document| Ok(document?)), time)
    }

    /// The objects of several documents, each an object or a List.
    pub fn of_documents(
        documents: impl IntoIterator<Item = Result<Value, MetadataError>>,
        time: Option<Time>,
    ) -> Result<Self, MetadataError> {
        let mut snapshot = Self {
            time,
            ..Self::default()
        };
        let mut problems = Vec::new();
        let mut index = 0;
        for document in documents {
            for item in items(document?)? {
                let kind = item["kind"].as_str().unwrap_or_default().to_owned();
                match convert::reduce(index, item) {
                    Ok(Some(object)) => snapshot.objects.push(object),
                    Ok(None) => *snapshot.skipped.entry(kind).or_default() += 1,
                    Err(problem) => problems.push(problem),
                }
                index += 1;
            }
        }
        if problems.is_empty() {
            Ok(snapshot)
        } else {
            Err(MetadataError::Objects(problems))
        }
    }

    /// When the objects were printed.
    #[must_use]
    pub fn time(&self) -> Option<Time> {
        self.time
    }

    /// Kinds that no table holds, with how many objects of each were left out.
    #[must_use]
    pub fn skipped(&self) -> &std::collections::BTreeMap<String, u64> {
        &self.skipped
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: Option<String>,
    kind: Option<String>,
    items: Option<Vec<Value>>,
}

/// The objects of one document: of a List its items, otherwise itself.
fn items(document: Value) -> Result<Vec<Value>, MetadataError> {
    let is_object = document.is_object();
    let Ok(Document {
        api_version: Some(_),
        kind: Some(kind),
        items,
    }) = Document::deserialize(&document)
    else {
        return Err(MetadataError::NotKubernetes);
    };
    match items {
        // A typed list (`PodList`) prints items without their own kind.
        Some(list) if kind.ends_with("List") => {
            let api_version = document["apiVersion"].as_str().unwrap_or_default();
            let kind = kind.strip_suffix("List").unwrap_or(&kind);
            Ok(list
                .into_iter()
                .map(|item| with_kind(item, api_version, kind))
                .collect())
        }
        None if is_object => Ok(vec![document]),
        Some(_) | None => Err(MetadataError::NotKubernetes),
    }
}

fn with_kind(mut item: Value, api_version: &str, kind: &str) -> Value {
    if let Some(object) = item.as_object_mut()
        && !object.contains_key("kind")
        && !kind.is_empty()
    {
        object.insert("kind".to_owned(), Value::from(kind));
        object.insert("apiVersion".to_owned(), Value::from(api_version));
    }
    item
}

/// The rows of one or several snapshots, each row with its validity.
///
/// Objects that a later snapshot lacks ended some time before it; objects that it changed began a new version then.
pub fn rows(mut snapshots: Vec<Snapshot>) -> Result<ClusterRows, MetadataError> {
    if snapshots.len() > 1 && snapshots.iter().any(|snapshot| snapshot.time.is_none()) {
        return Err(MetadataError::NoTime);
    }
    snapshots.sort_by_key(|snapshot| snapshot.time);
    if let Some(pair) = snapshots.windows(2).find(|pair| pair[0].time == pair[1].time) {
        return Err(MetadataError::SameTime {
            time: pair[0].time.unwrap_or_default(),
        });
    }
    let mut history = History::default();
    let mut known = BTreeSet::new();
    for Snapshot { time, objects, .. } in snapshots {
        let seen = Seen {
            at: time,
            bound: Bound::Assumed,
        };
        let present: BTreeSet<String> = objects.iter().map(|object| object.id.clone()).collect();
        for gone in known.difference(&present) {
            history.remove(gone, seen);
        }
        for object in objects {
            history.put(object, seen);
        }
        known = present;
    }
    Ok(history.finish())
}
