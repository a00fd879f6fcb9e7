//! Lines of the traffic section.

use std::net::IpAddr;

use super::Reader;
use super::cluster::kind;
use super::value::{self, Form};
use super::words::Cursor;
use crate::model::{
    Client, ClientSocket, FoldedSide, Folding, Gap, Loss, Name, Offset, Outcome, PortRef, Protocol, Samples, SeenBy,
    Server, Sockets, Span, Traffic, WorkloadRef,
};
use crate::problem::Problem;

const CLIENT: &str = "a client: `NAMESPACE/NAME[/N]`, `node NAME`, `external ADDRESS` or `address ADDRESS`";
const SERVER: &str = "a server: `service NAMESPACE/NAME:PORT[/PROTOCOL]`, `load-balancer NAMESPACE/NAME:PORT`, \
                      `[pod] NAMESPACE/NAME[/N]:PORT`, `node NAME:PORT`, `external ADDRESS:PORT` or \
                      `address ADDRESS:PORT`";
const CLAUSES: &str = "`xCOUNT`, `at`, `established`, `refused`, `timeout`, `unreachable`, `unknown`, `ipv6`, \
                       `seen-by`, `predates`, `synthetic`, `socket-balanced`, `unconnected`, `process`, \
                       `past-proxies`, `taken`, `turned-away`, `by-proxy`, `tunnelled`, `by-name`, \
                       `folded`, `folded-ports` or `unsampled`";

const WORKLOAD: Form<(Name, Option<u32>)> = Form {
    expected: CLIENT,
    read: workload,
};
const SERVER_NAME: Form<((Name, Option<u32>), PortRef, Protocol)> = Form {
    expected: SERVER,
    read: |word| {
        let (host, port, protocol) = with_port(word)?;
        Some((workload(host)?, port, protocol))
    },
};
const SERVER_ADDRESS: Form<(IpAddr, u16, Protocol)> = Form {
    expected: "an address and port such as `203.0.113.7:443/TCP` or `[2001:db8::7]:443`",
    read: address,
};
const SERVER_NODE: Form<(String, u16, Protocol)> = Form {
    expected: "a node and port such as `n1:30080/TCP`",
    read: |word| {
        let (host, port, protocol) = with_port(word)?;
        let PortRef::Number(port) = port else { return None };
        Some(((value::HOST.read)(host)?, port, protocol))
    },
};

impl Reader {
    /// Reads a line of the traffic section.
    pub(super) fn traffic(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        match cursor.peek() {
            Some("lost") => self.loss(cursor),
            Some("gap") => self.gap(cursor),
            Some("socket") => self.sockets(cursor),
            _ => self.connections(cursor),
        }
    }

    fn loss(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let mut loss = Loss {
            line: cursor.line(),
            node: cursor.read(&value::HOST)?,
            hook: cursor.read(&value::HOOK)?,
            counter: cursor.read(&value::LOSS)?,
            count: cursor.read(&value::TALLY)?,
            at: Offset::SECOND,
        };
        cursor.clauses("`at`", &mut self.problems, |word, cursor| {
            if word != "at" {
                return Ok(false);
            }
            loss.at = cursor.read(&value::OFFSET)?;
            Ok(true)
        });
        self.scenario.losses.push(loss);
        Ok(())
    }

    fn gap(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let gap = Gap {
            line: cursor.line(),
            node: cursor.read(&value::HOST)?,
            at: cursor.read(&value::SPAN)?,
        };
        cursor.end()?;
        self.scenario.gaps.push(gap);
        Ok(())
    }

    fn sockets(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let kind = workload_kind(cursor);
        let (name, replica) = cursor.read(&WORKLOAD)?;
        let (family, socket_type, protocol) = cursor.read(&value::SOCKET)?;
        let mut sockets = Sockets {
            line: cursor.line(),
            owner: WorkloadRef { kind, name, replica },
            family,
            socket_type,
            protocol,
            count: 1,
            at: Offset::SECOND,
        };
        let mut predates = false;
        cursor.clauses("`xCOUNT`, `at` or `predates`", &mut self.problems, |word, cursor| {
            if let Some(count) = (value::TIMES.read)(word) {
                sockets.count = count.into();
                return Ok(true);
            }
            match word {
                "at" => sockets.at = cursor.read(&value::OFFSET)?,
                "predates" => predates = true,
                _ => return Ok(false),
            }
            Ok(true)
        });
        if predates {
            sockets.count = 0;
        }
        self.scenario.sockets.push(sockets);
        Ok(())
    }

