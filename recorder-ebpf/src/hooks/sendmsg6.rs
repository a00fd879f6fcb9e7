//! A datagram leaves for an address of IPv6.
//!
//! Relies on `BPF_CGROUP_UDP6_SENDMSG` (v4.18; `udpv6_sendmsg`, `net/ipv6/udp.c`).

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::Peer;

/// The program.
#[cgroup_sock_addr(sendmsg6)]
fn sendmsg6(context: SockAddrContext) -> i32 {
    super::sendmsg::note(&Peer::v6(HookId::Sendmsg6, &context));
    1
}
