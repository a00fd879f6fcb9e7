//! `connect()` on an address of IPv6.
//!
//! Relies on `BPF_CGROUP_INET6_CONNECT` (v4.17; `tcp_v6_pre_connect` and `udpv6_pre_connect`, `net/ipv6`). A mapped address comes
//! here too.

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::Peer;

/// The program.
#[cgroup_sock_addr(connect6)]
fn connect6(context: SockAddrContext) -> i32 {
    super::connect::note(&Peer::v6(HookId::Connect6, &context));
    1
}
