//! Why a recording does not show what another one shows.

use super::Recording;
use super::change::{Cause, Change, Reason};
use super::peer::Peer;

/// Why `other` does not show a connection that `own` shows; `None` where that is no question, or not known.
pub(super) fn cause(change: &Change, own: Recording<'_>, other: Recording<'_>) -> Option<Cause> {
    if change.reason != Reason::NotSeen {
        return None;
    }
    let is_absent = |peer: &Peer| match (peer, other.workloads) {
        (Peer::Workload(workload), Some(there)) => !there.contains(workload),
        (Peer::Workload(_), None)
        | (
            Peer::Everybody
            | Peer::EveryPod
            | Peer::Service { .. }
            | Peer::Node { .. }
            | Peer::Addresses { .. }
            | Peer::Unknown { .. },
            _,
        ) => false,
    };
    let is_unknown = |peer: &Peer| matches!(peer, Peer::Workload(_)) && other.workloads.is_none();
    if is_unknown(&change.pair.from) || is_unknown(&change.pair.to) {
        return None;
    }
    Some(match (is_absent(&change.pair.from), is_absent(&change.pair.to)) {
        (true, true) => Cause::BothAbsent,
        (true, false) => Cause::ClientAbsent,
        (false, true) => Cause::ServerAbsent,
        (false, false) if is_shorter(other.length?, own.length?) => Cause::ShorterWindow,
        (false, false) => Cause::NotExercised,
    })
}

/// Whether a recording was shorter than another by more than a tenth, which is more than stopping takes.
const fn is_shorter(nanos: i64, than: i64) -> bool {
    nanos < than - than / 10
}
