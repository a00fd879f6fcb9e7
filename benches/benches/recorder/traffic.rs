//! Traffic on the loopback of a network namespace of its own: system calls and nothing else between two looks at the clock.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Instant;

use crate::Outcome;

/// Bytes of a datagram.
const DATAGRAM: usize = 64;

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// socket, connect, accept4, close with a reset, close.
    TcpPair,
    /// sendto and recvfrom between two sockets, of which only the server is bound.
    UdpDatagram,
    /// send and recv between two sockets that are connected to each other.
    UdpConnected,
    /// socket, bind to a port, close.
    UdpServer,
}

/// The sockets that stay open.
pub(crate) struct Traffic {
    listener: OwnedFd,
    tcp: libc::sockaddr_in,
    server: OwnedFd,
    udp: libc::sockaddr_in,
    client: OwnedFd,
    connected: (OwnedFd, OwnedFd),
}

impl Traffic {
    /// Moves this thread to a fresh network namespace and opens the sockets there.
    pub(crate) fn in_fresh_namespace() -> Outcome<Self> {
        fresh_namespace()?;
        let listener = socket(libc::SOCK_STREAM)?;
        let tcp = bind(&listener, 7_000)?;
        // SAFETY: no pointers are involved.
        check(unsafe { libc::listen(listener.as_raw_fd(), 128) })?;
        let server = socket(libc::SOCK_DGRAM)?;
        let udp = bind(&server, 7_001)?;
        let connected = (socket(libc::SOCK_DGRAM)?, socket(libc::SOCK_DGRAM)?);
        let (one, other) = (bind(&connected.0, 7_002)?, bind(&connected.1, 7_003)?);
        connect(&connected.0, &other)?;
        connect(&connected.1, &one)?;
        Ok(Self {
            listener,
            tcp,
            server,
            udp,
            client: socket(libc::SOCK_DGRAM)?,
            connected,
        })
    }

    /// Does it `count` times; gives the nanoseconds it took.
    pub(crate) fn run(&self, kind: Kind, count: u32) -> io::Result<u64> {
        let began = Instant::now();
        match kind {
            Kind::TcpPair => (0..count).try_for_each(|_| self.pair())?,
            Kind::UdpDatagram => (0..count).try_for_each(|_| self.datagram())?,
            Kind::UdpConnected => (0..count).try_for_each(|_| self.connected_datagram())?,
            Kind::UdpServer => (0..count).try_for_each(|_| bind(&socket(libc::SOCK_DGRAM)?, 7_004).map(drop))?,
        }
        Ok(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn pair(&self) -> io::Result<()> {
        let client = socket(libc::SOCK_STREAM)?;
        connect(&client, &self.tcp)?;
        // SAFETY: the kernel may be told not to say who called.
        let accepted = unsafe {
            libc::accept4(
                self.listener.as_raw_fd(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                libc::SOCK_CLOEXEC,
            )
        };
        check(accepted)?;
        // SAFETY: a fresh descriptor that nobody else has.
        let accepted = unsafe { OwnedFd::from_raw_fd(accepted) };
        reset_on_close(&client)?;
        drop(client);
        drop(accepted);
        Ok(())
    }

    fn datagram(&self) -> io::Result<()> {
        send(&self.client, Some(&self.udp))?;
        receive(&self.server, true)
    }

    fn connected_datagram(&self) -> io::Result<()> {
        send(&self.connected.0, None)?;
        receive(&self.connected.1, false)
    }
}

/// Keeps this thread on one processor, ahead of what else wants it.
pub(crate) fn pin(processor: usize) -> io::Result<()> {
    stay_on(&[processor])?;
    // SAFETY: no pointers are involved; 0 is this thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) })
}

/// Keeps this thread, and those it starts from now on, on some processors.
pub(crate) fn stay_on(processors: &[usize]) -> io::Result<()> {
    // SAFETY: all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    for &processor in processors {
        // SAFETY: a live set; the processor is one of those the kernel named.
        unsafe { libc::CPU_SET(processor, &mut set) };
    }
    // SAFETY: a live set of the stated size; 0 is this thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
}

/// Gives this thread a network namespace of its own, with its loopback up.
fn fresh_namespace() -> Outcome {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    let socket = socket(libc::SOCK_DGRAM)?;
    // SAFETY: all zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING)?;
    // SAFETY: a live `ifreq` with a name that ends in zero.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}

fn socket(kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are involved.
    let fd = unsafe { libc::socket(libc::AF_INET, kind | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: a fresh descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds to a port of 127.0.0.1, all of which are free in a fresh namespace. Not to 0: a socket that leaves its port to the
/// kernel is no server.
fn bind(socket: &OwnedFd, port: u16) -> io::Result<libc::sockaddr_in> {
    // SAFETY: all zero is a valid address.
    let mut address: libc::sockaddr_in = unsafe { zeroed() };
    address.sin_family = libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default();
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    address.sin_port = port.to_be();
    let length = length_of(&address);
    // SAFETY: a live address of the stated length.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(address)
}

fn connect(socket: &OwnedFd, to: &libc::sockaddr_in) -> io::Result<()> {
    // SAFETY: a live address of the stated length.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const *to).cast(), length_of(to)) })
}

/// Makes a connection end with a reset, so that it leaves nothing waiting.
fn reset_on_close(stream: &OwnedFd) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: a live struct of the stated length.
    check(unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            length_of(&linger),
        )
    })
}

fn send(from: &OwnedFd, to: Option<&libc::sockaddr_in>) -> io::Result<()> {
    let bytes = [0_u8; DATAGRAM];
    let (address, length) = to.map_or((std::ptr::null(), 0), |to| ((&raw const *to).cast(), length_of(to)));
    // SAFETY: a live buffer and a live address of the stated lengths, or none.
    let sent = unsafe { libc::sendto(from.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0, address, length) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Receives a datagram, asking who sent it or not.
fn receive(at: &OwnedFd, ask: bool) -> io::Result<()> {
    let mut bytes = [0_u8; DATAGRAM];
    // SAFETY: all zero is a valid address.
    let mut from: libc::sockaddr_in = unsafe { zeroed() };
    let mut length = length_of(&from);
    let (address, length) = if ask {
        ((&raw mut from).cast(), &raw mut length)
    } else {
        (std::ptr::null_mut(), std::ptr::null_mut())
    };
    let buffer = bytes.as_mut_ptr().cast();
    // SAFETY: a live buffer and a live address of the stated lengths, or none.
    let received = unsafe { libc::recvfrom(at.as_raw_fd(), buffer, bytes.len(), 0, address, length) };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn length_of<T>(value: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(value)).unwrap_or_default()
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
