//! Goes through the files of all processes and writes what their sockets are: those that were open before the window, and
//! those that still are.
//!
//! Relies on `struct bpf_iter__task_file { meta, task, fd, file }` (`kernel/bpf/task_iter.c`, since v5.8) and on the helper
//! `bpf_sock_from_file` (since v5.11). It sees the processes of the reader's pid namespace, in every network namespace.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_seq_write, bpf_sock_from_file};
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::open::OpenSocket;

use crate::sock;

// `include/linux/socket.h`. Sockets of other families reach no network.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_PACKET: u16 = 17;
const AF_XDP: u16 = 44;

/// `struct bpf_iter__task_file`, in which every field has the room of a pointer.
#[repr(C)]
struct TaskFile {
    meta: *const Meta,
    task: *const u8,
    fd: u64,
    file: *const c_void,
}

/// `struct bpf_iter_meta` (`include/linux/bpf.h`), as far as it is needed.
#[repr(C)]
struct Meta {
    seq: *const c_void,
}

/// The program; called once for each file of each process, and once more at the end without one.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn task_file(context: *const TaskFile) -> i32 {
    // SAFETY: the context of this kind of program; the verifier knows the type of every pointer in it.
    unsafe {
        let (task, file) = ((*context).task, (*context).file);
        if task.is_null() || file.is_null() {
            return 0;
        }
        let socket = bpf_sock_from_file(file.cast_mut().cast());
        if socket.is_null() {
            return 0;
        }
        let sk = sock::of_socket(socket.cast());
        if sk.is_null() {
            return 0;
        }
        let family = sock::family(sk);
        if !matches!(family, AF_INET | AF_INET6 | AF_PACKET | AF_XDP) {
            return 0;
        }
        let owner = sock::owner(sk);
        let mut open = OpenSocket {
            cookie: bpf_get_socket_cookie(sk.cast_mut().cast()),
            cgroup_id: owner.cgroup_id,
            netns: owner.netns,
            pid: sock::task_process(task),
            backlog: sock::backlog(sk),
            family,
            protocol: if family == AF_PACKET {
                sock::packet_protocol(sk as u64)
            } else {
                sock::protocol(sk)
            },
            local_ip: Address::UNSPECIFIED,
            remote_ip: Address::UNSPECIFIED,
            local_port: 0,
            remote_port: 0,
            socket_type: sock::socket_type(sk),
            state: sock::state(sk),
            user_locks: sock::user_locks(sk as u64),
            comm: sock::task_name(task),
        };
        if let Some(tuple) = sock::tuple(sk) {
            open.local_ip = tuple.local_ip;
            open.remote_ip = tuple.remote_ip;
            open.local_port = tuple.local_port;
            open.remote_port = tuple.remote_port;
        }
        let seq = (*(*context).meta).seq;
        // Where there is no room left, the kernel gives out what there is and calls again for the same file (`bpf_seq_read`,
        // `kernel/bpf/bpf_iter.c`, v6.12).
        bpf_seq_write(
            seq.cast_mut().cast(),
            (&raw const open).cast_mut().cast(),
            size_of::<OpenSocket>() as u32,
        );
    }
    0
}
