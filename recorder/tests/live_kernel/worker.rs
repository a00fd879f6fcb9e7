//! What a worker does: it enters its control group and a network namespace of its own, uses sockets, and says what it did.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Outcome, cgroup, job_bind, job_connect, job_socket, job_udp, socket};

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
pub(crate) const WILDCARD: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
pub(crate) const MAPPED: IpAddr = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());

pub(crate) fn say(name: &str, value: impl std::fmt::Display) -> Outcome {
    writeln!(std::io::stdout(), "{name} {value}")?;
    Ok(())
}

/// Does a job: the control group, the name of the job, its arguments.
pub(crate) fn run(job: &[&str]) -> Outcome {
    let [group, name, arguments @ ..] = job else {
        return Err("no job".into());
    };
    cgroup::enter(Path::new(group))?;
    say("netns", socket::fresh_namespace()?)?;
    say("pid", std::process::id())?;
    match (*name, arguments) {
        ("v4", []) => exchange(V4, V4, 0),
        ("v6", []) => exchange(V6, V6, 0),
        ("dual-from-v4", []) => exchange(WILDCARD, V4, 0),
        ("dual-from-mapped", []) => exchange(WILDCARD, MAPPED, 0),
        ("mptcp", []) => exchange(V4, V4, socket::MPTCP),
        ("crossed", [second_group]) => crossed(Path::new(second_group)),
        ("refused", []) => refused(),
        ("abandoned", []) => abandoned(),
        ("silent", []) => silent(),
        ("simultaneous", []) => simultaneous(),
        ("many", [count]) => many(count.parse()?),
        ("spread", [count]) => spread(count.parse()?),
        ("scan", [count]) => scan(count.parse()?),
        ("udp-asked", [version, count]) => job_udp::asked(version, count.parse()?),
        ("udp-connected", [version, count]) => job_udp::connected(version, count.parse()?),
        ("udp-named", []) => job_udp::named(),
        ("udp-silent", []) => job_udp::silent(),
        ("udp-refused", []) => job_udp::refused(),
        ("udp-answers", []) => job_udp::answers(),
        ("bind", []) => job_bind::ports(),
        ("bind-twice", []) => job_bind::second_thoughts(),
        ("bind-unasked", []) => job_bind::unasked(),
        ("bind-ends", []) => job_bind::ends(),
        ("bind-many", [count]) => job_bind::many(count.parse()?),
        ("bind-again", [count]) => job_bind::again(count.parse()?),
        ("bind-at-once", [count]) => job_bind::at_once(count.parse()?),
        ("sockets", []) => job_socket::kinds(),
        ("socket-raw", [protocols]) => job_socket::raw(protocols.parse()?),
        ("socket-storm", [threads, each]) => job_socket::storm(threads.parse()?, each.parse()?),
        ("no-route", []) => job_connect::no_route(),
        ("many-no-route", [count]) => job_connect::many_no_route(count.parse()?),
        ("open", [ready, done]) => job_connect::open(Path::new(ready), Path::new(done)),
        ("many-open", [open, refused, ready, done]) => {
            job_connect::many_open(open.parse()?, refused.parse()?, Path::new(ready), Path::new(done))
        }
        ("to", [address]) => job_connect::to(address.parse()?),
        ("storm", [milliseconds]) => storm(Duration::from_millis(milliseconds.parse()?)),
        ("crossfire", [milliseconds]) => {
            socket::receive_on_every_processor()?;
            storm(Duration::from_millis(milliseconds.parse()?))
        }
        _ => Err(format!("unknown job `{}`", job.join(" ")).into()),
    }
}

/// One connection, accepted.
fn exchange(server: IpAddr, client: IpAddr, protocol: libc::c_int) -> Outcome {
    let listener = socket::listen(SocketAddr::new(server, 0), protocol, 17)?;
    let port = listener.local_addr()?.port();
    let to = SocketAddr::new(client, port);
    let stream = socket::stream(to, protocol, false)?;
    socket::connect(&stream, to)?;
    let (accepted, from) = listener.accept()?;
    say("port", port)?;
    say("client_port", from.port())?;
    drop((accepted, stream));
    Ok(())
}

/// The listener is made in one control group, the client in another.
fn crossed(second_group: &Path) -> Outcome {
    let listener = TcpListener::bind((V4, 0))?;
    cgroup::enter(second_group)?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    let _accepted = listener.accept()?;
    say("port", listener.local_addr()?.port())
}

/// Nobody listens, over both versions.
fn refused() -> Outcome {
    for (name, address) in [("port4", V4), ("port6", V6)] {
        // A port that was just given up is nobody's in a namespace of our own.
        let to = TcpListener::bind((address, 0))?.local_addr()?;
        match TcpStream::connect(to) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => say(name, to.port())?,
            other => return Err(format!("not refused: {other:?}").into()),
        }
    }
    Ok(())
}

/// A listener whose queue is full answers nobody; the client gives up.
fn abandoned() -> Outcome {
    let listener = socket::listen(SocketAddr::new(V4, 0), 0, 0)?;
    let to = listener.local_addr()?;
    let _queued = TcpStream::connect(to)?;
    let waiting = socket::stream(to, 0, true)?;
    match socket::connect(&waiting, to) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        other => return Err(format!("expected to wait: {other:?}").into()),
    }
    drop(waiting);
    say("port", to.port())
}

