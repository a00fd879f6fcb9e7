//! Samples of single operations as a table, with whose socket it was and who was at the other end.

use flowtape_schemas::node::EventRow;

use super::{Frame, edges, rows};
use crate::identity::Identity;
use crate::identity::resolve::{Resolver, Socket};
use crate::identity::timeline::Span;
use crate::json::peer::{Peer, PeerIdentity};
use crate::tape::{Tape, TapeError, samples};

/// Every sample of a tape, in the order of nodes and files.
pub(super) fn frame(tape: &Tape, resolver: &Resolver<'_>) -> Result<Frame, TapeError> {
    let mut all = of_node("", &[], resolver);
    for node in &tape.nodes {
        for batch in samples(node, |rows| rows)? {
            all.append(of_node(&node.name, &batch, resolver));
        }
    }
    Ok(all)
}

fn of_node(node: &str, events: &[EventRow], resolver: &Resolver<'_>) -> Frame {
    let local: Vec<Option<Peer>> = events.iter().map(|row| peer(owner(node, row, resolver))).collect();
    let remote = |row: &EventRow| peer(resolver.identity(resolver.by_address(node, row.remote_ip, instant(row))));
    let remote: Vec<Option<Peer>> = events
        .iter()
        .map(|row| row.remote_ip.and_then(|_| remote(row)))
        .collect();
    let mut frame = rows::with_node(node, &rows::frame(events));
    for (prefix, who, peers) in [
        ("local", "the owner of the socket", &local),
        ("remote", "the peer", &remote),
    ] {
        let columns = edges::side(prefix, who, &peers.iter().map(Option::as_ref));
        // An operation by itself plays no part.
        let told = columns.into_iter().filter(|column| !column.name.ends_with("_role"));
        frame.columns.extend(told);
    }
    frame
}

fn owner(node: &str, row: &EventRow, resolver: &Resolver<'_>) -> Option<Identity> {
    let socket = Socket {
        cgroup_id: row.cgroup_id,
        netns: row.netns,
        address: row.local_ip,
        span: instant(row),
    };
    resolver.identity(resolver.owner(node, socket))
}

fn instant(row: &EventRow) -> Span {
    Span {
        first: row.time,
        last: row.time,
    }
}

fn peer(identity: Option<Identity>) -> Option<Peer> {
    identity.map(|identity| Peer {
        identity: PeerIdentity::from(&identity),
        role: None,
    })
}
