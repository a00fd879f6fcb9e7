//! A datagram came from an address of IPv6.
//!
//! Relies on `BPF_CGROUP_UDP6_RECVMSG` (v5.2; `udpv6_recvmsg`, `net/ipv6/udp.c`). What an IPv6 socket receives over IPv4 comes here
//! with a mapped address.

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::Peer;

/// The program.
#[cgroup_sock_addr(recvmsg6)]
fn recvmsg6(context: SockAddrContext) -> i32 {
    super::recvmsg::note(&Peer::v6(HookId::Recvmsg6, &context));
    1
}
