//! NetObserv: flows as its command line captures them, and as its pipeline writes them. Field names:
//! `pkg/decode/decode_protobuf.go` of netobserv/netobserv-ebpf-agent at commit 009ef3c; the pipeline adds `SrcK8S_*`, `DstK8S_*`
//! and `FlowDirection`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use flowtape_schemas::address::Address;
use flowtape_schemas::time::Time;
use serde::Deserialize;
use serde_json::Value;

use super::json::{address, object};
use super::{Format, Kind, Limit, holds};
use crate::import::record::{End, Flags, Packet, Pod, Record, Reject, View, Way, Who};

pub(super) const FORMAT: Format = Format {
    name: "netobserv",
    page: include_str!("netobserv.md"),
    clock: "the wall clock of each node, to the millisecond",
    limits: &[
        Limit::Detail("flows have no labels of pods, which only metadata knows"),
        Limit::Detail("how often a pair of ports was used again within one flow is not told"),
    ],
    kind: Kind::Objects(parse),
    claims: |start| holds(start, "\"SrcAddr\"") && holds(start, "\"DstAddr\"") && holds(start, "\"TimeFlowStartMs\""),
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Flow {
    src_addr: Option<String>,
    dst_addr: Option<String>,
    src_port: Option<u16>,
    dst_port: Option<u16>,
    proto: Option<u8>,
    #[serde(default)]
    flags: Value,
    #[serde(rename = "FlowDirection")]
    direction: Option<u8>,
    #[serde(default)]
    interfaces: Value,
    packets: Option<u64>,
    #[serde(rename = "Packets_AB")]
    packets_forward: Option<u64>,
    time_flow_start_ms: Option<i64>,
    time_flow_end_ms: Option<i64>,
    sampling: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    #[serde(rename = "_RecordType")]
    record_type: Option<String>,
    #[serde(rename = "AgentIP")]
    agent: Option<String>,
    xlat_src_addr: Option<String>,
    xlat_src_port: Option<u16>,
    xlat_dst_addr: Option<String>,
    xlat_dst_port: Option<u16>,
    #[serde(flatten)]
    source: Source,
    #[serde(flatten)]
    target: Target,
}

/// Declares who an end of a flow is, whose fields have the name of the end before them.
macro_rules! whose {
    ($whose:ident { $name:literal, $namespace:literal, $kind:literal, $owner:literal, $owner_kind:literal }) => {
        #[derive(Deserialize)]
        struct $whose {
            #[serde(rename = $name, default)]
            name: String,
            #[serde(rename = $namespace, default)]
            namespace: String,
            #[serde(rename = $kind, default)]
            kind: String,
            #[serde(rename = $owner, default)]
            owner: String,
            #[serde(rename = $owner_kind, default)]
            owner_kind: String,
        }

        impl $whose {
            fn who(self) -> Who {
                let Self {
                    name,
                    namespace,
                    kind,
                    owner,
                    owner_kind,
                } = self;
                if kind != "Pod" || name.is_empty() || namespace.is_empty() {
                    return Who::Untold;
                }
                let owned = !owner.is_empty() && !owner_kind.is_empty() && owner_kind != "Pod";
                Who::Pod(Pod {
                    namespace,
                    name,
                    owner: owned.then_some((owner_kind, owner)),
                    ..Pod::default()
                })
            }
        }
    };
}
whose!(Source { "SrcK8S_Name", "SrcK8S_Namespace", "SrcK8S_Type", "SrcK8S_OwnerName", "SrcK8S_OwnerType" });
whose!(Target { "DstK8S_Name", "DstK8S_Namespace", "DstK8S_Type", "DstK8S_OwnerName", "DstK8S_OwnerType" });

/// Flags of the agent that stand for two of TCP at once (`bpf/types.h`, netobserv-ebpf-agent at commit 01a2f17).
const SYN_ACK: u64 = 0x100;
const FIN_ACK: u64 = 0x200;
const RST_ACK: u64 = 0x400;

fn parse(text: &[u8]) -> Result<Vec<Record>, Reject> {
    let flow: Flow = object(text)?;
    let mut records: Vec<Record> = flow.sampling.map(Record::Sampling).into_iter().collect();
    if flow.duplicate {
        records.push(Record::PassedOver("the same flow at another interface"));
        return Ok(records);
    }
    let Some(protocol) = flow.proto.filter(|protocol| matches!(protocol, 6 | 17 | 132)) else {
        records.push(Record::PassedOver("ICMP and other protocols"));
        return Ok(records);
    };
    let start = millis(flow.time_flow_start_ms).ok_or(Reject::incomplete("it has no time"))?;
    let end = millis(flow.time_flow_end_ms).unwrap_or(start).max(start);
    let (source, target) = (
        socket(flow.src_addr.as_deref(), flow.src_port)?,
        socket(flow.dst_addr.as_deref(), flow.dst_port)?,
    );
    let conversation = match flow.record_type.as_deref() {
        Some("heartbeat") => {
            records.push(Record::PassedOver("a conversation that goes on"));
            return Ok(records);
        }
        Some("newConnection") => Some(0),
        Some("endConnection") => Some(u64::from(Flags::FIN)),
        Some(_) | None => None,
    };
    // The pipeline says who began a conversation, once at each end of it.
    let flags = conversation.map_or_else(
        || flags(&flow.flags),
        |end| Some(u64::from(Flags::SYN | Flags::ACK) | end),
    );
    let way = if conversation.is_some() {
        Way::Forward
    } else {
        way(protocol, flags)
    };
    let xlat = |ip: &Option<String>, port: Option<u16>| {
        let ip = ip.as_deref().and_then(address).filter(|ip| !ip.ip().is_unspecified())?;
        Some((ip, port?))
    };
    let server = xlat(&flow.xlat_dst_addr, flow.xlat_dst_port).filter(|server| way != Way::Reply && *server != target);
    let answering = xlat(&flow.xlat_src_addr, flow.xlat_src_port).filter(|_| way == Way::Reply);
    let point = point(&flow);
    let packet = Packet {
        time: start,
        node: flow.agent.clone(),
        protocol,
        from: End {
            address: Some(answering.unwrap_or(source).0),
            port: Some(answering.unwrap_or(source).1),
            who: flow.source.who(),
        },
        to: End {
            address: Some(server.unwrap_or(target).0),
            port: Some(server.unwrap_or(target).1),
            who: flow.target.who(),
        },
        flags: None,
        way,
        view: View::Between,
        point,
        // How many there were is told when it ends, or at neither end.
        count: flow.packets.or(flow.packets_forward).unwrap_or(1).max(1),
        dropped: false,
        asked: server.map(|_| target),
        sequence: None,
    };
    records.extend(parts(packet, end, flags));
    Ok(records)
}

fn millis(millis: Option<i64>) -> Option<Time> {
    Some(Time(millis?.checked_mul(1_000_000)?))
}

fn socket(ip: Option<&str>, port: Option<u16>) -> Result<(Address, u16), Reject> {
    let ip = ip.and_then(address);
    let both = ip.zip(port);
    both.ok_or(Reject::incomplete("an end has no address or no port"))
}

/// A number in files of the command line, names in those of the pipeline; none where a flow has no flags.
fn flags(value: &Value) -> Option<u64> {
    let bit = |name: &str| match name {
        "FIN" => 0x01,
        "SYN" => 0x02,
        "RST" => 0x04,
        "ACK" => 0x10,
        "SYN_ACK" => SYN_ACK,
        "FIN_ACK" => FIN_ACK,
        "RST_ACK" => RST_ACK,
        _ => 0,
    };
    match value {
        Value::Number(number) => number.as_u64(),
        Value::Array(names) => Some(
            names
                .iter()
                .filter_map(Value::as_str)
                .map(bit)
                .fold(0, |all, bit| all | bit),
        ),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) => None,
    }
}

