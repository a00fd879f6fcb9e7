//! One side of an edge or of a change.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::diff::peer::Peer as ComparedPeer;
use crate::flow::edge::Peer as DomainPeer;
use crate::identity::{Identity, Workload};
use crate::replay::party::Party;

/// One side of an edge or of a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Peer {
    /// What it was.
    #[serde(flatten)]
    pub identity: PeerIdentity,
    /// What part it played, if a special one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
}

/// What a peer was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum PeerIdentity {
    /// Everybody, inside and outside the cluster.
    Any,
    /// Every pod, also those that may come.
    #[serde(rename = "any-pod")]
    AnyPod,
    /// Pods of a workload.
    Workload {
        /// Namespace of the pods.
        namespace: String,
        /// Kind of the owner.
        kind: String,
        /// Name of the owner.
        name: String,
        /// Whether the pods share the addresses of their node.
        host_network: bool,
    },
    /// Pods that do not exist yet.
    Pods {
        /// Their namespace; one that does not exist yet is called by its labels, as `[team=a]`, or `*`.
        namespace: String,
        /// The labels that they have, of those that policies ask for.
        labels: BTreeMap<String, String>,
    },
    /// A Service whose backend is not known.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A node.
    Node {
        /// Its name.
        name: String,
    },
    /// Addresses outside the cluster.
    External {
        /// The addresses.
        cidr: String,
        /// Parts of them that are left out; only where a rule does so.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        except: Vec<String>,
        /// Names by which clients asked for them, where known.
        names: Vec<String>,
    },
    /// It cannot be known.
    Unknown {
        /// The address, if there was one.
        ip: Option<String>,
        /// Why not.
        reason: &'static str,
    },
}

impl From<&DomainPeer> for Peer {
    fn from(peer: &DomainPeer) -> Self {
        Self {
            identity: (&peer.identity).into(),
            role: peer.role.map(crate::identity::Role::word),
        }
    }
}

impl From<&ComparedPeer> for Peer {
    fn from(peer: &ComparedPeer) -> Self {
        let identity = match peer {
            ComparedPeer::Everybody => PeerIdentity::Any,
            ComparedPeer::EveryPod => PeerIdentity::AnyPod,
            ComparedPeer::Workload(workload) => workload.into(),
            ComparedPeer::Service { namespace, name } => PeerIdentity::Service {
                namespace: namespace.clone(),
                name: name.clone(),
            },
            ComparedPeer::Node { name } => PeerIdentity::Node { name: name.clone() },
            ComparedPeer::Addresses { cidr, except } => PeerIdentity::External {
                cidr: cidr.to_string(),
                except: except.iter().map(ToString::to_string).collect(),
                names: Vec::new(),
            },
            ComparedPeer::Unknown { address, reason } => PeerIdentity::Unknown {
                ip: address.map(|address| address.to_string()),
                reason: reason.word(),
            },
        };
        Self { identity, role: None }
    }
}

impl From<&Party> for Peer {
    fn from(party: &Party) -> Self {
        let identity = match party {
            Party::Workload(workload) => workload.into(),
            Party::Pods { namespace, labels } => PeerIdentity::Pods {
                namespace: namespace.clone(),
                labels: labels.clone(),
            },
            Party::Addresses(cell) => PeerIdentity::External {
                cidr: cell.cidr.to_string(),
                except: cell.except.iter().map(ToString::to_string).collect(),
                names: Vec::new(),
            },
        };
        Self { identity, role: None }
    }
}

impl From<&Workload> for PeerIdentity {
    fn from(workload: &Workload) -> Self {
        let Workload {
            namespace,
            kind,
            name,
            host_network,
        } = workload;
        Self::Workload {
            namespace: namespace.clone(),
            kind: kind.clone(),
            name: name.clone(),
            host_network: *host_network,
        }
    }
}

impl From<&Identity> for PeerIdentity {
    fn from(identity: &Identity) -> Self {
        match identity {
            Identity::Workload(workload) => workload.into(),
            Identity::Service { namespace, name } => Self::Service {
                namespace: namespace.clone(),
                name: name.clone(),
            },
            Identity::Node { name } => Self::Node { name: name.clone() },
            Identity::External { address, names } => Self::External {
                cidr: format!("{address}/{}", if address.ip().is_ipv4() { 32 } else { 128 }),
                except: Vec::new(),
                names: names.iter().cloned().collect(),
            },
            Identity::Unknown { address, reason } => Self::Unknown {
                ip: address.map(|address| address.to_string()),
                reason: reason.word(),
            },
        }
    }
}

impl PeerIdentity {
    /// The words that tell this peer from every other, in an order that never changes: what edge ids are made of.
    pub(super) fn words(&self) -> Vec<&str> {
        match self {
            Self::Any => vec!["any"],
            Self::AnyPod => vec!["any-pod"],
            Self::Workload {
                namespace,
                kind,
                name,
                host_network: _,
            } => vec!["workload", namespace, kind, name],
            Self::Pods { namespace, labels } => {
                let labels = labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
                ["pods", namespace.as_str()].into_iter().chain(labels).collect()
            }
            Self::Service { namespace, name } => vec!["service", namespace, name],
            Self::Node { name } => vec!["node", name],
            Self::External {
                cidr,
                except: _,
                names: _,
            } => vec!["external", cidr],
            Self::Unknown { ip, reason } => vec!["unknown", ip.as_deref().unwrap_or(""), reason],
        }
    }
}
