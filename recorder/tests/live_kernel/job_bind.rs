//! What a worker does who binds sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use crate::Outcome;
use crate::job_socket::make;
use crate::socket;
use crate::worker::{MAPPED, V4, V6, WILDCARD};

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A socket of one type that is bound to an address; with port 0 the kernel chooses, and the worker says what.
fn bound(kind: libc::c_int, address: IpAddr, port: u16) -> Outcome<OwnedFd> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let socket = make(family, kind, 0)?;
    socket::bind(&socket, SocketAddr::new(address, port))?;
    Ok(socket)
}

/// TCP and UDP, over both versions, on ports of the program's and of the kernel's choice.
pub(crate) fn ports() -> Outcome {
    for (kind, first) in [(libc::SOCK_STREAM, 6_000), (libc::SOCK_DGRAM, 17_000)] {
        for (port, address) in (first..).zip([V4, V6, ANY, MAPPED]) {
            drop(bound(kind, address, port)?);
            drop(bound(kind, address, 0)?);
        }
        // Both versions at once.
        drop(bound(kind, WILDCARD, first + 4)?);
    }
    Ok(())
}

/// One port that is asked for in vain, then a port of the kernel's choice; and the other way round.
pub(crate) fn second_thoughts() -> Outcome {
    let server = UdpSocket::bind((V4, 17_100))?;
    let to = server.local_addr()?;
    let socket = make(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let refused = socket::bind(&socket, to).err().and_then(|error| error.raw_os_error());
    if refused != Some(libc::EADDRINUSE) {
        return Err(format!("expected to be refused: {refused:?}").into());
    }
    socket::bind(&socket, SocketAddr::new(V4, 0))?;
    let socket = make(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let refused = socket::bind(&socket, elsewhere)
        .err()
        .and_then(|error| error.raw_os_error());
    if refused != Some(libc::EADDRNOTAVAIL) {
        return Err(format!("expected to be refused: {refused:?}").into());
    }
    socket::bind(&socket, SocketAddr::new(V4, 17_101))?;
    Ok(())
}

/// Sockets that the kernel binds: when they connect or send, and when they leave the port for later.
pub(crate) fn unasked() -> Outcome {
    let server = UdpSocket::bind((V4, 17_200))?;
    let to = server.local_addr()?;
    let socket = make(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    socket::connect(&socket, to)?;
    let later = make(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    socket::set(&later, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    socket::bind(&later, SocketAddr::new(V4, 0))?;
    Ok(socket::connect(&later, to)?)
}

/// A wildcard socket that has an address once it is connected, two sockets of one port, and servers that are bound once more
/// in vain.
pub(crate) fn ends() -> Outcome {
    let server = UdpSocket::bind((V4, 17_300))?;
    for (port, other) in [(17_303, 17_305), (17_304, 0)] {
        let bound = bound(libc::SOCK_DGRAM, V4, port)?;
        let refused = socket::bind(&bound, SocketAddr::new(V4, other)).err();
        let refused = refused.and_then(|error| error.raw_os_error());
        if refused != Some(libc::EINVAL) {
            return Err(format!("expected to be refused: {refused:?}").into());
        }
    }
    let wildcard = bound(libc::SOCK_DGRAM, ANY, 17_301)?;
    socket::connect(&wildcard, server.local_addr()?)?;
    drop(wildcard);
    let shared = || -> Outcome<OwnedFd> {
        let socket = make(libc::AF_INET6, libc::SOCK_DGRAM, 0)?;
        socket::set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        socket::bind(&socket, SocketAddr::new(WILDCARD, 17_302))?;
        Ok(socket)
    };
    let (first, second) = (shared()?, shared()?);
    drop(first);
    drop(second);
    Ok(())
}

/// Ever another port, one after the other.
pub(crate) fn many(count: u16) -> Outcome {
    for port in 20_000..20_000 + count {
        drop(bound(libc::SOCK_DGRAM, V4, port)?);
    }
    Ok(())
}

/// One port again and again, and as often a socket of TCP that is bound and nothing else.
pub(crate) fn again(count: u32) -> Outcome {
    for _ in 0..count {
        drop(bound(libc::SOCK_DGRAM, V4, 17_400)?);
        drop(bound(libc::SOCK_STREAM, V4, 17_400)?);
    }
    Ok(())
}

/// So many ports at once.
pub(crate) fn at_once(count: u16) -> Outcome {
    let sockets = (20_000..20_000 + count).map(|port| bound(libc::SOCK_DGRAM, V4, port));
    drop(sockets.collect::<Outcome<Vec<_>>>()?);
    Ok(())
}
