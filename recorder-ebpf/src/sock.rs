//! The only file that reads fields of kernel structs.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::event::Comm;
use flowtape_recorder_ebpf::abi::open::PORT_LOCK;

use crate::global::{LAYOUT, offset};
use crate::word;

/// `struct sock` of the running kernel; its fields are reached through [`offset`].
#[repr(C)]
pub(crate) struct Sock([u8; 0]);

/// `AF_INET` (`include/linux/socket.h`).
const AF_INET: u16 = 2;
/// `AF_INET6` (`include/linux/socket.h`).
const AF_INET6: u16 = 10;

/// Reads a field of a struct the verifier knows the type of. Such a read cannot fault: the kernel gives zero for an address
/// it cannot read.
///
/// # Safety
/// `base` is a pointer the verifier takes for a typed kernel object, and `offset` is that of a field of type `T` in it.
#[inline(always)]
unsafe fn field<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: the caller vouches for it.
    unsafe { core::ptr::read_volatile(base.add(offset).cast()) }
}

/// Both ends of a socket.
pub(crate) struct Tuple {
    pub(crate) local_ip: Address,
    pub(crate) remote_ip: Address,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) v4_mapped: bool,
}

/// Who owns a socket: `0` where it could not be read.
pub(crate) struct Owner {
    pub(crate) cgroup_id: u64,
    pub(crate) netns: u32,
}

/// `sk_protocol`. Its number does not fit a byte for MPTCP (262).
#[inline(always)]
pub(crate) fn protocol(sk: *const Sock) -> u16 {
    // SAFETY: `sk` is the argument of the tracepoint and the offset is that of the running kernel.
    unsafe { field(sk.cast(), offset(&LAYOUT.protocol)) }
}

/// `sk_err`, positive.
#[inline(always)]
pub(crate) fn error(sk: *const Sock) -> u32 {
    // SAFETY: as above.
    unsafe { field(sk.cast(), offset(&LAYOUT.error)) }
}

/// `sk_max_ack_backlog`: what `listen()` asked for, and on an accepted socket what its listener has.
#[inline(always)]
pub(crate) fn backlog(sk: *const Sock) -> u32 {
    // SAFETY: as above.
    unsafe { field(sk.cast(), offset(&LAYOUT.backlog)) }
}

/// `__sk_common.skc_state`.
#[inline(always)]
pub(crate) fn state(sk: *const Sock) -> u8 {
    // SAFETY: as above.
    unsafe { field(sk.cast(), offset(&LAYOUT.state)) }
}

/// `skc_family`.
#[inline(always)]
pub(crate) fn family(sk: *const Sock) -> u16 {
    // SAFETY: as above.
    unsafe { field(sk.cast(), offset(&LAYOUT.family)) }
}

/// `sk_type`.
#[inline(always)]
pub(crate) fn socket_type(sk: *const Sock) -> u16 {
    // SAFETY: as above.
    unsafe { field(sk.cast(), offset(&LAYOUT.socket_type)) }
}

/// True for a socket of `AF_INET6`, whatever it talks.
#[inline(always)]
pub(crate) fn is_v6(sk: *const Sock) -> bool {
    family(sk) == AF_INET6
}

/// What a file's socket stands for; null while it is made or closed.
///
/// # Safety
/// `socket` is a typed pointer to a `struct socket`.
#[inline(always)]
pub(crate) unsafe fn of_socket(socket: *const u8) -> *const Sock {
    // SAFETY: the caller vouches for the pointer, the offset is that of the running kernel.
    unsafe { field(socket, offset(&LAYOUT.socket_sk)) }
}

/// True for a TCP socket that MPTCP opened: it has a protocol on top from the beginning (`mptcp_subflow_create_socket`,
/// `net/mptcp/subflow.c`, v6.12), while TLS comes on top of what is established.
#[inline(always)]
pub(crate) fn is_subflow(sk: *const Sock) -> bool {
    // SAFETY: the address is only computed; the helper gives an error for what it cannot read.
    unsafe { probe::<u64>(sk as u64, offset(&LAYOUT.upper)) != 0 }
}