    fn connections(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        let client = client(cursor)?;
        if !cursor.accept("->") {
            return Err(cursor.expected("`->`"));
        }
        let mut traffic = Traffic {
            line: cursor.line(),
            client,
            server: server(cursor)?,
            count: 1,
            at: Span {
                first: Offset::SECOND,
                last: Offset::SECOND,
            },
            outcome: Outcome::Established,
            ipv6: false,
            seen_by: SeenBy::Both,
            predates: false,
            synthetic: false,
            socket: ClientSocket::Connected,
            process: None,
            folded: None,
            samples: Samples::All,
        };
        cursor.clauses(CLAUSES, &mut self.problems, |word, cursor| {
            clause(&mut traffic, word, cursor)
        });
        // What was there before the window is not counted in it.
        if traffic.predates {
            traffic.count = 1;
        }
        // The lab has neither such a load balancer, nor proxies, nor DNS for the outside, nor a recorder with so small a quota
        // or one that keeps no sample.
        traffic.synthetic |= !matches!(traffic.socket, ClientSocket::Connected | ClientSocket::Unconnected);
        traffic.synthetic |= traffic.folded.is_some() || traffic.samples == Samples::None;
        self.scenario.traffic.push(traffic);
        Ok(())
    }
}

fn clause(traffic: &mut Traffic, word: &str, cursor: &mut Cursor<'_>) -> Result<bool, Problem> {
    if let Some(count) = (value::TIMES.read)(word) {
        traffic.count = count;
        return Ok(true);
    }
    match word {
        "at" => traffic.at = cursor.read(&value::SPAN)?,
        "ipv6" => traffic.ipv6 = true,
        "predates" => traffic.predates = true,
        "synthetic" => traffic.synthetic = true,
        "seen-by" => traffic.seen_by = seen_by(cursor)?,
        "socket-balanced" => traffic.socket = ClientSocket::Balanced,
        "past-proxies" => traffic.socket = ClientSocket::Past,
        "taken" => traffic.socket = ClientSocket::Taken,
        "turned-away" => traffic.socket = ClientSocket::TurnedAway,
        "by-proxy" => traffic.socket = ClientSocket::Proxy,
        "tunnelled" => traffic.socket = ClientSocket::Tunnelled,
        "unconnected" => traffic.socket = ClientSocket::Unconnected,
        "process" => traffic.process = Some(process(cursor)?),
        "by-name" => traffic.socket = ClientSocket::Named,
        "folded" => traffic.folded = Some((folded_side(cursor)?, Folding::Peers)),
        "unsampled" => traffic.samples = Samples::None,
        "folded-ports" => traffic.folded = Some((folded_side(cursor)?, Folding::PeersAndPorts)),
        "established" => traffic.outcome = Outcome::Established,
        "refused" => traffic.outcome = Outcome::Refused,
        "timeout" => traffic.outcome = Outcome::Timeout,
        "unreachable" => traffic.outcome = Outcome::Unreachable,
        "unknown" => traffic.outcome = Outcome::Unknown,
        _ => return Ok(false),
    }
    Ok(true)
}

/// A name as the kernel keeps it: `TASK_COMM_LEN` of `include/linux/sched.h` is 16, with the byte that ends it.
fn process(cursor: &mut Cursor<'_>) -> Result<String, Problem> {
    let problem = cursor.expected("the name of a process of at most 15 bytes");
    let word = cursor.peek();
    cursor.skip();
    word.filter(|word| word.len() < 16).map(str::to_owned).ok_or(problem)
}

