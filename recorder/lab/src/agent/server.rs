//! Servers: each answers with what it sees of the connection, so that the lab can check translated addresses.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

/// Waits at a port for both families from now on, in threads of its own.
pub(super) fn listen(protocol: &str, port: u16, own: Vec<IpAddr>) -> io::Result<()> {
    match protocol {
        "tcp" => {
            let listener = TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
            thread::Builder::new()
                .name(format!("tcp-{port}"))
                .spawn(move || accept(&listener))?;
            Ok(())
        }
        "udp" => {
            let socket = UdpSocket::bind(("::", port)).or_else(|_| UdpSocket::bind(("0.0.0.0", port)))?;
            thread::Builder::new()
                .name(format!("udp-{port}"))
                .spawn(move || answer(&socket, port, &own))?;
            Ok(())
        }
        other => Err(io::Error::other(format!("the lab cannot serve `{other}`"))),
    }
}

fn accept(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        // Held connections stay open, so that each needs its own thread.
        let spawned = thread::Builder::new().name("connection".to_owned()).spawn(move || {
            let _ = talk(stream);
        });
        if spawned.is_err() {
            return;
        }
    }
}

/// Says what it sees, then waits for the client to close: whoever closes first keeps the port in TIME-WAIT.
fn talk(mut stream: TcpStream) -> io::Result<()> {
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    writeln!(stream, "{} {}", plain(local), plain(remote))?;
    let mut rest = [0; 64];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

fn answer(socket: &UdpSocket, port: u16, own: &[IpAddr]) {
    let mut datagram = [0; 2048];
    while let Ok((_, from)) = socket.recv_from(&mut datagram) {
        let remote = plain(from);
        let local = own.iter().find(|address| address.is_ipv4() == remote.is_ipv4());
        let local = SocketAddr::new(local.copied().unwrap_or_else(|| remote.ip()), port);
        let _ = socket.send_to(format!("{local} {remote}\n").as_bytes(), from);
    }
}

/// IPv4 as IPv4, also on sockets of both families.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
