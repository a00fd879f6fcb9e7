//! A datagram came from an address of IPv4.
//!
//! Relies on `BPF_CGROUP_UDP4_RECVMSG` (v5.2; `udp_recvmsg`, `net/ipv4/udp.c`).

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::Peer;

/// The program.
#[cgroup_sock_addr(recvmsg4)]
fn recvmsg4(context: SockAddrContext) -> i32 {
    super::recvmsg::note(&Peer::v4(HookId::Recvmsg4, &context));
    1
}
