//! Sockets as the standard library does not make them: bound before they connect, with a chosen queue, without waiting.

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use crate::Outcome;

/// `IPPROTO_MPTCP`, `include/uapi/linux/in.h`.
pub(crate) const MPTCP: libc::c_int = 262;

/// A stream socket for the family of an address.
pub(crate) fn stream(address: SocketAddr, protocol: libc::c_int, nonblocking: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: no pointers are involved.
    let fd = unsafe { libc::socket(family, kind, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an integer option.
pub(crate) fn set(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(4);
    // SAFETY: a live integer of the stated length.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) })
}

/// `bind`.
pub(crate) fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    with_raw(address, |raw, length| {
        // SAFETY: a live address of the stated length.
        check(unsafe { libc::bind(socket.as_raw_fd(), raw, length) })
    })
}

/// `connect`.
pub(crate) fn connect(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    with_raw(address, |raw, length| {
        // SAFETY: a live address of the stated length.
        check(unsafe { libc::connect(socket.as_raw_fd(), raw, length) })
    })
}

/// A listener with a chosen queue.
pub(crate) fn listen(address: SocketAddr, protocol: libc::c_int, backlog: libc::c_int) -> Outcome<TcpListener> {
    let socket = stream(address, protocol, false)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    bind(&socket, address)?;
    // SAFETY: no pointers are involved.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(TcpListener::from(socket))
}

/// Makes a connection end with a reset, so that it leaves nothing waiting.
pub(crate) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let length = libc::socklen_t::try_from(size_of_val(&linger)).unwrap_or(8);
    // SAFETY: a live struct of the stated length.
    check(unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            length,
        )
    })
}

/// Gives this process a network namespace of its own, with its loopback up. Gives the inode number.
pub(crate) fn fresh_namespace() -> Outcome<u32> {
    use std::os::unix::fs::MetadataExt as _;
    // SAFETY: no pointers are involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    let socket = stream(SocketAddr::from(([127, 0, 0, 1], 0)), 0, false)?;
    // SAFETY: all zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING)?;
    // SAFETY: a live `ifreq` with a name that ends in zero.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(u32::try_from(std::fs::metadata("/proc/self/ns/net")?.ino())?)
}

/// Lets every processor receive what the loopback of this namespace carries: what one sends then interrupts another, at any
/// instruction. By itself a packet is received where it was sent, at a moment that suits the sender.
pub(crate) fn receive_on_every_processor() -> Outcome {
    // `/sys` shows the devices of the namespace it was mounted in.
    let sys = tempfile::tempdir()?;
    let at = std::ffi::CString::new(sys.path().to_str().ok_or("a path that is no text")?)?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: live strings that end in zero; no other pointers are looked at.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        check(libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            std::ptr::null(),
            private,
            std::ptr::null(),
        ))?;
        check(libc::mount(
            c"none".as_ptr(),
            at.as_ptr(),
            c"sysfs".as_ptr(),
            0,
            std::ptr::null(),
        ))?;
    }
    let processors = std::thread::available_parallelism()?.get().min(32);
    let mask = format!("{:x}", (1_u64 << processors) - 1);
    let written = std::fs::write(sys.path().join("class/net/lo/queues/rx-0/rps_cpus"), mask);
    // SAFETY: as above.
    check(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) })?;
    Ok(written?)
}

fn with_raw<T>(address: SocketAddr, call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> T) -> T {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: all zero is a valid address.
            let mut raw: libc::sockaddr_in = unsafe { zeroed() };
            raw.sin_family = libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default();
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            call(
                (&raw const raw).cast(),
                libc::socklen_t::try_from(size_of_val(&raw)).unwrap_or_default(),
            )
        }
        SocketAddr::V6(v6) => {
            // SAFETY: all zero is a valid address.
            let mut raw: libc::sockaddr_in6 = unsafe { zeroed() };
            raw.sin6_family = libc::sa_family_t::try_from(libc::AF_INET6).unwrap_or_default();
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            call(
                (&raw const raw).cast(),
                libc::socklen_t::try_from(size_of_val(&raw)).unwrap_or_default(),
            )
        }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