/// The cookie of a socket, or `0` if nobody has asked for it before; reading it costs less than asking.
#[inline(always)]
pub(crate) fn known_cookie(sk: *const Sock) -> u64 {
    // SAFETY: as above.
    unsafe { field(sk.cast(), offset(&LAYOUT.cookie)) }
}

/// The cookie of the socket that a tracepoint is shown.
#[inline(always)]
pub(crate) fn cookie(sk: *const Sock) -> u64 {
    match known_cookie(sk) {
        // SAFETY: the argument of the tracepoint.
        0 => unsafe { bpf_get_socket_cookie(sk.cast_mut().cast()) },
        known => known,
    }
}

/// True once a process holds the socket; false for one that waits to be accepted.
#[inline(always)]
pub(crate) fn is_held(sk: *const Sock) -> bool {
    // SAFETY: as above. The pointer is compared and not followed.
    unsafe { field::<u64>(sk.cast(), offset(&LAYOUT.owner)) != 0 }
}

/// Where the stack of a task begins, as a number.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
pub(crate) unsafe fn task_stack(task: *const u8) -> u64 {
    // SAFETY: the caller vouches for the pointer, the offset is that of the running kernel.
    unsafe { field(task, offset(&LAYOUT.task_stack)) }
}

/// The version 2 control group of a task; `0` if it could not be read.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
pub(crate) unsafe fn task_cgroup(task: *const u8) -> u64 {
    // SAFETY: typed pointers all the way.
    unsafe {
        let cgroup = task_group(task);
        if cgroup.is_null() { 0 } else { cgroup_id(cgroup) }
    }
}

/// The same as a typed pointer to a `struct cgroup`; null if it could not be read.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
unsafe fn task_group(task: *const u8) -> *const u8 {
    // SAFETY: typed pointers all the way, each offset that of the running kernel.
    unsafe {
        let groups: *const u8 = field(task, offset(&LAYOUT.task_cgroups));
        if groups.is_null() {
            groups
        } else {
            field(groups, offset(&LAYOUT.set_cgroup))
        }
    }
}

/// The network namespace of a task as a typed pointer to a `struct net`; null for a task that ends.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
unsafe fn task_net(task: *const u8) -> *const u8 {
    // SAFETY: typed pointers all the way, each offset that of the running kernel.
    unsafe {
        let namespaces: *const u8 = field(task, offset(&LAYOUT.task_namespaces));
        if namespaces.is_null() {
            namespaces
        } else {
            field(namespaces, offset(&LAYOUT.namespaces_net))
        }
    }
}

/// Whom a socket belongs to that a task makes: it is made in the control group and the network namespace of the task
/// (`cgroup_sk_alloc`, `kernel/cgroup/cgroup.c`, and `sock_create`, `net/socket.c`, v6.12).
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
pub(crate) unsafe fn task_owner(task: *const u8) -> Owner {
    // SAFETY: typed pointers all the way.
    unsafe {
        Owner {
            cgroup_id: task_cgroup(task),
            netns: net_inum(task_net(task)),
        }
    }
}

/// The process of a task, as the initial pid namespace numbers it.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
pub(crate) unsafe fn task_process(task: *const u8) -> u32 {
    // SAFETY: the caller vouches for the pointer, the offset is that of the running kernel.
    unsafe { field(task, offset(&LAYOUT.task_process)) }
}

/// The name of a task.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
pub(crate) unsafe fn task_name(task: *const u8) -> Comm {
    let name = offset(&LAYOUT.task_name);
    // SAFETY: the caller vouches for the pointer, the offset is that of the running kernel, and a name is as long as two words.
    unsafe { Comm([field(task, name), field(task, name + 8)]) }
}

/// The inode number of a network namespace; `0` for none.
///
/// # Safety
/// `net` is null, or a typed pointer to a `struct net`.
#[inline(always)]
unsafe fn net_inum(net: *const u8) -> u32 {
    if net.is_null() {
        return 0;
    }
    // SAFETY: the offset is that of the running kernel.
    unsafe { field(net, offset(&LAYOUT.net_inum)) }
}

