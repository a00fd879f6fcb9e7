//! Sockets whose traffic is in no edge: raw and packet sockets, ICMP, and protocols that no hook follows.

use std::collections::BTreeMap;
use std::fmt;

use flowtape_schemas::node::{SocketFamily, SocketRow, SocketType};

use crate::findings::{Code, Findings};
use crate::identity::resolve::{Resolver, Socket};
use crate::identity::timeline::Span;
use crate::identity::{Identity, Workload};
use crate::tape::Tape;

/// IANA protocol numbers whose sockets the recorder follows: the default of the type, TCP, UDP, and MPTCP, which is TCP
/// on the wire (`IPPROTO_MPTCP`, `include/uapi/linux/in.h`).
const FOLLOWED: [u16; 4] = [0, 6, 17, 262];

/// A kind of socket whose traffic is in no edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketKind {
    /// Whole frames of an interface.
    Packet,
    /// Whole frames, past the network stack.
    Xdp,
    /// Any protocol over IP, its header written by the program.
    Raw,
    /// ICMP echo without privileges.
    Icmp,
    /// SCTP.
    Sctp,
    /// Another protocol over IP, by its number.
    Protocol(u16),
}

impl fmt::Display for SocketKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet => formatter.write_str("packet"),
            Self::Xdp => formatter.write_str("xdp"),
            Self::Raw => formatter.write_str("raw"),
            Self::Icmp => formatter.write_str("icmp"),
            Self::Sctp => formatter.write_str("sctp"),
            Self::Protocol(number) => write!(formatter, "IP-{number}"),
        }
    }
}

/// Sockets of one kind that somebody had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnseenSockets {
    /// Who.
    pub owner: Identity,
    /// Which kind.
    pub kind: SocketKind,
    /// How many were made in the window; 0 if they were only found open.
    pub count: u64,
}

/// Who had sockets whose traffic is in no edge, by owner and kind; a finding says so of every workload that policies are
/// meant for.
pub(super) fn unseen(tape: &Tape, resolver: &Resolver<'_>, findings: &mut Findings) -> Vec<UnseenSockets> {
    let mut counts: BTreeMap<(Identity, SocketKind), u64> = BTreeMap::new();
    for node in &tape.nodes {
        for row in &node.sockets {
            let Some(kind) = kind_of(row) else { continue };
            let socket = Socket {
                cgroup_id: row.cgroup_id,
                netns: row.netns,
                address: None,
                span: Span {
                    first: row.first_seen,
                    last: row.last_seen,
                },
            };
            if let Some(owner) = resolver.identity(resolver.owner(&node.name, socket)) {
                let count = counts.entry((owner, kind)).or_default();
                *count = count.saturating_add(row.count);
            }
        }
    }
    let mut kinds: BTreeMap<&Workload, (Vec<String>, u64)> = BTreeMap::new();
    for ((owner, kind), count) in &counts {
        match owner {
            Identity::Workload(workload) if !workload.host_network => {
                let (kinds, total) = kinds.entry(workload).or_default();
                kinds.push(kind.to_string());
                *total = total.saturating_add(*count);
            }
            Identity::Workload(_)
            | Identity::Service { .. }
            | Identity::Node { .. }
            | Identity::External { .. }
            | Identity::Unknown { .. } => {}
        }
    }
    for (workload, (kinds, total)) in kinds {
        let message = format!(
            "{workload} opened {} sockets: what it sends through them is not in this recording",
            kinds.join(", ")
        );
        findings.report_many(Code::SocketsUnseen, message, total.max(1));
    }
    let unseen = |((owner, kind), count)| UnseenSockets { owner, kind, count };
    counts.into_iter().map(unseen).collect()
}

/// The kind of a socket whose traffic is in no edge; `None` for TCP and UDP, and for what never leaves the machine.
fn kind_of(row: &SocketRow) -> Option<SocketKind> {
    match (row.family, row.socket_type, row.protocol) {
        (SocketFamily::Packet, ..) => Some(SocketKind::Packet),
        (SocketFamily::Xdp, ..) => Some(SocketKind::Xdp),
        (SocketFamily::Other, ..) => None,
        (SocketFamily::Inet | SocketFamily::Inet6, SocketType::Raw, _) => Some(SocketKind::Raw),
        // ICMP and ICMPv6, `include/uapi/linux/in.h` and `in6.h`.
        (SocketFamily::Inet | SocketFamily::Inet6, _, 1 | 58) => Some(SocketKind::Icmp),
        (SocketFamily::Inet | SocketFamily::Inet6, _, 132) => Some(SocketKind::Sctp),
        (SocketFamily::Inet | SocketFamily::Inet6, _, protocol) => {
            (!FOLLOWED.contains(&protocol)).then_some(SocketKind::Protocol(protocol))
        }
    }
}
