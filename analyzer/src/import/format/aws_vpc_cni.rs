//! AWS VPC CNI: flows in the log of its network policy agent, and the lines it sends to CloudWatch. Their words:
//! `pkg/ebpf/events/events.go` of aws/aws-network-policy-agent, at commit 0d45ed5 (fields of a line of the log, and CloudWatch) and
//! at c8619c0 (one sentence, since 1.2.2).

use flowtape_schemas::address::Address;
use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::time::Time;
use serde::Deserialize;

use super::json::{address, object, time};
use super::{Format, Kind, Limit, holds, utf8};
use crate::import::record::{End, Flags, Packet, Record, Reject, View, Way, Who};

pub(super) const FORMAT: Format = Format {
    name: "aws-vpc-cni",
    page: include_str!("aws_vpc_cni.md"),
    clock: "the wall clock of each node when its agent wrote the line, to the millisecond",
    limits: &[
        Limit::Detail("a connection of TCP that was allowed is taken for established, answered or not"),
        Limit::Detail("datagrams are not counted: what the agent tracks as one counts as one"),
        Limit::Detail("it tells of no pods and no processes: whose the sockets were follows from their addresses"),
        Limit::Edges("pods that no policy selects may have no agent watching them"),
        Limit::Edges("what is allowed is in the log of agents that log at level `debug` only"),
    ],
    kind: Kind::Lines(parse),
    claims: |start| {
        (holds(start, "Flow Info:") && holds(start, "Dest IP"))
            || (holds(start, "SIP: ") && holds(start, "PolicyVerdict: "))
    },
};

/// A line of the log: what is said of a flow stands in the message, or, before 1.2.2, in fields of their own.
#[derive(Deserialize)]
struct Line {
    #[serde(default, alias = "timestamp")]
    ts: Option<String>,
    #[serde(default)]
    msg: String,
    #[serde(flatten)]
    flow: Option<Fields>,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "Src IP")]
    source: String,
    #[serde(rename = "Src Port")]
    source_port: u16,
    #[serde(rename = "Dest IP")]
    target: String,
    #[serde(rename = "Dest Port")]
    target_port: u16,
    #[serde(rename = "Proto")]
    protocol: String,
    #[serde(rename = "Verdict")]
    verdict: String,
}

/// What a line says of a flow.
struct Flow<'a> {
    time: Time,
    node: Option<String>,
    source: Option<(Address, u16)>,
    target: Option<(Address, u16)>,
    protocol: &'a str,
    verdict: &'a str,
    direction: Option<&'a str>,
}

fn parse(text: &[u8], taken: Option<Time>) -> Result<Vec<Record>, Reject> {
    if text.starts_with(b"{") {
        of_log(object(text)?)
    } else {
        of_cloud_watch(utf8(text)?, taken)
    }
}

fn of_log(line: Line) -> Result<Vec<Record>, Reject> {
    let Line { ts, msg, flow } = line;
    if !msg.starts_with("Flow Info:") {
        return Ok(vec![Record::PassedOver("what the agent says of its own work")]);
    }
    let time = time(ts.as_deref())?;
    if let Some(flow) = &flow {
        return records(&Flow {
            time,
            node: None,
            source: address(&flow.source).map(|address| (address, flow.source_port)),
            target: address(&flow.target).map(|address| (address, flow.target_port)),
            protocol: &flow.protocol,
            verdict: &flow.verdict,
            direction: None,
        });
    }
    records(&Flow {
        time,
        node: None,
        source: socket(&msg, "Src IP", "Src Port"),
        target: socket(&msg, "Dest IP", "Dest Port"),
        protocol: word(&msg, "Proto").unwrap_or_default(),
        verdict: word(&msg, "Verdict").unwrap_or_default(),
        direction: word(&msg, "Direction"),
    })
}

/// `Node: n;SIP: ..;SPORT: ..`, after the time, as a date or in milliseconds, that the line was exported with.
fn of_cloud_watch(text: &str, taken: Option<Time>) -> Result<Vec<Record>, Reject> {
    let Some((before, line)) = text.find("Node: ").and_then(|start| text.split_at_checked(start)) else {
        return Err(Reject {
            reason: QuarantineReason::OtherText,
            detail: "it is no line of a flow",
        });
    };
    let time = before
        .split([' ', '\t', ','])
        .find_map(instant)
        .or(taken)
        .ok_or(Reject::incomplete("it has no time: export lines with their timestamps"))?;
    records(&Flow {
        time,
        node: word(line, "Node").map(str::to_owned),
        source: socket(line, "SIP", "SPORT"),
        target: socket(line, "DIP", "DPORT"),
        protocol: word(line, "PROTOCOL").unwrap_or_default(),
        verdict: word(line, "PolicyVerdict").unwrap_or_default(),
        direction: None,
    })
}

fn records(flow: &Flow<'_>) -> Result<Vec<Record>, Reject> {
    let protocol = match flow.protocol {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        "" => return Err(Reject::incomplete("it has no protocol")),
        _ => return Ok(vec![Record::PassedOver("ICMP and other protocols")]),
    };
    let dropped = match flow.verdict {
        "ACCEPT" => false,
        "DENY" => true,
        "EXPIRED/DELETED" => return Ok(vec![Record::PassedOver("end of what the agent tracked")]),
        _ => return Err(Reject::unknown("its verdict is none that is known")),
    };
    let (Some(source), Some(target)) = (flow.source, flow.target) else {
        return Err(Reject::incomplete("an end has no address or no port"));
    };
    let end = |(address, port)| End {
        address: Some(address),
        port: Some(port),
        who: Who::Untold,
    };
    let packet = |flags: Option<u8>| {
        Record::Packet(Box::new(Packet {
            time: flow.time,
            node: flow.node.clone(),
            protocol,
            from: end(source),
            to: end(target),
            flags: flags.filter(|_| protocol == 6).map(Flags),
            // What is denied may be the answer to something that the agent tracks no more.
            way: if dropped { Way::Untold } else { Way::Forward },
            view: match flow.direction {
                Some("egress") => View::Client,
                Some("ingress") => View::Server,
                _ => View::Between,
            },
            point: 0,
            count: 1,
            dropped,
            asked: None,
            sequence: None,
        }))
    };
    // Who is allowed begins a connection. What is denied is any packet that belongs to none.
    let mut records = vec![packet((!dropped).then_some(Flags::SYN))];
    records.extend((!dropped && protocol == 6).then(|| packet(Some(Flags::ACK))));
    Ok(records)
}

fn socket(text: &str, ip: &str, port: &str) -> Option<(Address, u16)> {
    address(word(text, ip)?).zip(word(text, port)?.parse().ok())
}

/// The word after a name. Some versions write `Proto TCP`, others `Proto: TCP`.
fn word<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.match_indices(name).find_map(|(start, _)| {
        let is_whole = text[..start]
            .chars()
            .next_back()
            .is_none_or(|before| matches!(before, ' ' | ';'));
        let rest = text[start + name.len()..]
            .strip_prefix([':', ' '])
            .filter(|_| is_whole)?;
        rest.trim_start()
            .split([' ', ';', ',', '"'])
            .next()
            .filter(|word| !word.is_empty())
    })
}

/// A date, or milliseconds since 1970.
fn instant(text: &str) -> Option<Time> {
    let text = text.trim_matches('"');
    let millis = || {
        text.parse::<i64>()
            .ok()
            .filter(|_| text.len() == 13)?
            .checked_mul(1_000_000)
    };
    text.parse().ok().or_else(|| millis().map(Time))
}
