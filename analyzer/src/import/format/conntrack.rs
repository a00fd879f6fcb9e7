//! Connection tracking of Linux: events as `conntrack -E -o timestamp,extended` prints them, and the table as
//! `conntrack -L -o extended` does. The time of an event is as
//! `src/conntrack.c` of conntrack-tools prints it (`[%-.8ld.%-.6ld]`), the rest of a line as users' logs show it.

use flowtape_schemas::address::Address;
use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

use super::json::address;
use super::{Format, Kind, Limit, holds, utf8};
use crate::import::record::{Contact, End, Flags, Packet, Record, Reject, View, Way, Who};

pub(super) const FORMAT: Format = Format {
    name: "conntrack",
    page: include_str!("conntrack.md"),
    clock: "the wall clock of the machine when an event was printed, to the microsecond; of a table, when it was said to be taken",
    limits: &[
        Limit::Detail("datagrams are not counted: an entry of the table, which many may use, counts as one"),
        Limit::Detail("it tells of no processes: whose the sockets were follows from their addresses"),
    ],
    kind: Kind::Lines(parse),
    claims: |start| holds(start, " src=") && holds(start, " dst=") && holds(start, " sport="),
};

/// Address and port of an end.
type Socket = (Address, u16);

/// A direction of an entry.
#[derive(Clone, Copy, Default)]
struct Tuple {
    source: Option<Address>,
    target: Option<Address>,
    source_port: Option<u16>,
    target_port: Option<u16>,
}

fn parse(text: &[u8], taken: Option<Time>) -> Result<Vec<Record>, Reject> {
    let text = utf8(text)?;
    if !text.contains("src=") {
        return Err(Reject {
            reason: QuarantineReason::OtherText,
            detail: "it is no entry of the table",
        });
    }
    let protocol = match text.split_ascii_whitespace().find_map(protocol) {
        Some(Some(protocol)) => protocol,
        Some(None) => return Ok(vec![Record::PassedOver("ICMP and other protocols")]),
        None => return Err(Reject::unknown("it is of a protocol that is not known")),
    };
    let is_event = text.starts_with('[');
    let at = instant(text).or(taken).ok_or(Reject::incomplete(
        "it has no time: print events with `-o timestamp`, or say with `--time` when a table was taken",
    ))?;
    let (original, reply) = tuples(text);
    let client = original.source.zip(original.source_port);
    let asked = original.target.zip(original.target_port);
    let (Some(client), Some(asked)) = (client, asked) else {
        return Err(Reject::incomplete("an end has no address or no port"));
    };
    let server = reply.source.zip(reply.source_port).unwrap_or(asked);
    let replied = !text.contains("[UNREPLIED]");
    if !is_event {
        return Ok(vec![entry(text, at, protocol, client, server, asked)]);
    }
    let packet = |flags: u8, way: Way| {
        let (from, to) = if way == Way::Reply {
            (server, client)
        } else {
            (client, server)
        };
        Record::Packet(Box::new(Packet {
            time: at,
            node: None,
            protocol,
            from: end(from),
            to: end(to),
            flags: (protocol == 6).then_some(Flags(flags)),
            way,
            view: View::Between,
            point: 0,
            count: 1,
            dropped: false,
            asked: (server != asked).then_some(asked),
            sequence: None,
        }))
    };
    let mut records = Vec::new();
    if text.contains("[NEW]") {
        records.push(packet(Flags::SYN, Way::Forward));
    }
    if text.contains("[DESTROY]") {
        // An entry whose beginning was not printed is older.
        records.extend(replied.then(|| packet(Flags::ACK, Way::Reply)));
        records.push(packet(Flags::FIN, Way::Forward));
        // Of datagrams, the end of the entry is no other one.
        records.truncate(if protocol == 6 { 2 } else { usize::from(replied) });
    } else if replied {
        let refused = protocol == 6 && text.split_ascii_whitespace().any(|word| word == "CLOSE");
        records.push(packet(if refused { Flags::RST } else { Flags::ACK }, Way::Reply));
    }
    if records.is_empty() {
        return Ok(vec![Record::PassedOver("change of an entry that nobody answered yet")]);
    }
    Ok(records)
}

/// An entry of the table: a connection that began before, whenever that was.
fn entry(text: &str, at: Time, protocol: u8, client: Socket, server: Socket, asked: Socket) -> Record {
    let words = || text.split_ascii_whitespace();
    // What a flow table forwards is listed without its state, and what was not answered gets there only of UDP
    // (`Documentation/networking/nf_flowtable.rst` and `net/netfilter/nf_conntrack_standalone.c`, Linux 6.6).
    let is_forwarded = words().any(|word| matches!(word, "[OFFLOAD]" | "[HW_OFFLOAD]"));
    let made = match protocol {
        6 if is_forwarded => true,
        6 => words().any(|word| {
            matches!(
                word,
                "ESTABLISHED" | "FIN_WAIT" | "CLOSE_WAIT" | "LAST_ACK" | "TIME_WAIT"
            )
        }),
        132 => words().any(|word| word == "ESTABLISHED" || word.starts_with("SHUTDOWN_")),
        _ => true,
    };
    let outcome = if made && !text.contains("[UNREPLIED]") {
        Outcome::Established
    } else {
        Outcome::Unknown
    };
    Record::Contact(Box::new(Contact {
        first: at,
        last: at,
        node: None,
        protocol,
        client: end(client),
        server: end(server),
        asked: (server != asked).then_some(asked),
        view: View::Between,
        outcome,
        count: 0,
        retold: false,
    }))
}

fn end((address, port): Socket) -> End {
    End {
        address: Some(address),
        port: Some(port),
        who: Who::Untold,
    }
}

/// The number of a protocol that has ports; nothing in it for one that has none.
#[expect(
    clippy::option_option,
    reason = "a word that is no protocol is not one without ports"
)]
fn protocol(word: &str) -> Option<Option<u8>> {
    match word {
        "tcp" => Some(Some(6)),
        "udp" => Some(Some(17)),
        "sctp" => Some(Some(132)),
        "icmp" | "icmpv6" | "unknown" | "gre" | "dccp" | "udplite" => Some(None),
        _ => None,
    }
}

/// `[seconds.microseconds]` before the event.
fn instant(text: &str) -> Option<Time> {
    let inner = text.trim_start().strip_prefix('[')?.split_once(']')?.0;
    let (seconds, micros) = inner.trim().split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let micros: i64 = micros.parse().ok().filter(|_| micros.len() == 6)?;
    Some(Time(
        seconds
            .checked_mul(1_000_000_000)?
            .checked_add(micros.checked_mul(1_000)?)?,
    ))
}

/// The original direction and that of replies: the second of each field belongs to the latter.
fn tuples(text: &str) -> (Tuple, Tuple) {
    let (mut original, mut reply) = (Tuple::default(), Tuple::default());
    for (name, value) in text.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
        match name {
            "src" => fill(&mut original.source, &mut reply.source, address(value)),
            "dst" => fill(&mut original.target, &mut reply.target, address(value)),
            "sport" => fill(&mut original.source_port, &mut reply.source_port, value.parse().ok()),
            "dport" => fill(&mut original.target_port, &mut reply.target_port, value.parse().ok()),
            _ => {}
        }
    }
    (original, reply)
}

fn fill<T>(first: &mut Option<T>, second: &mut Option<T>, value: Option<T>) {
    let place = if first.is_none() { first } else { second };
    *place = value;
}
