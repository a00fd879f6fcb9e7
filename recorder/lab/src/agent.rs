//! The process inside a pod, node or outside host: it opens the sockets.
//!
//! It joins a cgroup, then a network namespace, before it makes any socket, since a socket belongs for ever to the
//! cgroup it was made in. Then it takes commands, one per line on standard input, and answers on standard output; it
//! ends when its input does, so that it never outlives the lab.
//!
//! | command | answer |
//! | --- | --- |
//! | `listen PROTOCOL PORT` | `ok` or `error TEXT` |
//! | `sysctl PATH VALUE` | `ok` or `error TEXT` |
//! | `connect PROTOCOL ADDRESS PORT COUNT` | `COUNT` lines `OUTCOME [SERVER CLIENT]`, the server's view of both ends |
//! | `hold PROTOCOL ADDRESS PORT` | the same for one connection, which then stays open |
//! | `pend PROTOCOL ADDRESS PORT` | `ok`: something was sent, nothing is expected |
//!
//! Protocols are `tcp`, `udp` for connected sockets, and `datagram` for UDP sockets that are never connected.

use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

mod client;
mod server;

/// What an agent is and has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Directory of the cgroup to join.
    pub cgroup: PathBuf,
    /// File of the network namespace to join.
    pub netns: PathBuf,
    /// Addresses of the namespace, for the answers of datagram servers.
    pub addresses: Vec<IpAddr>,
}

/// Joins its place and serves commands until the input ends.
pub fn run(place: &Place) -> io::Result<()> {
    join(&place.cgroup, &place.netns)?;
    let mut output = io::stdout().lock();
    writeln!(output, "ready")?;
    output.flush()?;
    let mut held = Vec::new();
    for line in io::stdin().lock().lines() {
        let answer = obey(&line?, place, &mut held);
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn join(cgroup: &Path, netns: &Path) -> io::Result<()> {
    // Zero is the writing process itself.
    std::fs::write(cgroup.join("cgroup.procs"), "0")?;
    let namespace = File::open(netns)?;
    // SAFETY: the descriptor is open for the whole call, and setns changes nothing but this thread's namespace; no
    // other thread exists yet, so that later ones inherit it.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Does what a line says; the answer may have several lines.
fn obey(line: &str, place: &Place, held: &mut Vec<client::Open>) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["listen", protocol, port] => done(
            port.parse()
                .map_err(invalid)
                .and_then(|port| server::listen(protocol, port, place.addresses.clone())),
        ),
        ["sysctl", path, value] => done(std::fs::write(Path::new("/proc/sys").join(path), value)),
        ["connect", protocol, address, port, count] => {
            let target = client::target(protocol, address, port);
            match (target, count.parse::<usize>()) {
                (Some(target), Ok(count)) => {
                    let lines: Vec<String> = (0..count).map(|_| target.open().0).collect();
                    lines.join("\n")
                }
                _ => format!("error: not a connection: {line}"),
            }
        }
        ["hold", protocol, address, port] => match client::target(protocol, address, port) {
            Some(target) => {
                let (answer, open) = target.open();
                held.extend(open);
                answer
            }
            None => format!("error: not a connection: {line}"),
        },
        ["pend", protocol, address, port] => match client::target(protocol, address, port) {
            Some(target) => done(target.pend()),
            None => format!("error: not a connection: {line}"),
        },
        _ => format!("error: not a command: {line}"),
    }
}

fn done(result: io::Result<()>) -> String {
    result.map_or_else(|error| format!("error: {error}"), |()| "ok".to_owned())
}

fn invalid(error: std::num::ParseIntError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
