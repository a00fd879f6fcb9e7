//! Connections that are older than a recording, held by a process of their own in a network namespace of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Outcome;
use crate::worker::fresh_namespace;

/// The port that it serves datagrams at.
pub(crate) const SERVED: u16 = 5_353;

/// A process that serves datagrams, holds a packet and a raw socket, and listens at two ports. At the first, two connections of its own wait, of which it has accepted one; at the
/// second waits one.
pub(crate) struct Holder {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) netns: u32,
    /// The first port.
    pub(crate) port: u16,
    /// The second one.
    pub(crate) waiting: u16,
}

impl Holder {
    /// Starts one, with all its connections.
    pub(crate) fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--holder")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut holder = Self {
            child,
            input,
            output,
            netns: 0,
            port: 0,
            waiting: 0,
        };
        let line = holder.line()?;
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [netns, port, waiting] => {
                holder.netns = netns.parse()?;
                holder.port = port.parse()?;
                holder.waiting = waiting.parse()?;
                Ok(holder)
            }
            _ => Err(format!("the holder said `{line}`").into()),
        }
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Accepts what waits at the second port.
    pub(crate) fn accept(&mut self) -> Outcome {
        writeln!(self.input, "accept")?;
        match self.line()?.as_str() {
            "accepted" => Ok(()),
            other => Err(format!("the holder said `{other}`").into()),
        }
    }

    /// Closes what serves datagrams.
    pub(crate) fn close(&mut self) -> Outcome {
        writeln!(self.input, "close")?;
        match self.line()?.as_str() {
            "closed" => Ok(()),
            other => Err(format!("the holder said `{other}`").into()),
        }
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does until the end of its input.
pub(crate) fn run() -> Outcome {
    let netns = fresh_namespace()?;
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (first, second) = (listen()?, listen()?);
    let (to, waiting) = (first.local_addr()?, second.local_addr()?);
    let connect = |to: &SocketAddr| TcpStream::connect(to);
    let _clients = [to, to, waiting].iter().map(connect).collect::<Result<Vec<_>, _>>()?;
    let mut accepted = vec![first.accept()?];
    let served = UdpSocket::bind((Ipv4Addr::LOCALHOST, SERVED))?;
    let _others = [
        socket(libc::AF_PACKET, libc::SOCK_RAW)?,
        socket(libc::AF_INET, libc::SOCK_RAW)?,
    ];
    let mut output = std::io::stdout();
    writeln!(output, "{netns} {} {}", to.port(), waiting.port())?;
    let mut served = Some(served);
    for line in std::io::stdin().lines() {
        if line? == "close" {
            served = None;
            writeln!(output, "closed")?;
        } else {
            accepted.push(second.accept()?);
            writeln!(output, "accepted")?;
        }
    }
    drop(served);
    Ok(())
}

/// A socket of ICMP, or of all frames.
fn socket(family: libc::c_int, kind: libc::c_int) -> Outcome<OwnedFd> {
    let protocol = if family == libc::AF_INET {
        libc::IPPROTO_ICMP
    } else {
        // As it stands in a frame (packet(7)).
        i32::from(u16::to_be(0x0806))
    };
    // SAFETY: no pointers are involved.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: a fresh descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
