//! Clients: one connection or datagram at a time, and what became of it.

use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

/// How long a datagram's answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a client connects to.
pub(super) struct Target {
    tcp: bool,
    server: SocketAddr,
}

/// A connection that stays open.
pub(super) enum Open {
    /// TCP.
    Tcp(#[expect(dead_code, reason = "held, not used")] TcpStream),
    /// Connected UDP.
    Udp(#[expect(dead_code, reason = "held, not used")] UdpSocket),
}

/// Reads `PROTOCOL ADDRESS PORT`.
pub(super) fn target(protocol: &str, address: &str, port: &str) -> Option<Target> {
    let server = SocketAddr::new(address.parse().ok()?, port.parse().ok()?);
    match protocol {
        "tcp" | "udp" => Some(Target {
            tcp: protocol == "tcp",
            server,
        }),
        _ => None,
    }
}

impl Target {
    /// Opens a connection; says its outcome and what the server saw.
    pub(super) fn open(&self) -> (String, Option<Open>) {
        let opened = if self.tcp { self.tcp() } else { self.udp() };
        match opened {
            Ok((seen, open)) => (format!("established {}", seen.trim_end()), Some(open)),
            Err(error) => (outcome(&error, self.tcp), None),
        }
    }

    /// Sends something that nobody answers, and leaves the socket open.
    pub(super) fn pend(&self) -> io::Result<()> {
        if self.tcp {
            let server = self.server;
            // Connecting blocks until the kernel gives up, which is after the lab.
            thread::Builder::new()
                .name("pending".to_owned())
                .spawn(move || TcpStream::connect(server))?;
            return Ok(());
        }
        let socket = self.socket()?;
        socket.send(b"?").map(|_| ())
    }

    fn tcp(&self) -> io::Result<(String, Open)> {
        let stream = TcpStream::connect(self.server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut seen = String::new();
        BufReader::new(&stream).read_line(&mut seen)?;
        Ok((seen, Open::Tcp(stream)))
    }

    fn udp(&self) -> io::Result<(String, Open)> {
        let socket = self.socket()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(b"?")?;
        let mut answer = [0; 256];
        let length = socket.recv(&mut answer)?;
        Ok((
            String::from_utf8_lossy(&answer[..length]).into_owned(),
            Open::Udp(socket),
        ))
    }

    fn socket(&self) -> io::Result<UdpSocket> {
        let any: IpAddr = if self.server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(self.server)?;
        Ok(socket)
    }
}

/// An error in the words of scenarios.
fn outcome(error: &io::Error, tcp: bool) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the standard library adds kinds of errors"
    )]
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable".to_owned(),
        ErrorKind::TimedOut => "timeout".to_owned(),
        // A datagram without answer proves nothing.
        ErrorKind::WouldBlock if !tcp => "unknown".to_owned(),
        _ => format!("error: {error}"),
    }
}
