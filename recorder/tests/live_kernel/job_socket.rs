//! What a worker does who only makes sockets.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::thread;

use crate::Outcome;
use crate::socket::MPTCP;
use crate::worker::say;

/// Makes a socket of any kind.
pub(crate) fn make(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are involved.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One of each kind, those of other families included.
pub(crate) fn kinds() -> Outcome {
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")?;
    for (family, kind, protocol) in [
        (libc::AF_INET, libc::SOCK_DGRAM, 0),
        (libc::AF_INET6, libc::SOCK_STREAM, 0),
        (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        (libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6),
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
        (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_ICMPV6),
        (libc::AF_INET, libc::SOCK_STREAM, MPTCP),
        (libc::AF_UNIX, libc::SOCK_STREAM, 0),
        (libc::AF_PACKET, libc::SOCK_RAW, 0),
        (libc::AF_NETLINK, libc::SOCK_RAW, 0),
    ] {
        drop(make(family, kind, protocol)?);
    }
    // What is refused is no socket.
    match make(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_UDP) {
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => Ok(()),
        other => Err(format!("a stream over UDP: {other:?}").into()),
    }
}

/// A raw socket of each of so many protocols: each is a kind of its own.
pub(crate) fn raw(protocols: u8) -> Outcome {
    for protocol in 1..=protocols {
        drop(make(libc::AF_INET, libc::SOCK_RAW, protocol.into())?);
    }
    Ok(())
}

/// Threads that make sockets of one kind at full speed.
pub(crate) fn storm(threads: u32, each: u32) -> Outcome {
    let makers: Vec<_> = (0..threads)
        .map(|_| {
            thread::spawn(move || -> io::Result<()> {
                (0..each).try_for_each(|_| make(libc::AF_INET, libc::SOCK_DGRAM, 0).map(drop))
            })
        })
        .collect();
    for maker in makers {
        maker.join().map_err(|_panic| "a thread panicked")??;
    }
    say("made", threads * each)
}
