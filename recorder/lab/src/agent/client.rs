//! Clients: one connection or datagram at a time, and what became of it.

use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

/// How long a datagram's answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a client connects to.
pub(super) struct Target {
    means: Means,
    server: SocketAddr,
}

/// What kind of socket it uses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    Tcp,
    /// UDP that is connected: it learns of errors.
    Udp,
    /// UDP that never is: each datagram has an address.
    Datagram,
}

/// A connection that stays open.
pub(super) enum Open {
    /// TCP.
    Tcp(#[expect(dead_code, reason = "held, not used")] TcpStream),
    /// UDP.
    Udp(#[expect(dead_code, reason = "held, not used")] UdpSocket),
}

/// Reads `PROTOCOL ADDRESS PORT`.
pub(super) fn target(protocol: &str, address: &str, port: &str) -> Option<Target> {
    let server = SocketAddr::new(address.parse().ok()?, port.parse().ok()?);
    let means = match protocol {
        "tcp" => Means::Tcp,
        "udp" => Means::Udp,
        "datagram" => Means::Datagram,
        _ => return None,
    };
    Some(Target { means, server })
}

impl Target {
    /// Opens a connection; says its outcome and what the server saw.
    pub(super) fn open(&self) -> (String, Option<Open>) {
        let opened = match self.means {
            Means::Tcp => self.tcp(),
            Means::Udp | Means::Datagram => self.udp(),
        };
        match opened {
            Ok((seen, open)) => (format!("established {}", seen.trim_end()), Some(open)),
            Err(error) => (outcome(&error, self.means), None),
        }
    }

    /// Sends something that nobody answers, and leaves the socket open.
    pub(super) fn pend(&self) -> io::Result<()> {
        if self.means == Means::Tcp {
            let server = self.server;
            // Connecting blocks until the kernel gives up, which is after the lab.
            thread::Builder::new()
                .name("pending".to_owned())
                .spawn(move || TcpStream::connect(server))?;
            return Ok(());
        }
        self.asking().map(|_| ())
    }

    fn tcp(&self) -> io::Result<(String, Open)> {
        let stream = TcpStream::connect(self.server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut seen = String::new();
        BufReader::new(&stream).read_line(&mut seen)?;
        Ok((seen, Open::Tcp(stream)))
    }

    fn udp(&self) -> io::Result<(String, Open)> {
        let socket = self.asking()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut answer = [0; 256];
        let length = match self.means {
            Means::Datagram => socket.recv_from(&mut answer)?.0,
            Means::Tcp | Means::Udp => socket.recv(&mut answer)?,
        };
        Ok((
            String::from_utf8_lossy(&answer[..length]).into_owned(),
            Open::Udp(socket),
        ))
    }

    /// A socket that has sent one datagram.
    fn asking(&self) -> io::Result<UdpSocket> {
        let any: IpAddr = if self.server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0))?;
        if self.means == Means::Datagram {
            socket.send_to(b"?", self.server)?;
        } else {
            socket.connect(self.server)?;
            socket.send(b"?")?;
        }
        Ok(socket)
    }
}

/// An error in the words of scenarios.
fn outcome(error: &io::Error, means: Means) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the standard library adds kinds of errors"
    )]
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable".to_owned(),
        ErrorKind::TimedOut => "timeout".to_owned(),
        // A datagram without answer proves nothing.
        ErrorKind::WouldBlock if means != Means::Tcp => "unknown".to_owned(),
        _ => format!("error: {error}"),
    }
}