/// Nobody answers: a full queue until the client's patience ends, and an address behind which there is no machine.
fn silent() -> Outcome {
    let listener = socket::listen(SocketAddr::new(V4, 0), 0, 0)?;
    let to = listener.local_addr()?;
    let _queued = TcpStream::connect(to)?;
    let impatient = thread::spawn(move || {
        let waiting = socket::stream(to, 0, false)?;
        socket::set(&waiting, libc::IPPROTO_TCP, libc::TCP_SYNCNT, 1)?;
        socket::connect(&waiting, to)
    });
    let nobody = quiet_network()?;
    match TcpStream::connect(nobody) {
        Err(error) if error.raw_os_error() == Some(libc::EHOSTUNREACH) => say("unreachable_port", nobody.port())?,
        other => return Err(format!("not unreachable: {other:?}").into()),
    }
    match impatient.join() {
        Ok(Err(error)) if error.raw_os_error() == Some(libc::ETIMEDOUT) => say("timeout_port", to.port()),
        other => Err(format!("not timed out: {other:?}").into()),
    }
}

/// A network with nobody else in it; gives an address there.
pub(crate) fn quiet_network() -> Outcome<SocketAddr> {
    for step in [
        "link add one type veth peer name two",
        "addr add 192.0.2.1/24 dev one",
        "link set one up",
        "link set two up",
    ] {
        let status = Command::new("ip").args(step.split(' ')).status()?;
        if !status.success() {
            return Err(format!("`ip {step}` failed").into());
        }
    }
    Ok(SocketAddr::from(([192, 0, 2, 9], 8080)))
}

/// A socket that connects to itself: both sides open at once.
fn simultaneous() -> Outcome {
    let address = TcpListener::bind((V4, 0))?.local_addr()?;
    let stream = socket::stream(address, 0, false)?;
    socket::bind(&stream, address)?;
    socket::connect(&stream, address)?;
    say("port", address.port())
}

/// Accepts and closes until told to stop; gives the number.
fn accept_all(listener: TcpListener, stop: Arc<AtomicBool>) -> Outcome<thread::JoinHandle<u64>> {
    listener.set_nonblocking(true)?;
    Ok(thread::spawn(move || {
        let mut accepted = 0;
        loop {
            // Read before the queue is looked at, so that what was queued before the end is still taken.
            let ending = stop.load(Ordering::SeqCst);
            match listener.accept() {
                Ok((stream, _)) => {
                    accepted += 1;
                    drop(stream);
                }
                Err(_) if ending => return accepted,
                Err(_) => thread::yield_now(),
            }
        }
    }))
}

/// Many connections over one edge.
fn many(count: u32) -> Outcome {
    let listener = socket::listen(SocketAddr::new(V4, 0), 0, 4096)?;
    let to = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let server = accept_all(listener, Arc::clone(&stop))?;
    for _ in 0..count {
        socket::reset_on_close(&TcpStream::connect(to)?)?;
    }
    stop.store(true, Ordering::SeqCst);
    say("accepted", server.join().map_err(|_panic| "the server panicked")?)?;
    say("port", to.port())
}

/// One connection from each of many addresses, so that each is an edge of its own.
fn spread(count: u32) -> Outcome {
    let listener = socket::listen(SocketAddr::new(V4, 0), 0, 4096)?;
    let to = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let server = accept_all(listener, Arc::clone(&stop))?;
    for number in 0..count {
        let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
        let client = socket::stream(to, 0, false)?;
        socket::bind(&client, SocketAddr::new(IpAddr::V4(from), 0))?;
        socket::connect(&client, to)?;
        socket::reset_on_close(&TcpStream::from(client))?;
    }
    stop.store(true, Ordering::SeqCst);
    say("accepted", server.join().map_err(|_panic| "the server panicked")?)?;
    say("port", to.port())
}

/// Asks ever another port of ever another address, where nobody listens.
fn scan(count: u32) -> Outcome {
    for number in 0..count {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
        let to = SocketAddr::from((address, u16::try_from(1_024 + number % 60_000)?));
        match TcpStream::connect(to) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            other => return Err(format!("not refused: {other:?}").into()),
        }
    }
    Ok(())
}

/// Clients at full speed over one edge, on every processor at once, so that they count into the same entry.
fn storm(length: Duration) -> Outcome {
    let listener = socket::listen(SocketAddr::new(V4, 0), 0, 4096)?;
    let to = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let server = accept_all(listener, Arc::clone(&stop))?;
    let clients = thread::available_parallelism()?.get().clamp(2, 8);
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            thread::spawn(move || -> std::io::Result<u64> {
                let began = Instant::now();
                let mut connected = 0;
                while began.elapsed() < length {
                    socket::reset_on_close(&TcpStream::connect(to)?)?;
                    connected += 1;
                }
                Ok(connected)
            })
        })
        .collect();
    let mut connected = 0;
    for client in clients {
        connected += client.join().map_err(|_panic| "a client panicked")??;
    }
    stop.store(true, Ordering::SeqCst);
    say("accepted", server.join().map_err(|_panic| "the server panicked")?)?;
    say("connected", connected)
}
