//! What the control group programs that are given an address have in common: `struct bpf_sock_addr` (`include/uapi/linux/bpf.h`).
//!
//! They run in the task that asked, before the kernel acts (`connect`, `sendmsg`) or after it did (`recvmsg`). Whatever they
//! find they return 1, which lets the operation go on; a test reads that from the instructions.

use core::arch::asm;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr};
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::programs::SockAddrContext;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome, Protocol};

use crate::talk::Talk;
use crate::task;

/// `IPPROTO_TCP`.
pub(super) const TCP: u32 = 6;
/// `IPPROTO_UDP`.
pub(super) const UDP: u32 = 17;
/// `AF_INET6`.
const AF_INET6: u32 = 10;
/// State of a UDP socket that is connected: `TCP_ESTABLISHED` (`__ip4_datagram_connect`, `net/ipv4/datagram.c`).
const CONNECTED: u32 = 1;

/// A context, and which hook it is of.
pub(super) struct Peer {
    pub(super) hook: HookId,
    pub(super) ip: Address,
    pub(super) port: u16,
    context: *mut bpf_sock_addr,
}

/// A field of a context or of a socket, each read by itself: the kernel rewrites such reads one by one.
macro_rules! read {
    ($from:expr, $($field:tt)+) => {
        // SAFETY: the verifier knows the pointer, and refuses a field that is not there.
        unsafe { core::ptr::read_volatile(&raw const (*$from).$($field)+) }
    };
}

/// One word of a context or of a socket at a fixed offset. In assembly, because the compiler would first compute the address
/// of an array and then read from that, and the verifier allows no arithmetic on a pointer to a socket.
#[inline(always)]
fn word<const OFFSET: usize, T>(from: *const T) -> u32 {
    let word: u64;
    // SAFETY: the verifier knows the pointer, and refuses a field that is not there.
    unsafe {
        asm!("{word} = *(u32 *)({from} + {offset})", word = out(reg) word, from = in(reg) from, offset = const OFFSET);
    }
    word as u32
}

/// Four words of an address.
macro_rules! read6 {
    ($from:expr, $struct:ty, $field:ident) => {{
        const AT: usize = core::mem::offset_of!($struct, $field);
        Address::from_words([
            word::<AT, _>($from),
            word::<{ AT + 4 }, _>($from),
            word::<{ AT + 8 }, _>($from),
            word::<{ AT + 12 }, _>($from),
        ])
    }};
}

impl Peer {
    /// An IPv4 address.
    #[inline(always)]
    pub(super) fn v4(hook: HookId, context: &SockAddrContext) -> Self {
        let context = context.sock_addr;
        Self {
            hook,
            ip: Address::from_v4(read!(context, user_ip4).to_ne_bytes()),
            port: port(read!(context, user_port)),
            context,
        }
    }

    /// An IPv6 address, which may be an IPv4 address in its mapped form.
    #[inline(always)]
    pub(super) fn v6(hook: HookId, context: &SockAddrContext) -> Self {
        let context = context.sock_addr;
        Self {
            hook,
            ip: read6!(context, bpf_sock_addr, user_ip6),
            port: port(read!(context, user_port)),
            context,
        }
    }

    #[inline(always)]
    pub(super) fn protocol(&self) -> u32 {
        read!(self.context, protocol)
    }

    /// The socket; never null.
    #[inline(always)]
    pub(super) fn socket(&self) -> *mut bpf_sock {
        read!(self.context, __bindgen_anon_1.sk)
    }

    #[inline(always)]
    pub(super) fn cookie(&self) -> u64 {
        // SAFETY: the context of this program.
        unsafe { bpf_get_socket_cookie(SockAddrContext::new(self.context).as_ptr()) }
    }

    /// True if the socket is connected, to whomever.
    #[inline(always)]
    pub(super) fn is_connected(&self) -> bool {
        read!(self.socket(), state) == CONNECTED
    }

    /// True if the socket is connected to this very peer.
    #[inline(always)]
    pub(super) fn is_connected_to_it(&self) -> bool {
        let sk = self.socket();
        let ip = if read!(sk, family) == AF_INET6 {
            read6!(sk, bpf_sock, dst_ip6)
        } else {
            Address::from_v4(read!(sk, dst_ip4).to_ne_bytes())
        };
        u16::from_be(read!(sk, dst_port)) == self.port && ip.is(&self.ip)
    }

    /// The edge of a datagram between the socket and this peer.
    #[inline(always)]
    pub(super) fn edge(&self, talk: &Talk, direction: Direction, outcome: Outcome) -> FlowKey {
        let sk = self.socket();
        let local_ip = if read!(sk, family) == AF_INET6 {
            read6!(sk, bpf_sock, src_ip6)
        } else {
            Address::from_v4(read!(sk, src_ip4).to_ne_bytes())
        };
        FlowKey {
            cgroup_id: talk.cgroup_id,
            netns: talk.netns,
            service_port: match direction {
                Direction::Out => self.port,
                Direction::In | Direction::None => self.local_port(),
            },
            protocol: Protocol::Udp.id(),
            direction: direction.id(),
            local_ip: if local_ip.is_unspecified() {
                Address::UNSPECIFIED
            } else {
                local_ip
            },
            remote_ip: self.ip,
            asked_ip: Address::UNSPECIFIED,
            asked_port: 0,
            outcome: outcome.id(),
            ip_version: self.ip.ip_version(),
            hook: self.hook.id(),
            folded: FOLDED_NOT,
            pad: [0; 2],
        }
    }

    /// What the edge of a datagram does not say of its event.
    #[inline(always)]
    pub(super) fn fill(&self, event: &mut Event, cookie: u64) {
        if read!(self.socket(), family) == AF_INET6 && self.ip.is_v4() {
            event.flags = FLAG_V4_MAPPED;
        }
        event.cookie = cookie;
        event.local_port = self.local_port();
        event.remote_port = self.port;
        task::put(event);
    }

    /// The port of the socket; 0 if it has none yet.
    #[inline(always)]
    pub(super) fn local_port(&self) -> u16 {
        read!(self.socket(), src_port) as u16
    }
}

/// The protocol of a socket that a program is given.
#[inline(always)]
pub(super) fn protocol(sk: *mut bpf_sock) -> u32 {
    read!(sk, protocol)
}

/// The local port of a socket that was bound.
#[inline(always)]
pub(super) fn local_port(sk: *mut bpf_sock) -> u16 {
    read!(sk, src_port) as u16
}

/// The local address of a socket of IPv4 that was bound.
#[inline(always)]
pub(super) fn local_v4(sk: *mut bpf_sock) -> Address {
    Address::from_v4(read!(sk, src_ip4).to_ne_bytes())
}

/// The local address of a socket of IPv6 that was bound.
#[inline(always)]
pub(super) fn local_v6(sk: *mut bpf_sock) -> Address {
    read6!(sk, bpf_sock, src_ip6)
}

/// `user_port` holds the sixteen bits of `sin_port` as they are.
#[inline(always)]
fn port(raw: u32) -> u16 {
    u16::from_be(raw as u16)
}
