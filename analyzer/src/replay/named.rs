//! Who stands behind a name that a person gives: pods, a workload, a node or an address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use super::world::representative;
use crate::identity::cluster::Cluster;
use crate::semantics::world::{Endpoint, World};

/// An end of a connection as it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// `NAMESPACE/POD`, or a workload where no pod has that name.
    Pod {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
    /// `NAMESPACE/KIND/NAME`.
    Workload {
        /// The namespace.
        namespace: String,
        /// The kind of the owner, in any case.
        kind: String,
        /// The name of the owner.
        name: String,
    },
    /// `node:NAME`.
    Node(String),
    /// An address.
    Address(IpAddr),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix("node:") {
            return Ok(Self::Node(name.to_owned()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let whole = parts.iter().all(|part| !part.is_empty());
        match *parts.as_slice() {
            [namespace, name] if whole => Ok(Self::Pod {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            [namespace, kind, name] if whole => Ok(Self::Workload {
                namespace: namespace.to_owned(),
                kind: kind.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err("expected NAMESPACE/POD, NAMESPACE/KIND/NAME, node:NAME or an address".to_owned()),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Workload { namespace, kind, name } => write!(f, "{namespace}/{kind}/{name}"),
            Self::Node(name) => write!(f, "node:{name}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Why a name stands for nobody.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NamedError {
    /// Nothing is called so.
    #[error("the cluster has no `{named}`")]
    Nobody {
        /// The name.
        named: Named,
    },
    /// More than one workload is called so.
    #[error("`{named}` may be {}", .choices.join(" or "))]
    Ambiguous {
        /// The name.
        named: Named,
        /// What it may be.
        choices: Vec<String>,
    },
    /// A node without an address.
    #[error("node `{name}` has no address")]
    NoAddress {
        /// The node.
        name: String,
    },
}

/// The endpoints of each pod that a name stands for, one for each of its addresses; a node or an address has one list of
/// them. There is always a list, and none is empty.
pub fn endpoints<'a>(named: &Named, cluster: &Cluster, world: &'a World) -> Result<Vec<Vec<Endpoint<'a>>>, NamedError> {
    let nobody = || NamedError::Nobody { named: named.clone() };
    match named {
        Named::Address(address) => Ok(vec![vec![world.endpoint_at(*address)]]),
        Named::Node(name) => {
            let addresses = world.nodes().get(name).ok_or_else(nobody)?;
            if addresses.is_empty() {
                return Err(NamedError::NoAddress { name: name.clone() });
            }
            Ok(vec![addresses.iter().map(|one| Endpoint::Address(*one)).collect()])
        }
        Named::Pod { namespace, name } => {
            if let Some(pod) = world.pod(namespace, name) {
                return Ok(vec![world.endpoints(pod)]);
            }
            let found = members(cluster, namespace, name);
            let kinds: Vec<&str> = found.chunk_by(same_kind).map(|of| of[0].kind.as_str()).collect();
            if kinds.len() > 1 {
                let choices = kinds.iter().map(|kind| format!("`{namespace}/{kind}/{name}`"));
                return Err(NamedError::Ambiguous {
                    named: named.clone(),
                    choices: choices.collect(),
                });
            }
            of_pods(world, namespace, &found).ok_or_else(nobody)
        }
        Named::Workload { namespace, kind, name } => {
            let mut found = members(cluster, namespace, name);
            found.retain(|found| found.kind.eq_ignore_ascii_case(kind));
            of_pods(world, namespace, &found).ok_or_else(nobody)
        }
    }
}

/// A pod of the world, and the kind of its workload.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    kind: String,
    pod: String,
}

fn same_kind(one: &Member, other: &Member) -> bool {
    one.kind == other.kind
}

/// The pods of every workload of this name, each once, by kind; of a template without pods the one that stands for them.
fn members(cluster: &Cluster, namespace: &str, name: &str) -> Vec<Member> {
    let pods = cluster.pods.values().map(|pod| (&pod.workload, pod.name.clone()));
    let templates = cluster
        .owners
        .templates()
        .map(|(workload, _)| (workload, representative(&workload.kind, &workload.name)));
    let called = pods
        .chain(templates)
        .filter(|(workload, _)| workload.namespace == namespace && workload.name == name);
    let mut members: Vec<Member> = called
        .map(|(workload, pod)| Member {
            kind: workload.kind.clone(),
            pod,
        })
        .collect();
    members.sort();
    members.dedup();
    members
}

/// The endpoints of those pods that the world has; `None` if it has none of them.
fn of_pods<'a>(world: &'a World, namespace: &str, members: &[Member]) -> Option<Vec<Vec<Endpoint<'a>>>> {
    let pods = members.iter().filter_map(|member| world.pod(namespace, &member.pod));
    let endpoints: Vec<_> = pods.map(|pod| world.endpoints(pod)).collect();
    (!endpoints.is_empty()).then_some(endpoints)
}
