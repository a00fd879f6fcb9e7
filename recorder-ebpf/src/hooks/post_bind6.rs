//! A socket of IPv6 was bound.
//!
//! Relies on `BPF_CGROUP_INET6_POST_BIND` (v4.17; `__inet6_bind`, `net/ipv6/af_inet6.c`). The address may be one of IPv4 in its mapped form.

use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use flowtape_recorder_ebpf::abi::id::HookId;

use super::peer::local_v6;

/// The program.
#[cgroup_sock(post_bind6)]
fn post_bind6(context: SockContext) -> i32 {
    let sk = context.sock;
    super::post_bind::note(HookId::PostBind6, sk, local_v6(sk));
    1
}