/// The control group the socket was made in, and its network namespace.
#[inline(always)]
pub(crate) fn owner(sk: *const Sock) -> Owner {
    let sk = sk.cast::<u8>();
    // SAFETY: typed pointers all the way, each offset that of the running kernel.
    unsafe {
        let netns = net_inum(field(sk, offset(&LAYOUT.net)));
        let cgroup: *const u8 = field(sk, offset(&LAYOUT.cgroup));
        let cgroup_id = if cgroup.is_null() { 0 } else { self::cgroup_id(cgroup) };
        Owner { cgroup_id, netns }
    }
}

/// The inode number of a control group's directory.
///
/// # Safety
/// `cgroup` is a typed pointer to a `struct cgroup`.
#[inline(always)]
pub(crate) unsafe fn cgroup_id(cgroup: *const u8) -> u64 {
    // SAFETY: the caller vouches for the pointer, the offsets are those of the running kernel.
    unsafe {
        let directory: *const u8 = field(cgroup, offset(&LAYOUT.cgroup_kn));
        if directory.is_null() {
            0
        } else {
            field(directory, offset(&LAYOUT.kn_id))
        }
    }
}

/// True for a control group of the version 2 hierarchy, whose number is 0 (`cgroup_init`, `kernel/cgroup/cgroup.c`).
///
/// # Safety
/// `cgroup` is a typed pointer to a `struct cgroup`.
#[inline(always)]
pub(crate) unsafe fn is_version_2(cgroup: *const u8) -> bool {
    // SAFETY: the caller vouches for the pointer, the offsets are those of the running kernel.
    unsafe {
        let root: *const u8 = field(cgroup, offset(&LAYOUT.cgroup_root));
        !root.is_null() && field::<u32>(root, offset(&LAYOUT.hierarchy_id)) == 0
    }
}

/// Both ends, or `None` for a family that is not IP.
#[inline(always)]
pub(crate) fn tuple(sk: *const Sock) -> Option<Tuple> {
    let base = sk.cast::<u8>();
    let mut tuple = tuple_without_port(sk)?;
    // SAFETY: `sk` is the argument of the tracepoint and the offsets are those of the running kernel.
    unsafe {
        // `skc_num` is already zero when a socket reaches `CLOSE`; what is left then is `inet_sport`.
        tuple.local_port = field(base, offset(&LAYOUT.local_port));
        if tuple.local_port == 0 {
            let source: *const u16 = base.add(offset(&LAYOUT.source_port)).cast();
            // Past the end of `struct sock`, hence through the helper.
            tuple.local_port = u16::from_be(bpf_probe_read_kernel(source).unwrap_or(0));
        }
    }
    Some(tuple)
}

/// Both ends of a socket that may have no local port yet; with none in any case. `None` for a family that is not IP.
///
/// Chosen by the family of the socket: the fields of the other family may hold what is left of an earlier use.
#[inline(always)]
pub(crate) fn tuple_without_port(sk: *const Sock) -> Option<Tuple> {
    let base = sk.cast::<u8>();
    // SAFETY: `sk` is the argument of the tracepoint and the offsets are those of the running kernel.
    unsafe {
        let family: u16 = field(base, offset(&LAYOUT.family));
        let (local_ip, remote_ip) = match family {
            AF_INET => (
                Address::from_v4(field::<u32>(base, offset(&LAYOUT.local_v4)).to_ne_bytes()),
                Address::from_v4(field::<u32>(base, offset(&LAYOUT.remote_v4)).to_ne_bytes()),
            ),
            AF_INET6 => (v6(base, offset(&LAYOUT.local_v6)), v6(base, offset(&LAYOUT.remote_v6))),
            _ => return None,
        };
        Some(Tuple {
            local_ip,
            remote_ip,
            local_port: 0,
            remote_port: u16::from_be(field(base, offset(&LAYOUT.remote_port))),
            v4_mapped: family == AF_INET6 && (local_ip.is_v4() || remote_ip.is_v4()),
        })
    }
}

