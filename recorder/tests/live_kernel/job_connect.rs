//! Attempts to connect that end in other ways than a handshake does.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::worker::{V4, quiet_network, say};
use crate::{Outcome, socket};

/// No way to go, twice over one socket: no packet ever leaves.
pub(crate) fn no_route() -> Outcome {
    for (name, to) in [("port4", "192.0.2.1:81"), ("port6", "[2001:db8::1]:82")] {
        let to: SocketAddr = to.parse()?;
        let socket = socket::stream(to, 0, false)?;
        for _ in 0..2 {
            match socket::connect(&socket, to) {
                Err(error) if error.raw_os_error() == Some(libc::ENETUNREACH) => {}
                other => return Err(format!("there was a way to go: {other:?}").into()),
            }
        }
        say(name, to.port())?;
    }
    Ok(())
}

/// No way to go, once over each of many sockets that stay open, and as many that are refused.
pub(crate) fn many_no_route(count: u32) -> Outcome {
    let nowhere: SocketAddr = "192.0.2.1:81".parse()?;
    let nobody = TcpListener::bind((V4, 0))?.local_addr()?;
    let mut open = Vec::new();
    for _ in 0..count {
        for (to, errno) in [(nowhere, libc::ENETUNREACH), (nobody, libc::ECONNREFUSED)] {
            let socket = socket::stream(to, 0, false)?;
            match socket::connect(&socket, to) {
                Err(error) if error.raw_os_error() == Some(errno) => open.push(socket),
                other => return Err(format!("expected error {errno}: {other:?}").into()),
            }
        }
    }
    say("refused", count)
}

/// A handshake that does not end: says so by a file, and waits for another one.
pub(crate) fn open(ready: &Path, done: &Path) -> Outcome {
    let to = quiet_network()?;
    let waiting = socket::stream(to, 0, true)?;
    match socket::connect(&waiting, to) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        other => return Err(format!("expected to wait: {other:?}").into()),
    }
    say("port", to.port())?;
    std::fs::write(ready, "")?;
    wait_for(done)
}

fn wait_for(done: &Path) -> Outcome {
    let began = Instant::now();
    while !done.exists() {
        if began.elapsed() > Duration::from_mins(1) {
            return Err("nobody said that it is done".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Handshakes that do not end, with those that are refused between them: says so by a file, and waits for another one.
pub(crate) fn many_open(open: u16, refused: u16, ready: &Path, done: &Path) -> Outcome {
    let quiet = quiet_network()?.ip();
    let nobody = TcpListener::bind((V4, 0))?.local_addr()?;
    let mut waiting = Vec::new();
    for number in 0..open.max(refused) {
        let asked = [
            (number < open, SocketAddr::new(quiet, 8_000 + number), libc::EINPROGRESS),
            (number < refused, nobody, libc::ECONNREFUSED),
        ];
        for (_, to, errno) in asked.into_iter().filter(|(is_wanted, ..)| *is_wanted) {
            let socket = socket::stream(to, 0, errno == libc::EINPROGRESS)?;
            match socket::connect(&socket, to) {
                Err(error) if error.raw_os_error() == Some(errno) => waiting.push(socket),
                other => return Err(format!("expected error {errno}: {other:?}").into()),
            }
        }
    }
    std::fs::write(ready, "")?;
    wait_for(done)
}

/// Connects to an address behind which, if anything, another one stands: a listener of our own.
pub(crate) fn to(address: SocketAddr) -> Outcome {
    let listener = TcpListener::bind((V4, BACKEND_PORT))?;
    let stream = TcpStream::connect(address)?;
    let (_accepted, _from) = listener.accept()?;
    say("peer_port", stream.peer_addr()?.port())
}

/// Where that listener is.
pub(crate) const BACKEND_PORT: u16 = 8043;
