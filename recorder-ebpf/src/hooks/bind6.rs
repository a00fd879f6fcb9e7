//! `bind()` to an address of IPv6.
//!
//! Relies on `BPF_CGROUP_INET6_BIND` (v4.17; `inet6_bind_sk`, `net/ipv6/af_inet6.c`). It is not run for raw, ping and SCTP sockets.

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::Peer;

/// The program.
#[cgroup_sock_addr(bind6)]
fn bind6(context: SockAddrContext) -> i32 {
    super::bind::note(&Peer::v6(HookId::Bind6, &context));
    1
}
