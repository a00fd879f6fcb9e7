//! The process inside a pod: one command is one socket call.
//!
//! It joins a control group and a network namespace before it makes any socket, then takes commands, one per line on
//! standard input, and answers each with a line: `ok`, `ok VALUE`, or `errno NUMBER`. Sockets have names. It ends when its
//! input does.
//!
//! | command | does |
//! | --- | --- |
//! | `socket NAME FAMILY TYPE` | `socket()`; families `v4 v6`, types `stream mptcp dgram` |
//! | `option NAME OPTION` | `reuseport nonblock blocking v6only reset fastopen` |
//! | `bind NAME ADDRESS`, `listen NAME [QUEUE]`, `connect NAME ADDRESS` | the call of that name |
//! | `shut NAME` | `shutdown()` of its sending half |
//! | `accept NAME AS` | `accept()` into a new name; answers with the peer's address |
//! | `drain NAME` | accepts and closes whatever waits; answers with the number |
//! | `send NAME`, `sendto NAME ADDRESS`, `fast NAME ADDRESS` | one byte; `fast` connects with it (`MSG_FASTOPEN`) |
//! | `receive NAME` | waits a few seconds for something; answers with the sender's address, `-` if there is none |
//! | `settle NAME` | waits until a connect that was begun has ended; answers with how |
//! | `local NAME` | the address it is bound to |
//! | `cookie NAME` | the cookie of its network namespace |
//! | `close NAME` | the call of that name |
//! | `pass NAME PATH`, `take NAME PATH` | hands a socket over a unix socket at `PATH` (`SCM_RIGHTS`) |
//! | `spawn NAME CGROUP ADDRESS` | forks and executes a program that joins `CGROUP` and connects the inherited socket |
//! | `ring-connect`, `ring-accept`, `ring-send` | the same calls through `io_uring` |
//! | `socket32`, `bind32`, `listen32`, `connect32`, `accept32` | the same calls through the 32-bit entry |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::{Outcome, entry, handover};

/// How long anything may take that should happen at once.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Joins its place and serves commands until the input ends. `-` is to stay in the control group one is in, and to make a
/// new namespace with nothing but loopback.
pub(crate) fn run(cgroup: &str, netns: &str) -> Outcome {
    if cgroup != "-" {
        for directory in cgroup.split(',') {
            // Zero is the writing process itself.
            std::fs::write(format!("{directory}/cgroup.procs"), "0")?;
        }
    }
    if netns == "-" {
        // SAFETY: no pointers are involved, and no other thread exists.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }?;
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
        if !up.success() {
            return Err("`ip link set lo up` failed".into());
        }
    } else {
        let namespace = File::open(netns)?;
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))?;
    }
    let mut output = io::stdout();
    writeln!(output, "{}", std::fs::metadata("/proc/self/ns/net")?.ino())?;
    let mut sockets = Sockets::default();
    for line in io::stdin().lines() {
        let answer = match sockets.obey(&line?) {
            Ok(answer) => answer,
            Err(Trouble::Errno(errno)) => format!("errno {}", errno.raw_os_error()),
            Err(Trouble::Other(error)) => format!("error {error}"),
        };
        writeln!(output, "{answer}")?;
    }
    Ok(())
}

/// The program that `spawn` executes: joins a control group and connects the socket it inherited as standard input.
pub(crate) fn connect_inherited(cgroup: &str, address: &str) -> Outcome {
    std::fs::write(format!("{cgroup}/cgroup.procs"), "0")?;
    net::connect(std::io::stdin(), &address.parse::<SocketAddr>()?)?;
    Ok(())
}

