//! `bind()` is about to run: the one moment at which a program can be seen to choose a port.
//!
//! When the kernel has bound the socket it shows its port, but not whether that was asked for: the mark of a chosen port
//! (`SOCK_BINDPORT_LOCK`) is set after the programs of `post_bind` have run (`__inet_bind`, `net/ipv4/af_inet.c`, v6.12). So
//! what is asked for is noted here, for UDP, where a chosen port makes a server. TCP says that by `listen()`.

use super::peer::{Peer, UDP};
use crate::count::{self, bump};
use crate::{bound, sock, task};

/// Notes that a port is asked for, and by whose socket. What is no UDP is not counted as a run.
#[inline(always)]
pub(super) fn note(peer: &Peer) {
    if peer.protocol() != UDP {
        return;
    }
    let Some(counters) = count::counters(peer.hook) else {
        return;
    };
    bump(&mut counters.filtered);
    // A socket that has its port gets no other, and is refused after this has run (`__inet_bind`): it stays what it is.
    if peer.local_port() != 0 {
        return;
    }
    let socket = sock::number(peer.socket());
    if peer.port == 0 {
        // What an earlier call asked for and did not get.
        bound::forget(socket);
    } else if !bound::ask(socket, task::cgroup_of(socket)) {
        bump(&mut counters.edge_lost);
    }
}
