//! A socket load balancer as small as can be: a program that puts another address in the place of one it knows.

use std::io;
use std::net::{IpAddr, SocketAddr};
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
const BPF_CGROUP_INET6_CONNECT: u32 = 11;

// Fields of `struct bpf_sock_addr`, there.
const USER_IP4: i16 = 4;
const USER_IP6: i16 = 8;
const USER_PORT: i16 = 24;

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
    /// Sends what is meant for `service` to `backend`, of the same version, whatever the protocol.
    pub(crate) fn new(group: &Path, service: IpAddr, backend: SocketAddr) -> Outcome<Self> {
        let (service, to) = (words(service), words(backend.ip()));
        let (first, attach_type) = if backend.is_ipv4() {
            (USER_IP4, BPF_CGROUP_INET4_CONNECT)
        } else {
            (USER_IP6, BPF_CGROUP_INET6_CONNECT)
        };
        let fields: Vec<i16> = (first..).step_by(4).take(to.len()).collect();
        let mut program = Vec::new();
        // Instructions from the first to the end: two of each comparison and each store, two for the port.
        let end = i16::try_from(4 * to.len() + 2)?;
        for (number, (&field, word)) in (0_i16..).zip(fields.iter().zip(service)) {
            // w2 = *(u32 *)(r1 + field); if w2 != word goto the end.
            program.push(instruction(0x61, 2, 1, field, 0));
            program.push(instruction(0x56, 2, 0, end - 2 * number - 2, word));
        }
        let port = (USER_PORT, u32::from(backend.port().to_be()));
        for (field, word) in fields.into_iter().zip(to).chain([port]) {
            // w2 = word; *(u32 *)(r1 + field) = w2.
            program.push(instruction(0xb4, 2, 0, 0, word));
            program.push(instruction(0x63, 1, 2, field, 0));
        }
        // r0 = 1; exit.
        program.push(instruction(0xb7, 0, 0, 0, 1));
        program.push(instruction(0x95, 0, 0, 0, 0));
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
            expected_attach_type: attach_type,
        };
        let program = bpf(BPF_PROG_LOAD, &load)?;
        let directory = std::fs::File::open(group)?;
        let link = bpf(
            BPF_LINK_CREATE,
            &Link {
                program: program.as_raw_fd(),
                target: directory.as_raw_fd(),
                attach_type,
                flags: 0,
            },
        )?;
        Ok(Self {
            _program: program,
            _link: link,
        })
    }
}

/// An address as the words of a context.
fn words(address: IpAddr) -> Vec<u32> {
    let word = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes);
    match address {
        IpAddr::V4(address) => vec![word(&address.octets())],
        IpAddr::V6(address) => address.octets().as_chunks().0.iter().map(word).collect(),
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
