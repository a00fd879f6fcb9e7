//! Who is at the end of a compared connection.

use std::collections::BTreeSet;
use std::fmt;

use flowtape_schemas::address::Address;

use crate::flow::edge::ServiceUse;
use crate::identity::{Identity, Reason, Workload};
use crate::policy::cidr::Cidr;

/// Who is at the end of a compared connection. What part it plays (DNS, ingress) does not make it another peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Everybody, inside and outside the cluster, and every pod that may come: where one side leaves an end open.
    Everybody,
    /// Every pod, also those that may come: where a policy of the cluster denies those by default.
    EveryPod,
    /// The pods of a workload.
    Workload(Workload),
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
    /// Addresses outside the cluster: one that was seen, or what a rule names.
    Addresses {
        /// The prefix.
        cidr: Cidr,
        /// Parts of the prefix that are left out, sorted.
        except: Vec<Cidr>,
    },
    /// It cannot be known.
    Unknown {
        /// The address, if there was one.
        address: Option<Address>,
        /// Why not.
        reason: Reason,
    },
}

impl From<&Identity> for Peer {
    fn from(identity: &Identity) -> Self {
        match identity {
            Identity::Workload(workload) => Self::Workload(workload.clone()),
            Identity::Service { namespace, name } => Self::Service {
                namespace: namespace.clone(),
                name: name.clone(),
            },
            Identity::Node { name } => Self::Node { name: name.clone() },
            Identity::External { address, names: _ } => Self::Addresses {
                cidr: Cidr::host(address.ip()),
                except: Vec::new(),
            },
            Identity::Unknown { address, reason } => Self::Unknown {
                address: *address,
                reason: *reason,
            },
        }
    }
}

impl Peer {
    /// The namespace it is in, if it is in one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Workload(Workload { namespace, .. }) | Self::Service { namespace, name: _ } => Some(namespace),
            Self::Everybody | Self::EveryPod | Self::Node { .. } | Self::Addresses { .. } | Self::Unknown { .. } => {
                None
            }
        }
    }

    /// Whether it is known who this is, so that it can be the same on both sides of a diff.
    pub(super) const fn is_known(&self) -> bool {
        match self {
            Self::Everybody | Self::EveryPod | Self::Workload(_) | Self::Node { .. } | Self::Addresses { .. } => true,
            Self::Service { .. } | Self::Unknown { .. } => false,
        }
    }

    /// Whether this peer, if it is not known who it is, may be `other`, which clients reached through `services`.
    pub(super) fn may_be(&self, other: &Self, services: &BTreeSet<ServiceUse>) -> bool {
        match self {
            Self::Everybody | Self::EveryPod | Self::Workload(_) | Self::Node { .. } | Self::Addresses { .. } => {
                self == other
            }
            Self::Service { namespace, name } => services
                .iter()
                .any(|used| used.namespace == *namespace && used.name == *name),
            Self::Unknown { address: _, reason } => match other {
                Self::Workload(_) | Self::Node { .. } => true,
                // With any other reason it is a pod, or an address that only pods have.
                Self::Addresses { .. } => matches!(reason, Reason::NoAddress | Reason::Folded),
                Self::Everybody | Self::EveryPod | Self::Service { .. } | Self::Unknown { .. } => false,
            },
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => formatter.write_str("everybody"),
            Self::EveryPod => formatter.write_str("every pod"),
            Self::Workload(workload) => workload.fmt(formatter),
            Self::Service { namespace, name } => write!(formatter, "{namespace}/Service/{name}"),
            Self::Node { name } => write!(formatter, "node:{name}"),
            Self::Addresses { cidr, except } => {
                if *cidr == Cidr::host(cidr.network()) {
                    return cidr.network().fmt(formatter);
                }
                cidr.fmt(formatter)?;
                for (index, hole) in except.iter().enumerate() {
                    let before = if index == 0 { " except " } else { "," };
                    write!(formatter, "{before}{hole}")?;
                }
                Ok(())
            }
            Self::Unknown {
                address: Some(address),
                reason,
            } => write!(formatter, "unknown:{address} ({})", reason.word()),
            Self::Unknown { address: None, reason } => write!(formatter, "unknown ({})", reason.word()),
        }
    }
}