/// An IPv6 address, in words because that is how it is aligned.
///
/// # Safety
/// As for [`field`].
#[inline(always)]
unsafe fn v6(base: *const u8, offset: usize) -> Address {
    // SAFETY: the caller vouches for it.
    let words = unsafe {
        [
            field::<u32>(base, offset),
            field::<u32>(base, offset + 4),
            field::<u32>(base, offset + 8),
            field::<u32>(base, offset + 12),
        ]
    };
    Address::from_words(words)
}

/// A field behind an address that the verifier knows no type of; zero if it cannot be read.
///
/// # Safety
/// Any address will do.
#[inline(always)]
unsafe fn probe<T: Copy + Default>(base: u64, offset: usize) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((base as usize + offset) as *const T).unwrap_or_default() }
}

/// The address of a socket as a number.
///
/// The verifier allows no arithmetic on a pointer to a socket that a control group program was given. What an atomic addition
/// leaves on the stack is a number for it. That costs a fifth of reading the pointer's slot with a helper.
#[inline(always)]
pub(crate) fn number<T>(sk: *const T) -> u64 {
    let mut slot = 0_u64;
    // SAFETY: this function's own variable, which the compiler must not take for unchanged.
    unsafe {
        word::add(&raw mut slot, sk as u64);
        core::ptr::read_volatile(&raw const slot)
    }
}

/// The control group of a socket by its address that the current task uses: it nearly always made it too, and what is the
/// task's own is read in less time than the socket's.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
pub(crate) unsafe fn cgroup_of(sk: u64, task: *const u8) -> u64 {
    // SAFETY: typed pointers down from the task, each offset that of the running kernel; any address will do for the rest.
    unsafe {
        let cgroup: u64 = probe(sk, offset(&LAYOUT.cgroup));
        let of_task = task_group(task);
        if of_task as u64 == cgroup && cgroup != 0 {
            return self::cgroup_id(of_task);
        }
        let directory: u64 = probe(cgroup, offset(&LAYOUT.cgroup_kn));
        probe(directory, offset(&LAYOUT.kn_id))
    }
}

/// Its network namespace, likewise.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
pub(crate) unsafe fn netns_of(sk: u64, task: *const u8) -> u32 {
    // SAFETY: typed pointers down from the task, each offset that of the running kernel; any address will do for the rest.
    unsafe {
        let net: u64 = probe(sk, offset(&LAYOUT.net));
        let of_task = task_net(task);
        if of_task as u64 == net {
            net_inum(of_task)
        } else {
            probe(net, offset(&LAYOUT.net_inum))
        }
    }
}

/// The local address and port of a socket by its address.
#[inline(always)]
pub(crate) fn local_of(sk: u64) -> (Address, u16) {
    // SAFETY: any address will do.
    unsafe {
        let local_ip = if probe::<u16>(sk, offset(&LAYOUT.family)) == AF_INET6 {
            Address::from_words(probe::<[u32; 4]>(sk, offset(&LAYOUT.local_v6)))
        } else {
            Address::from_v4(probe::<[u8; 4]>(sk, offset(&LAYOUT.local_v4)))
        };
        (local_ip, probe(sk, offset(&LAYOUT.local_port)))
    }
}

/// The `EtherType` of a packet socket by its address; `0`, which is none, where this kernel does not describe them.
#[inline(always)]
pub(crate) fn packet_protocol(sk: u64) -> u16 {
    match offset(&LAYOUT.packet_protocol) {
        0 => 0,
        // SAFETY: any address will do.
        at => u16::from_be(unsafe { probe(sk, at) }),
    }
}

/// `sk_userlocks`, which is four bits wide (`include/net/sock.h`): what the owner of a socket chose itself.
#[inline(always)]
pub(crate) fn user_locks(sk: u64) -> u8 {
    const WIDTH: u16 = 0xf;
    // SAFETY: any address will do.
    let locks: u16 = unsafe { probe(sk, offset(&LAYOUT.user_locks)) };
    (locks >> (offset(&LAYOUT.user_locks_shift) & 7) & WIDTH) as u8
}

/// True for a socket that was bound to a port on purpose.
#[inline(always)]
pub(crate) fn port_is_locked(sk: u64) -> bool {
    user_locks(sk) & PORT_LOCK != 0
}
