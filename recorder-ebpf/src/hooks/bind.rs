//! `bind()` is about to run: the one moment at which a program can be seen to choose a port.
//!
//! When the kernel has bound the socket it shows its port, but not whether that was asked for: the mark of a chosen port
//! (`SOCK_BINDPORT_LOCK`) is set after the programs of `post_bind` have run (`__inet_bind`, `net/ipv4/af_inet.c`, v6.12). So
//! what is asked for is noted here, for UDP, where a chosen port makes a server. TCP says that by `listen()`.

use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::listen::ListenKey;

use super::peer::{Peer, UDP};
use crate::count::{self, bump};
use crate::map::BOUND;
use crate::sock;

/// What is noted until the kernel has bound the socket.
static ASKED: ListenKey = ListenKey {
    cgroup_id: 0,
    netns: 0,
    port: 0,
    protocol: 0,
    ip_version: 0,
    local_ip: Address::UNSPECIFIED,
};

/// Notes that a port is asked for. What is no UDP is not counted as a run.
#[inline(always)]
pub(super) fn note(peer: &Peer) {
    if peer.protocol() != UDP {
        return;
    }
    let Some(counters) = count::counters(peer.hook) else {
        return;
    };
    bump(&mut counters.invocations);
    bump(&mut counters.filtered);
    let socket = sock::number(peer.socket());
    if peer.port == 0 {
        // What an earlier call asked for and did not get.
        let _ = BOUND.remove(socket);
    } else if BOUND.insert(socket, &ASKED, 0).is_err() {
        bump(&mut counters.edge_lost);
    }
}