fn seen_by(cursor: &mut Cursor<'_>) -> Result<SeenBy, Problem> {
    let problem = cursor.expected("`client`, `server` or `both`");
    let word = cursor.peek();
    cursor.skip();
    match word {
        Some("client") => Ok(SeenBy::Client),
        Some("server") => Ok(SeenBy::Server),
        Some("both") => Ok(SeenBy::Both),
        _ => Err(problem),
    }
}

fn folded_side(cursor: &mut Cursor<'_>) -> Result<FoldedSide, Problem> {
    let problem = cursor.expected("`client` or `server`");
    let word = cursor.peek();
    cursor.skip();
    match word {
        Some("client") => Ok(FoldedSide::Client),
        Some("server") => Ok(FoldedSide::Server),
        _ => Err(problem),
    }
}

fn client(cursor: &mut Cursor<'_>) -> Result<Client, Problem> {
    if cursor.accept("node") {
        return cursor.read(&value::HOST).map(Client::Node);
    }
    if cursor.accept("external") {
        return cursor.read(&value::ADDRESS).map(Client::External);
    }
    if cursor.accept("address") {
        return cursor.read(&value::ADDRESS).map(Client::Address);
    }
    let kind = workload_kind(cursor);
    let (name, replica) = cursor.read(&WORKLOAD)?;
    Ok(Client::Workload(WorkloadRef { kind, name, replica }))
}

fn server(cursor: &mut Cursor<'_>) -> Result<Server, Problem> {
    let word = cursor.peek();
    match word {
        Some("service" | "load-balancer") => {
            cursor.skip();
            let ((name, replica), port, protocol) = cursor.read(&SERVER_NAME)?;
            if replica.is_some() {
                return Err(cursor.wrong("a Service has no numbered pods".to_owned()));
            }
            Ok(match word {
                Some("service") => Server::Service(name, port, protocol),
                _ => Server::LoadBalancer(name, port, protocol),
            })
        }
        Some("node") => {
            cursor.skip();
            let (node, port, protocol) = cursor.read(&SERVER_NODE)?;
            Ok(Server::Node(node, port, protocol))
        }
        Some("external" | "address") => {
            cursor.skip();
            let (address, port, protocol) = cursor.read(&SERVER_ADDRESS)?;
            Ok(match word {
                Some("external") => Server::External(address, port, protocol),
                _ => Server::Address(address, port, protocol),
            })
        }
        _ => {
            let kind = workload_kind(cursor);
            let ((name, replica), port, protocol) = cursor.read(&SERVER_NAME)?;
            Ok(Server::Workload(WorkloadRef { kind, name, replica }, port, protocol))
        }
    }
}

/// The kind before a workload's name. `pod` means any workload's pods, which reads better than naming it twice.
fn workload_kind(cursor: &mut Cursor<'_>) -> Option<crate::model::Kind> {
    let kind = cursor.peek().and_then(kind)?;
    cursor.skip();
    (kind != crate::model::Kind::Pod).then_some(kind)
}

/// `NAMESPACE/NAME` or `NAMESPACE/NAME/N`.
fn workload(word: &str) -> Option<(Name, Option<u32>)> {
    if let Some((name, replica)) = (value::REPLICA.read)(word) {
        return Some((name, Some(replica)));
    }
    (value::NAME.read)(word).map(|name| (name, None))
}

/// Cuts `HOST:PORT[/PROTOCOL]`.
fn with_port(word: &str) -> Option<(&str, PortRef, Protocol)> {
    let (host, rest) = word.rsplit_once(':')?;
    let (port, protocol) = value::with_protocol(rest)?;
    Some((host, value::port_ref(port)?, protocol))
}

fn address(word: &str) -> Option<(IpAddr, u16, Protocol)> {
    let (host, port, protocol) = with_port(word)?;
    let PortRef::Number(port) = port else { return None };
    let bare = host
        .strip_prefix('[')
        .map_or(Some(host), |rest| rest.strip_suffix(']'))?;
    let address = value::address(bare)?;
    // RFC 3986: without brackets the port could not be told from the address.
    (address.is_ipv4() != host.starts_with('[')).then_some((address, port, protocol))
}
