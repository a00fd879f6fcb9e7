//! Sockets of Linux, as `ss -tunap` of iproute2 lists them at one moment. Columns and states: `misc/ss.c` of iproute2 6.10
//! (`sock_state_print`, `inet_addr_print`).

use std::collections::BTreeSet;

use flowtape_schemas::address::Address;
use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

use super::json::address;
use super::{Format, Kind, Limit, holds, utf8};
use crate::import::record::{Contact, End, Listener, Record, Reject, View, Who};

pub(super) const FORMAT: Format = Format {
    name: "ss",
    page: include_str!("ss.md"),
    clock: "when the list was said to be taken",
    limits: &[
        Limit::Detail("a connection whose own port nobody waits at is taken for one that its socket opened"),
        Limit::Detail("it tells of no pods: whose the sockets were follows from their addresses"),
        Limit::Edges("it lists what was open at one moment, in one network namespace"),
    ],
    kind: Kind::Table(table),
    claims: |start| {
        let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        first.starts_with(b"Netid") && holds(first, "Recv-Q")
    },
};

/// One line of the list.
struct Row {
    protocol: u8,
    state: State,
    local: Socket,
    peer: Socket,
}

/// A state of a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for whoever comes.
    Waiting,
    /// A connection was made.
    Made,
    /// One is being made.
    Begun,
}

/// Address and port; none for any.
#[derive(Clone, Copy)]
struct Socket {
    address: Option<Address>,
    port: Option<u16>,
}

fn table(lines: &[Vec<u8>], taken: Time) -> Vec<Result<Vec<Record>, Reject>> {
    // Collected with other things, the list may stand below a summary.
    let head = lines.iter().position(|line| line.starts_with(b"Netid")).unwrap_or(0);
    let rows: Vec<Result<Line, Reject>> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            if number < head {
                Ok(Line::Other("text above the list"))
            } else {
                read(line)
            }
        })
        .collect();
    let waiting: BTreeSet<(u8, Option<Address>, Option<u16>)> = rows
        .iter()
        .filter_map(|row| match row {
            Ok(Line::Row(row)) if row.state == State::Waiting => {
                Some((row.protocol, row.local.address, row.local.port))
            }
            _ => None,
        })
        .collect();
    let is_server = |row: &Row| {
        let waits = |address| waiting.contains(&(row.protocol, address, row.local.port));
        waits(row.local.address) || waits(None)
    };
    rows.into_iter()
        .map(|row| match row? {
            Line::Other(what) => Ok(vec![Record::PassedOver(what)]),
            Line::Row(row) => Ok(vec![record(&row, is_server(&row), taken)]),
        })
        .collect()
}

fn record(row: &Row, is_server: bool, taken: Time) -> Record {
    let end = |socket: Socket| End {
        address: socket.address,
        port: socket.port,
        who: Who::Untold,
    };
    if row.state == State::Waiting {
        return Record::Listener(Listener {
            since: None,
            node: None,
            protocol: row.protocol,
            end: end(row.local),
        });
    }
    let (client, server, view) = if is_server {
        (end(row.peer), end(row.local), View::Server)
    } else {
        (end(row.local), end(row.peer), View::Client)
    };
    Record::Contact(Box::new(Contact {
        first: taken,
        last: taken,
        node: None,
        protocol: row.protocol,
        client,
        server,
        asked: None,
        view,
        outcome: if row.state == State::Made {
            Outcome::Established
        } else {
            Outcome::Unknown
        },
        count: 0,
        retold: false,
    }))
}

/// What a line says.
enum Line {
    Row(Row),
    Other(&'static str),
}

fn read(line: &[u8]) -> Result<Line, Reject> {
    let text = utf8(line)?;
    let mut words = text.split_ascii_whitespace();
    let protocol = match words.next() {
        Some("tcp" | "mptcp") => 6,
        Some("udp") => 17,
        Some("sctp") => 132,
        Some("Netid") => return Ok(Line::Other("the head of the list")),
        Some(
            "u_str" | "u_dgr" | "u_seq" | "nl" | "p_raw" | "p_dgr" | "raw" | "icmp6" | "v_str" | "v_dgr" | "xdp"
            | "dccp" | "tipc" | "ti_st" | "ti_dg",
        ) => return Ok(Line::Other("sockets without ports")),
        // Options add such lines: `skmem:(...)`, `cubic wscale:7,7 ...`.
        Some(_) if text.contains("skmem:") || text.contains("cwnd:") || text.contains("rcv_space:") => {
            return Ok(Line::Other("more of the socket before"));
        }
        _ => {
            return Err(Reject {
                reason: QuarantineReason::OtherText,
                detail: "it is no socket, or `ss` was asked for one protocol only and did not name it",
            });
        }
    };
    let state = match words.next() {
        Some("LISTEN" | "UNCONN") => State::Waiting,
        Some("ESTAB" | "FIN-WAIT-1" | "FIN-WAIT-2" | "TIME-WAIT" | "CLOSE-WAIT" | "LAST-ACK" | "CLOSING") => {
            State::Made
        }
        Some("SYN-SENT" | "SYN-RECV") => State::Begun,
        _ => return Err(Reject::unknown("its state is none that is known")),
    };
    let mut sockets = words.skip(2).map(socket);
    match (sockets.next().flatten(), sockets.next().flatten()) {
        (Some(local), Some(peer)) if state == State::Waiting || (local.is_whole() && peer.is_whole()) => {
            Ok(Line::Row(Row {
                protocol,
                state,
                local,
                peer,
            }))
        }
        _ => Err(Reject::malformed(
            "an end has no address or no port in numbers: `ss -n` prints them",
        )),
    }
}

impl Socket {
    const fn is_whole(self) -> bool {
        self.address.is_some() && self.port.is_some()
    }
}

/// `10.0.0.1%eth0:22`, `[::1]:22`, `*:80`, `0.0.0.0:*`.
fn socket(text: &str) -> Option<Socket> {
    let (ip, port) = text.rsplit_once(':')?;
    let port = if port == "*" { None } else { Some(port.parse().ok()?) };
    // The name of an interface stands behind the brackets, or in them.
    let ip = ip.split_once('%').map_or(ip, |(ip, _)| ip);
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    let address = if ip == "*" { None } else { Some(address(ip)?) };
    Some(Socket {
        address: address.filter(|address| !address.ip().is_unspecified()),
        port,
    })
}
