//! Which edges policies decide about.

use flowtape_schemas::node::Outcome;

use super::edge::{EdgeKey, Transport};
use crate::identity::{Identity, Role};

/// The protocols that a NetworkPolicy can name (`core/v1` Protocol).
const NAMEABLE: [Transport; 3] = [Transport::TCP, Transport::UDP, Transport::SCTP];

/// What policies have to do with an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Governed {
    /// Policies decide whether it works, and a generated set must allow it.
    Yes,
    /// No policy can deny it: it comes from the node of the server's pod.
    Exempt,
    /// It was not established, so no policy is asked to allow it.
    NotEstablished,
    /// It cannot be decided: a peer is unknown, or a Service without known backends.
    Undecided,
}

/// What policies have to do with an edge.
#[must_use]
pub fn governed(key: &EdgeKey) -> Governed {
    let EdgeKey {
        from,
        to,
        protocol,
        port: _,
        outcome,
    } = key;
    let established = match outcome {
        Outcome::Established => true,
        // Nothing tells a lost datagram from a received one, so both need a rule.
        Outcome::Unknown => *protocol == Transport::UDP,
        Outcome::Refused | Outcome::Timeout | Outcome::Unreachable => false,
    };
    if !established {
        return Governed::NotEstablished;
    }
    if matches!(from.role, Some(Role::OwnNode | Role::Kubelet)) {
        return Governed::Exempt;
    }
    let unknown = |identity: &Identity| matches!(identity, Identity::Unknown { .. } | Identity::Service { .. });
    // The port of a proxy that connections are redirected to is not the one that they were sent to.
    let hidden = to.role == Some(Role::Redirected);
    if hidden || unknown(&from.identity) || unknown(&to.identity) || !NAMEABLE.contains(protocol) {
        return Governed::Undecided;
    }
    Governed::Yes
}
