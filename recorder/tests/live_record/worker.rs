//! A worker: a process in a control group that is spelled like a container's, and in a network namespace of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::Outcome;

/// UID of the worker's pod.
pub(crate) const POD: &str = "5f1d4c1a-0d3b-4c39-9a7e-3d1f6a2b7c88";
/// Id of the worker's container.
pub(crate) const CONTAINER: &str = "9b2c1f0e4d7a6b5c8e9f00112233445566778899aabbccddeeff001122334455";

/// A port of UDP that every worker holds; the next one it gives up again.
pub(crate) const UDP_PORT: u16 = 30_000;

/// A worker that has done its work and waits to be let go.
pub(crate) struct Worker {
    child: Child,
    /// Below the mount of the control groups: made by this worker, gone after it.
    group: PathBuf,
    pub(crate) cgroup_id: u64,
    pub(crate) netns: u32,
    /// Its first port; the others follow.
    pub(crate) port: u16,
}

impl Worker {
    /// Lets a worker open `connections` to each of `ports` listeners over IPv4, and one over IPv6 to the first port.
    pub(crate) fn connects(ports: u16, connections: u64) -> Outcome<Self> {
        Self::start(ports, connections, "127.0.0.1")
    }

    /// Lets a worker open one connection to an address, which only its own namespace has.
    pub(crate) fn reaches(address: &str) -> Outcome<Self> {
        Self::start(1, 1, address)
    }

    fn start(ports: u16, connections: u64, address: &str) -> Outcome<Self> {
        // Several may be at work at once, and each is known by its group.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = mount()?.join(format!("flowtape-record-{}-{number}", std::process::id()));
        let container = group.join(format!("kubepods/burstable/pod{POD}/{CONTAINER}"));
        fs::create_dir_all(&container).map_err(|error| format!("cannot make `{}`: {error}", container.display()))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--worker")
            .arg(&container)
            .args([ports.to_string(), connections.to_string(), address.to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let cgroup_id = fs::metadata(&container)?.ino();
        // From here on the worker is let go and its group removed, whatever happens.
        let mut worker = Self {
            child,
            group,
            cgroup_id,
            netns: 0,
            port: 0,
        };
        let (netns, port) = line.trim().split_once(' ').ok_or("the worker failed")?;
        worker.netns = netns.parse()?;
        worker.port = port.parse()?;
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its stdin lets it go.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        // A process that just ended is still in its group for a moment.
        for _ in 0..200 {
            if !self.group.exists() {
                return;
            }
            remove(&self.group);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Removes a group and those below it; what cannot go yet stays.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// Where the control groups are mounted.
pub(crate) fn mount() -> Outcome<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let found = flowtape_recorder::cgroup::walk::hierarchy(&mounts);
    Ok(found.ok_or("no version 2 control groups are mounted")?.mount)
}

/// Does the worker's work, says its network namespace and first port, and waits for the end of stdin.
pub(crate) fn run(job: &[&str]) -> Outcome {
    let [group, ports, connections, address] = job else {
        return Err("no job".into());
    };
    fs::write(Path::new(group).join("cgroup.procs"), std::process::id().to_string())?;
    let netns = fresh_namespace()?;
    let address: Ipv4Addr = address.parse()?;
    if !address.is_loopback() {
        let add = ["address", "add", &format!("{address}/32"), "dev", "lo"];
        if !Command::new("ip").args(add).status()?.success() {
            return Err("`ip address add` failed".into());
        }
    }
    let listeners = listeners(ports.parse()?)?;
    let connections: u64 = connections.parse()?;
    let _until_the_end = UdpSocket::bind((Ipv4Addr::LOCALHOST, UDP_PORT))?;
    drop(UdpSocket::bind((Ipv6Addr::LOCALHOST, UDP_PORT + 1))?);
    drop(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    for listener in &listeners {
        let to = SocketAddr::from((address, listener.local_addr()?.port()));
        for _ in 0..connections {
            connect(listener, to)?;
        }
    }
    let first = listeners.first().ok_or("no listener")?;
    let port = first.local_addr()?.port();
    connect(first, SocketAddr::from((Ipv6Addr::LOCALHOST, port)))?;
    writeln!(std::io::stdout(), "{netns} {port}")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Dual-stack listeners on consecutive ports.
fn listeners(ports: u16) -> Outcome<Vec<TcpListener>> {
    let listen = |port: u16| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    Ok((20_000..20_000 + ports).map(listen).collect::<Result<_, _>>()?)
}

/// One connection, accepted, and ended by the client without a port that waits.
fn connect(listener: &TcpListener, to: SocketAddr) -> Outcome {
    let client = TcpStream::connect(to)?;
    let (server, _) = listener.accept()?;
    linger_not(&client)?;
    drop(client);
    drop(server);
    Ok(())
}

fn linger_not(socket: &TcpStream) -> std::io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let length = libc::socklen_t::try_from(size_of_val(&linger)).unwrap_or(8);
    // SAFETY: a live struct of the stated length.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            length,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Enters a network namespace of its own, with its loopback up; gives its inode number.
pub(crate) fn fresh_namespace() -> Outcome<u32> {
    // SAFETY: no pointers are involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if !up.success() {
        return Err("`ip link set lo up` failed".into());
    }
    Ok(u32::try_from(fs::metadata("/proc/self/ns/net")?.ino())?)
}
