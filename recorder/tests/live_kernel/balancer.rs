//! A socket load balancer as small as can be: a program that puts another address in the place of one it knows.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use crate::Outcome;

/// Rewrites connections of a control group while it lives.
pub(crate) struct Balancer {
    _program: OwnedFd,
    _link: OwnedFd,
}

// `include/uapi/linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_CGROUP_INET4_CONNECT: u32 = 10;

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads, up to `expected_attach_type`.
#[repr(C)]
struct Load {
    program_type: u32,
    instructions: u32,
    first: *const u64,
    license: *const libc::c_char,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads.
#[repr(C)]
struct Link {
    program: i32,
    target: i32,
    attach_type: u32,
    flags: u32,
}

impl Balancer {
    /// Sends what is meant for `service` to `backend`.
    pub(crate) fn new(group: &Path, service: Ipv4Addr, backend: SocketAddrV4) -> Outcome<Self> {
        let network = |address: Ipv4Addr| u32::from_ne_bytes(address.octets());
        let port = u32::from(backend.port().to_be());
        let program = [
            // w2 = *(u32 *)(r1 + 4): `user_ip4`.
            instruction(0x61, 2, 1, 4, 0),
            // if w2 != service goto the end.
            instruction(0x56, 2, 0, 4, network(service)),
            // w2 = backend; *(u32 *)(r1 + 4) = w2.
            instruction(0xb4, 2, 0, 0, network(*backend.ip())),
            instruction(0x63, 1, 2, 4, 0),
            // w2 = port; *(u32 *)(r1 + 24) = w2: `user_port`.
            instruction(0xb4, 2, 0, 0, port),
            instruction(0x63, 1, 2, 24, 0),
            // r0 = 1; exit.
            instruction(0xb7, 0, 0, 0, 1),
            instruction(0x95, 0, 0, 0, 0),
        ];
        let load = Load {
            program_type: BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
            instructions: u32::try_from(program.len())?,
            first: program.as_ptr(),
            license: c"GPL".as_ptr(),
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: [0; 16],
            interface: 0,
            expected_attach_type: BPF_CGROUP_INET4_CONNECT,
        };
        let program = bpf(BPF_PROG_LOAD, &load)?;
        let directory = std::fs::File::open(group)?;
        let link = bpf(
            BPF_LINK_CREATE,
            &Link {
                program: program.as_raw_fd(),
                target: directory.as_raw_fd(),
                attach_type: BPF_CGROUP_INET4_CONNECT,
                flags: 0,
            },
        )?;
        Ok(Self {
            _program: program,
            _link: link,
        })
    }
}

/// `struct bpf_insn` as one word.
fn instruction(code: u8, to: u8, from: u8, offset: i16, value: u32) -> u64 {
    let mut bytes = [code, from << 4 | to, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&offset.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_le_bytes());
    u64::from_le_bytes(bytes)
}

/// A call of bpf(2) that gives a descriptor.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: a live struct of the stated size, laid out like the part of `union bpf_attr` that the command reads; the
    // pointers in it are to live data.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
