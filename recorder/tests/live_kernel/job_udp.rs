//! What a worker does over UDP.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::Outcome;
use crate::worker::{MAPPED, V4, V6, say};

/// A port that a server chooses in a namespace of its own.
const PORT: u16 = 5300;

fn server(version: &str) -> Outcome<(UdpSocket, IpAddr)> {
    let (on, to) = match version {
        "v4" => (V4, V4),
        "v6" => (V6, V6),
        "mapped" => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), MAPPED),
        other => return Err(format!("unknown version `{other}`").into()),
    };
    let socket = UdpSocket::bind((on, PORT))?;
    patience(&socket)?;
    say("port", PORT)?;
    Ok((socket, to))
}

/// A client on a port that the kernel chooses.
fn client(to: IpAddr) -> Outcome<UdpSocket> {
    let any: IpAddr = if to.is_ipv4() { V4 } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    patience(&socket)?;
    say("client_port", socket.local_addr()?.port())?;
    Ok(socket)
}

/// Nothing is waited for without end.
fn patience(socket: &UdpSocket) -> Outcome {
    Ok(socket.set_read_timeout(Some(Duration::from_secs(10)))?)
}

/// An unconnected client, and a server that answers each datagram.
pub(crate) fn asked(version: &str, count: u32) -> Outcome {
    let (server, to) = server(version)?;
    let client = client(to)?;
    let mut buffer = [0; 16];
    for _ in 0..count {
        client.send_to(b"ask", (to, PORT))?;
        let (length, from) = server.recv_from(&mut buffer)?;
        server.send_to(buffer.get(..length).unwrap_or_default(), from)?;
        client.recv_from(&mut buffer)?;
    }
    Ok(())
}

/// A connected client; the server answers each datagram.
pub(crate) fn connected(version: &str, count: u32) -> Outcome {
    let (server, to) = server(version)?;
    let client = client(to)?;
    client.connect((to, PORT))?;
    let mut buffer = [0; 16];
    for _ in 0..count {
        client.send(b"ask")?;
        let (length, from) = server.recv_from(&mut buffer)?;
        server.send_to(buffer.get(..length).unwrap_or_default(), from)?;
        client.recv(&mut buffer)?;
    }
    Ok(())
}

/// A connected client that names addresses all the same. Nobody answers.
pub(crate) fn named() -> Outcome {
    let (_server, to) = server("v4")?;
    let other = UdpSocket::bind((to, PORT + 1))?;
    say("other_port", PORT + 1)?;
    let client = client(to)?;
    client.connect((to, PORT))?;
    client.send(b"one")?;
    send_to(&client, SocketAddr::new(to, PORT))?;
    send_to(&client, other.local_addr()?)?;
    send_to(&client, other.local_addr()?)?;
    client.send(b"three")?;
    Ok(())
}

fn send_to(socket: &UdpSocket, to: SocketAddr) -> Outcome {
    socket.send_to(b"named", to)?;
    Ok(())
}

/// Connected, and closed again.
pub(crate) fn silent() -> Outcome {
    for to in [V4, V6] {
        let client = client(to)?;
        client.connect((to, PORT))?;
    }
    Ok(())
}

/// Nobody is there.
pub(crate) fn refused() -> Outcome {
    let client = client(V4)?;
    client.connect((V4, PORT))?;
    say("port", PORT)?;
    client.send(b"ask")?;
    match client.recv(&mut [0; 16]) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("not refused: {other:?}").into()),
    }
}

/// Somebody sends to a port that the kernel chose for its owner.
pub(crate) fn answers() -> Outcome {
    let (server, to) = server("v4")?;
    let client = client(to)?;
    let from = client.local_addr()?;
    server.send_to(b"unasked", from)?;
    client.recv_from(&mut [0; 16])?;
    Ok(())
}
