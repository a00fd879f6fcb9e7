//! A datagram leaves for an address of IPv4.
//!
//! Relies on `BPF_CGROUP_UDP4_SENDMSG` (v4.18; `udp_sendmsg`, `net/ipv4/udp.c`). What an IPv6 socket sends to a mapped address comes
//! here too.

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::Peer;

/// The program.
#[cgroup_sock_addr(sendmsg4)]
fn sendmsg4(context: SockAddrContext) -> i32 {
    super::sendmsg::note(&Peer::v4(HookId::Sendmsg4, &context));
    1
}