/// Why a command was not done.
enum Trouble {
    /// The call itself said so, which may be what is wanted.
    Errno(Errno),
    /// Anything else.
    Other(Box<dyn std::error::Error>),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Box<dyn std::error::Error>> for Trouble {
    fn from(error: Box<dyn std::error::Error>) -> Self {
        Self::Other(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::Errno(Errno::from_raw_os_error(number)),
            None => Self::Other(error.into()),
        }
    }
}

type Answer = Result<String, Trouble>;

/// Sockets by name.
#[derive(Default)]
struct Sockets {
    open: BTreeMap<String, OwnedFd>,
}

impl Sockets {
    fn obey(&mut self, line: &str) -> Answer {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["socket", name, family, kind] => self.socket(name, family, kind),
            ["socket32", name, family, kind] => {
                let socket = entry::socket32(*family == "v4", *kind == "stream")?;
                Ok(self.keep(name, socket))
            }
            ["option", name, option] => done(option_of(self.get(name)?, option)),
            ["bind", name, address] => done(net::bind(self.get(name)?, &parse(address)?)),
            ["bind32", name, address] => Ok(ok(entry::bind32(self.get(name)?, parse(address)?)?)),
            ["listen", name] => done(net::listen(self.get(name)?, 64)),
            ["listen", name, queue] => done(net::listen(self.get(name)?, number_of(queue)?)),
            ["shut", name] => done(net::shutdown(self.get(name)?, net::Shutdown::Write)),
            ["listen32", name] => Ok(ok(entry::listen32(self.get(name)?, 64)?)),
            ["connect", name, address] => done(net::connect(self.get(name)?, &parse(address)?)),
            ["connect32", name, address] => Ok(ok(entry::connect32(self.get(name)?, parse(address)?)?)),
            ["ring-connect", name, address] => Ok(ok(entry::ring_connect(self.get(name)?, parse(address)?)?)),
            ["accept", name, new] => {
                wait(self.get(name)?, PollFlags::IN)?;
                let (socket, peer) = net::acceptfrom(self.get(name)?)?;
                self.keep(new, socket);
                Ok(shown(peer))
            }
            ["accept32", name, new] => {
                wait(self.get(name)?, PollFlags::IN)?;
                let socket = entry::accept32(self.get(name)?)?;
                Ok(self.keep(new, socket))
            }
            ["ring-accept", name, new] => {
                let socket = entry::ring_accept(self.get(name)?)?;
                Ok(self.keep(new, socket))
            }
            ["drain", name] => self.drain(name),
            ["close", name] => {
                self.open.remove(*name).ok_or_else(|| unknown(name))?;
                Ok("ok".to_owned())
            }
            _ => self.talk(&words, line),
        }
    }

    /// The commands that move data or sockets.
    fn talk(&mut self, words: &[&str], line: &str) -> Answer {
        match words {
            ["send", name] => done(net::send(self.get(name)?, b"x", SendFlags::NOSIGNAL).map(|_| ())),
            ["ring-send", name] => Ok(ok(entry::ring_send(self.get(name)?)?)),
            ["sendto", name, address] => {
                done(net::sendto(self.get(name)?, b"x", SendFlags::empty(), &parse(address)?).map(|_| ()))
            }
            ["fast", name, address] => Ok(ok(entry::fast_open(self.get(name)?, parse(address)?)?)),
            ["receive", name] => {
                wait(self.get(name)?, PollFlags::IN)?;
                let mut bytes = [0_u8; 64];
                let (_, _, from) = net::recvfrom(self.get(name)?, &mut bytes, RecvFlags::empty())?;
                Ok(shown(from))
            }
            ["settle", name] => {
                wait(self.get(name)?, PollFlags::OUT)?;
                done(sockopt::socket_error(self.get(name)?).and_then(|error| error))
            }
            ["local", name] => Ok(shown(Some(net::getsockname(self.get(name)?)?))),
            ["cookie", name] => Ok(format!("ok {}", entry::namespace_cookie(self.get(name)?)?)),
            ["pass", name, path] => Ok(ok(handover::pass(self.get(name)?, path)?)),
            ["take", name, path] => {
                let socket = handover::take(path)?;
                Ok(self.keep(name, socket))
            }
            ["spawn", name, cgroup, address] => self.spawn(name, cgroup, address),
            _ => Err(Trouble::Other(format!("not a command: {line}").into())),
        }
    }

