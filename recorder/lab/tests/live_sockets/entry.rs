//! Other ways into the kernel than the system calls of this architecture: `io_uring`, and the 32-bit entry `int 0x80`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use io_uring::{IoUring, opcode, squeue, types};

use crate::actor::{number, owned};

/// `connect()` by `io_uring`.
pub(crate) fn ring_connect(socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<()> {
    let address = raw(to);
    let length = u32::try_from(address.len()).unwrap_or_default();
    let call = opcode::Connect::new(types::Fd(number(socket)), address.as_ptr().cast(), length).build();
    submit(&call).map(|_| ())
}

/// `accept()` by `io_uring`.
pub(crate) fn ring_accept(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let nowhere = std::ptr::null_mut();
    let call = opcode::Accept::new(types::Fd(number(socket)), nowhere, nowhere.cast()).build();
    owned(submit(&call)?)
}

/// `send()` of one byte by `io_uring`.
pub(crate) fn ring_send(socket: BorrowedFd<'_>) -> io::Result<()> {
    let call = opcode::Send::new(types::Fd(number(socket)), b"x".as_ptr(), 1).build();
    submit(&call).map(|_| ())
}

/// Does one call and waits for its end.
fn submit(call: &squeue::Entry) -> io::Result<i32> {
    let mut ring = IoUring::new(4)?;
    // SAFETY: what the entry points to lives until the caller's call has ended, which is waited for.
    unsafe { ring.submission().push(call) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let ended = ring.completion().next();
    let result = ended
        .ok_or_else(|| io::Error::other("io_uring gave no result"))?
        .result();
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(result)
}

/// Connects with the first byte (`MSG_FASTOPEN`, tcp(7)).
pub(crate) fn fast_open(socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<()> {
    let address = raw(to);
    let length = libc::socklen_t::try_from(address.len()).unwrap_or_default();
    // SAFETY: live bytes of the stated lengths.
    let sent = unsafe {
        libc::sendto(
            number(socket),
            b"x".as_ptr().cast(),
            1,
            libc::MSG_FASTOPEN,
            address.as_ptr().cast(),
            length,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The cookie of a socket's network namespace (`SO_NETNS_COOKIE`, since v5.14).
pub(crate) fn namespace_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of_val(&cookie)).unwrap_or_default();
    // SAFETY: a live integer of the stated length.
    let result = unsafe {
        libc::getsockopt(
            number(socket),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

/// `struct sockaddr_in` or `sockaddr_in6` as bytes (ip(7), ipv6(7)); the same for both entries.
fn raw(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let mut bytes = u16::try_from(family).unwrap_or_default().to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            bytes.extend([0; 4]);
            bytes.extend(v6.ip().octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}

// Numbers of the 32-bit table (`arch/x86/entry/syscalls/syscall_32.tbl`, since v4.3).
const SOCKET: u32 = 359;
const BIND: u32 = 361;
const CONNECT: u32 = 362;
const LISTEN: u32 = 363;
const ACCEPT4: u32 = 364;

/// `socket()` by the 32-bit entry.
pub(crate) fn socket32(v4: bool, stream: bool) -> io::Result<OwnedFd> {
    let family = if v4 { libc::AF_INET } else { libc::AF_INET6 };
    let kind = if stream { libc::SOCK_STREAM } else { libc::SOCK_DGRAM };
    owned(call32(SOCKET, [word(family), word(kind | libc::SOCK_CLOEXEC), 0])?)
}

/// `bind()` by the 32-bit entry.
pub(crate) fn bind32(socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<()> {
    with_low(to, |address, length| {
        call32(BIND, [word(number(socket)), address, length]).map(|_| ())
    })
}

/// `listen()` by the 32-bit entry.
pub(crate) fn listen32(socket: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    call32(LISTEN, [word(number(socket)), backlog, 0]).map(|_| ())
}

/// `connect()` by the 32-bit entry.
pub(crate) fn connect32(socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<()> {
    with_low(to, |address, length| {
        call32(CONNECT, [word(number(socket)), address, length]).map(|_| ())
    })
}

/// `accept()` by the 32-bit entry.
pub(crate) fn accept32(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    owned(call32(ACCEPT4, [word(number(socket)), 0, 0])?)
}

fn word(number: i32) -> u32 {
    number.cast_unsigned()
}

/// An address where 32 bits can point to.
fn with_low<T>(address: SocketAddr, call: impl FnOnce(u32, u32) -> io::Result<T>) -> io::Result<T> {
    const PAGE: usize = 4096;
    let bytes = raw(address);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    // SAFETY: a fresh mapping, at an address that the kernel chooses.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is fresh, writable and longer than any address.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), page.cast(), bytes.len()) };
    let result = match (u32::try_from(page.addr()), u32::try_from(bytes.len())) {
        (Ok(low), Ok(length)) => call(low, length),
        _ => Err(io::Error::other("no memory that 32 bits can point to")),
    };
    // SAFETY: the mapping made above, which nobody uses any more.
    unsafe { libc::munmap(page, PAGE) };
    result
}

/// A call by the 32-bit entry, which a 64-bit process may use as well.
#[cfg(target_arch = "x86_64")]
fn call32(call: u32, [first, second, third]: [u32; 3]) -> io::Result<i32> {
    let result: u32;
    // SAFETY: pointers among the arguments are to live memory of the stated length; the entry keeps all registers but
    // these, and `rbx`, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "mov ebx, {first:e}",
            "int 0x80",
            "pop rbx",
            first = in(reg) first,
            inlateout("eax") call => result,
            in("ecx") second,
            in("edx") third,
            in("esi") 0,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    match result.cast_signed() {
        failed if failed < 0 => Err(io::Error::from_raw_os_error(-failed)),
        fine => Ok(fine),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn call32(_call: u32, _arguments: [u32; 3]) -> io::Result<i32> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}
