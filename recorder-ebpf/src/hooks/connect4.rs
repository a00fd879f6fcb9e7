//! `connect()` on an address of IPv4.
//!
//! Relies on `BPF_CGROUP_INET4_CONNECT` (v4.17; `tcp_v4_pre_connect` and `udp_pre_connect`, `net/ipv4`).

use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::Peer;

/// The program.
#[cgroup_sock_addr(connect4)]
fn connect4(context: SockAddrContext) -> i32 {
    super::connect::note(&Peer::v4(HookId::Connect4, &context));
    1
}