/// A flow is of one direction: that with SYN alone is the client's, that with SYN and ACK the server's.
fn way(protocol: u8, flags: Option<u64>) -> Way {
    match flags.filter(|_| protocol == 6) {
        Some(flags) if flags & SYN_ACK != 0 => Way::Reply,
        Some(flags) if flags & 0x02 != 0 => Way::Forward,
        Some(_) | None => Way::Untold,
    }
}

/// The packets that a flow of TCP consisted of, as far as they say something; of others there is one.
fn parts(packet: Packet, end: Time, flags: Option<u64>) -> Vec<Record> {
    let record = |packet: Packet| Record::Packet(Box::new(packet));
    let Some(set) = flags.filter(|_| packet.protocol == 6) else {
        return vec![record(packet)];
    };
    let part = |time, flags| {
        let flags = Some(Flags(flags));
        record(Packet {
            time,
            flags,
            ..packet.clone()
        })
    };
    let mut records = Vec::new();
    match packet.way {
        Way::Forward => records.push(part(packet.time, Flags::SYN)),
        Way::Reply => records.push(part(packet.time, Flags::SYN | Flags::ACK)),
        Way::Untold => {}
    }
    if set & (0x10 | FIN_ACK) != 0 || (records.is_empty() && set & (0x04 | RST_ACK) == 0) {
        records.push(part(end, Flags::ACK));
    }
    if set & (0x01 | FIN_ACK) != 0 {
        records.push(part(end, Flags::FIN | Flags::ACK));
    }
    if set & (0x04 | RST_ACK) != 0 {
        records.push(part(end, Flags::RST));
    }
    records
}

/// The same flow is seen at several interfaces and nodes.
fn point(flow: &Flow) -> u64 {
    // The hasher is keyed with constants: the same point has the same number in every run.
    let mut hasher = DefaultHasher::new();
    let interfaces = flow.interfaces.to_string();
    (&flow.agent, flow.direction, interfaces, &flow.record_type).hash(&mut hasher);
    hasher.finish()
}
