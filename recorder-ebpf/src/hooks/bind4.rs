//! `bind()` to an address of IPv4.
//!
//! Relies on `BPF_CGROUP_INET4_BIND` (v4.17; `inet_bind_sk`, `net/ipv4/af_inet.c`). It is not run for raw, ping and SCTP sockets.

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::Peer;

/// The program.
#[cgroup_sock_addr(bind4)]
fn bind4(context: SockAddrContext) -> i32 {
    super::bind::note(&Peer::v4(HookId::Bind4, &context));
    1
}