    fn get(&self, name: &str) -> Result<BorrowedFd<'_>, Trouble> {
        self.open.get(name).map(OwnedFd::as_fd).ok_or_else(|| unknown(name))
    }

    fn keep(&mut self, name: &str, socket: OwnedFd) -> String {
        self.open.insert(name.to_owned(), socket);
        "ok".to_owned()
    }

    fn socket(&mut self, name: &str, family: &str, kind: &str) -> Answer {
        let icmp = if family == "v4" {
            net::ipproto::ICMP
        } else {
            net::ipproto::ICMPV6
        };
        let protocol = match kind {
            "mptcp" => Some(net::ipproto::MPTCP),
            "raw" | "ping" => Some(icmp),
            _ => None,
        };
        let family = if family == "v4" {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let kind = match kind {
            "dgram" | "ping" => SocketType::DGRAM,
            "raw" => SocketType::RAW,
            _ => SocketType::STREAM,
        };
        let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
        Ok(self.keep(name, socket))
    }

    fn drain(&mut self, name: &str) -> Answer {
        let listener = self.get(name)?;
        rustix::io::ioctl_fionbio(listener, true)?;
        let mut accepted = 0;
        loop {
            match net::accept(listener) {
                Ok(_) => accepted += 1,
                Err(Errno::AGAIN) => return Ok(format!("ok {accepted}")),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn spawn(&self, name: &str, cgroup: &str, address: &str) -> Answer {
        let socket = self.get(name)?.try_clone_to_owned()?;
        let status = Command::new(std::env::current_exe()?)
            .arg0("connect-inherited")
            .args(["--connect-inherited", cgroup, address])
            .stdin(Stdio::from(socket))
            .status()?;
        if status.success() {
            Ok("ok".to_owned())
        } else {
            Err(Trouble::Other(format!("the program ended with {status}").into()))
        }
    }
}

fn option_of(socket: BorrowedFd<'_>, option: &str) -> Result<(), Errno> {
    match option {
        "reuseport" => sockopt::set_socket_reuseport(socket, true),
        "nonblock" => rustix::io::ioctl_fionbio(socket, true),
        "blocking" => rustix::io::ioctl_fionbio(socket, false),
        "v6only" => sockopt::set_ipv6_v6only(socket, true),
        // Closing sends a reset, so that no port waits.
        "reset" => sockopt::set_socket_linger(socket, Some(Duration::ZERO)),
        _ => Err(Errno::NOPROTOOPT),
    }
}

fn wait(socket: BorrowedFd<'_>, what: PollFlags) -> Result<(), Trouble> {
    let mut asked = [PollFd::from_borrowed_fd(socket, what)];
    match poll(&mut asked, Some(&PATIENCE))? {
        0 => Err(Trouble::Errno(Errno::TIMEDOUT)),
        _ => Ok(()),
    }
}

fn unknown(name: &str) -> Trouble {
    Trouble::Other(format!("no socket `{name}`").into())
}

fn number_of(word: &str) -> Result<i32, Trouble> {
    word.parse()
        .map_err(|error| Trouble::Other(format!("`{word}`: {error}").into()))
}

fn parse(address: &str) -> Result<SocketAddr, Trouble> {
    address
        .parse()
        .map_err(|error| Trouble::Other(format!("`{address}`: {error}").into()))
}

fn done(result: Result<(), Errno>) -> Answer {
    Ok(ok(result?))
}

fn ok((): ()) -> String {
    "ok".to_owned()
}

fn shown(address: Option<net::SocketAddrAny>) -> String {
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    address.map_or_else(|| "ok -".to_owned(), |address| format!("ok {address}"))
}

/// A descriptor that a call has just given.
pub(crate) fn owned(number: i32) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(-number));
    }
    // SAFETY: a fresh descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The number of a socket, for calls that the libraries do not wrap.
pub(crate) fn number(socket: BorrowedFd<'_>) -> i32 {
    socket.as_raw_fd()
}
