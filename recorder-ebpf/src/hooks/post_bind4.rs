//! A socket of IPv4 was bound.
//!
//! Relies on `BPF_CGROUP_INET4_POST_BIND` (v4.17; `__inet_bind`, `net/ipv4/af_inet.c`).

use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::local_v4;

/// The program.
#[cgroup_sock(post_bind4)]
fn post_bind4(context: SockContext) -> i32 {
    let sk = context.sock;
    super::post_bind::note(HookId::PostBind4, sk, local_v4(sk));
    1
}
