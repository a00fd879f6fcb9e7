//! Hubble: what `hubble observe -o jsonpb` prints and its exporter writes. Field names: `api/v1/flow/flow.proto` of
//! cilium/cilium at commit 04bbfcb, of the envelope `api/v1/observer/observer.proto` at commit 25972d8.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use flowtape_schemas::address::Address;
use flowtape_schemas::time::Time;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::json::{Number, Text, address, object, time};
use super::{Format, Kind, Limit, holds};
use crate::import::record::{End, Flags, NAME_BYTES, Name, Packet, Pod, Record, Reject, View, Way, Who};

pub(super) const FORMAT: Format = Format {
    name: "hubble",
    page: include_str!("hubble.md"),
    clock: "the kernel's time of the event on each node, as its agent converted it",
    limits: &[
        Limit::Detail("flows that a ring buffer overwrote before they were read are only known where Hubble says so"),
        Limit::Detail("connections are told apart by their ports, and those that began before it are counted as 0"),
    ],
    kind: Kind::Objects(parse),
    claims: |start| {
        holds(start, "\"flow\":{")
            || holds(start, "\"lost_events\":{")
            || (holds(start, "\"verdict\"") && holds(start, "\"IP\"") && holds(start, "\"l4\""))
    },
};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    flow: Option<Flow<'a>>,
    lost_events: Option<Lost>,
    node_status: Option<IgnoredAny>,
    agent_event: Option<IgnoredAny>,
    debug_event: Option<IgnoredAny>,
    #[serde(borrow)]
    node_name: Option<Text<'a>>,
    #[serde(borrow)]
    time: Option<Text<'a>>,
    verdict: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Lost {
    num_events_lost: Option<Number>,
}

#[derive(Deserialize)]
struct Flow<'a> {
    #[serde(borrow)]
    time: Option<Text<'a>>,
    #[serde(borrow)]
    verdict: Option<Text<'a>>,
    #[serde(borrow, rename = "IP")]
    ip: Option<Ip<'a>>,
    l4: Option<Layer4>,
    #[serde(borrow)]
    l7: Option<Layer7<'a>>,
    #[serde(borrow)]
    source: Option<Endpoint<'a>>,
    #[serde(borrow)]
    destination: Option<Endpoint<'a>>,
    #[serde(borrow, rename = "Type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    node_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    source_names: Vec<Text<'a>>,
    #[serde(borrow, default)]
    destination_names: Vec<Text<'a>>,
    event_type: Option<EventType>,
    #[serde(borrow)]
    traffic_direction: Option<Text<'a>>,
    #[serde(borrow)]
    trace_observation_point: Option<Text<'a>>,
    is_reply: Option<bool>,
    #[serde(borrow)]
    sock_xlate_point: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Ip<'a> {
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    destination: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Layer4 {
    #[serde(rename = "TCP")]
    tcp: Option<Ports>,
    #[serde(rename = "UDP")]
    udp: Option<Ports>,
    #[serde(rename = "SCTP")]
    sctp: Option<Ports>,
    #[serde(rename = "ICMPv4")]
    icmp4: Option<IgnoredAny>,
    #[serde(rename = "ICMPv6")]
    icmp6: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Ports {
    #[serde(default)]
    source_port: u16,
    #[serde(default)]
    destination_port: u16,
    flags: Option<Set>,
}

/// Flags of TCP; one that is not there is not set.
#[derive(Default, Deserialize)]
#[serde(rename_all = "UPPERCASE", default)]
#[expect(clippy::struct_excessive_bools, reason = "as the source has it")]
struct Set {
    fin: bool,
    syn: bool,
    rst: bool,
    ack: bool,
}

#[derive(Deserialize)]
struct Layer7<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    dns: Option<Dns<'a>>,
}

#[derive(Deserialize)]
struct Dns<'a> {
    #[serde(borrow)]
    query: Option<Text<'a>>,
    #[serde(borrow, default)]
    ips: Vec<Text<'a>>,
    ttl: Option<u32>,
}

#[derive(Default, Deserialize)]
struct Endpoint<'a> {
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow, default)]
    labels: Vec<Text<'a>>,
    #[serde(borrow, default)]
    pod_name: Text<'a>,
    #[serde(borrow, default)]
    workloads: Vec<Workload<'a>>,
}

#[derive(Deserialize)]
struct Workload<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct EventType {
    #[serde(rename = "type", default)]
    kind: i64,
    #[serde(default)]
    sub_type: i64,
}

fn parse(text: &[u8]) -> Result<Vec<Record>, Reject> {
    let line: Line<'_> = object(text)?;
    let node = line.node_name.as_deref();
    if let Some(flow) = line.flow {
        return records(&flow, node, line.time.as_deref());
    }
    if let Some(lost) = line.lost_events {
        return Ok(vec![Record::Loss {
            node: node.map(str::to_owned),
            time: time(line.time.as_deref())?,
            count: lost.num_events_lost.map_or(1, |lost| lost.0.max(1)),
        }]);
    }
    if line.node_status.is_some() {
        return Ok(vec![Record::PassedOver("status of a node")]);
    }
    if line.agent_event.is_some() || line.debug_event.is_some() {
        return Ok(vec![Record::PassedOver("event of the agent")]);
    }
    if line.verdict.is_some() {
        return records(&object(text)?, None, None);
    }
    Err(Reject::unknown("it is neither a flow nor any other event of Hubble"))
}

fn records(flow: &Flow<'_>, node: Option<&str>, envelope_time: Option<&str>) -> Result<Vec<Record>, Reject> {
    let at = time(flow.time.as_deref().or(envelope_time))?;
    let node = flow.node_name.as_deref().or(node).map(str::to_owned);
    let Some(ip) = &flow.ip else {
        return Ok(vec![Record::PassedOver("flow without addresses")]);
    };
    let ends = |text: &Option<Text<'_>>| text.as_deref().and_then(address);
    let (Some(source), Some(destination)) = (ends(&ip.source), ends(&ip.destination)) else {
        return Err(Reject::incomplete("an address is missing or is none"));
    };
    let mut records = names(flow, at, node.as_deref(), (source, destination));
    let Some((protocol, ports)) = ports(flow) else {
        records.push(Record::PassedOver(beside(flow)));
        return Ok(records);
    };
    let (source, destination) = ((source, ports.source_port), (destination, ports.destination_port));
    let flags = ports.flags.as_ref().map(Set::flags).filter(|_| protocol == 6);
    let packet = packet(flow, at, node, protocol, (source, destination), flags);
    records.push(Record::Packet(Box::new(packet)));
    Ok(records)
}

/// Names that the flow gives to its addresses, and those that it is the answer about.
fn names(flow: &Flow<'_>, at: Time, node: Option<&str>, (source, destination): (Address, Address)) -> Vec<Record> {
    let told = |name: &str, address, client, ttl_seconds, answered| {
        // One line may have the same name for thousands of addresses.
        let fits = !name.is_empty() && name.len() <= NAME_BYTES && node.is_none_or(|node| node.len() <= NAME_BYTES);
        fits.then(|| {
            Record::Name(Name {
                time: at,
                node: node.map(str::to_owned),
                name: name.to_owned(),
                address,
                client: Some(client),
                ttl_seconds,
                answered,
            })
        })
    };
    let to = flow.destination_names.iter();
    let mut records: Vec<Record> = to
        .filter_map(|name| told(name, destination, source, None, false))
        .collect();
    let from = flow.source_names.iter();
    records.extend(from.filter_map(|name| told(name, source, destination, None, false)));
    let response = flow
        .l7
        .as_ref()
        .filter(|layer7| layer7.kind.as_deref() == Some("RESPONSE"));
    if let Some(dns) = response.and_then(|layer7| layer7.dns.as_ref()) {
        let name = dns.query.as_deref().unwrap_or_default();
        let ips = dns.ips.iter().filter_map(|ip| address(ip));
        records.extend(ips.filter_map(|ip| told(name, ip, destination, dns.ttl, true)));
    }
    records
}

/// Protocol and ports of a flow that is told of nowhere else.
fn ports<'f>(flow: &'f Flow<'_>) -> Option<(u8, &'f Ports)> {
    if flow.l7.is_some() || is_translation(flow) {
        return None;
    }
    match flow.l4.as_ref()? {
        Layer4 { tcp: Some(ports), .. } => Some((6, ports)),
        Layer4 { udp: Some(ports), .. } => Some((17, ports)),
        Layer4 { sctp: Some(ports), .. } => Some((132, ports)),
        Layer4 { .. } => None,
    }
}

fn is_translation(flow: &Flow<'_>) -> bool {
    let point = flow.sock_xlate_point.as_deref();
    flow.kind.as_deref() == Some("SOCK") || point.is_some_and(|point| point != "SOCK_XLATE_POINT_UNKNOWN")
}

/// What a flow is that makes no connection.
fn beside(flow: &Flow<'_>) -> &'static str {
    match &flow.l4 {
        _ if flow.l7.is_some() => "what the proxy saw of a flow",
        _ if is_translation(flow) => "translation in a socket",
        Some(Layer4 { icmp4, icmp6, .. }) if icmp4.is_some() || icmp6.is_some() => "ICMP",
        Some(_) | None => "flow of another protocol",
    }
}

fn packet(
    flow: &Flow<'_>,
    at: Time,
    node: Option<String>,
    protocol: u8,
    (source, destination): ((Address, u16), (Address, u16)),
    flags: Option<Flags>,
) -> Packet {
    let point = point(flow, node.as_deref());
    let (way, view) = ways(flow.is_reply, flow.traffic_direction.as_deref());
    let local_is_from = matches!(
        (way, view),
        (Way::Reply, View::Server) | (Way::Forward | Way::Untold, View::Client)
    );
    let end = |(address, port), endpoint: Option<&Endpoint<'_>>, is_local| End {
        address: Some(address),
        port: Some(port),
        who: endpoint.map_or(Who::Untold, |endpoint| who(endpoint, is_local)),
    };
    Packet {
        time: at,
        node,
        protocol,
        from: end(source, flow.source.as_ref(), local_is_from),
        to: end(
            destination,
            flow.destination.as_ref(),
            !local_is_from && view != View::Between,
        ),
        flags,
        way,
        view,
        point,
        count: 1,
        dropped: matches!(flow.verdict.as_deref(), Some("DROPPED" | "ERROR")),
        asked: None,
        sequence: None,
    }
}

/// Which way it went, and at which end it was seen: `traffic_direction` is of the connection, also for a reply
/// (`decodeTrafficDirection` in `pkg/hubble/parser/threefour/parser.go` of cilium/cilium).
fn ways(is_reply: Option<bool>, direction: Option<&str>) -> (Way, View) {
    let way = match is_reply {
        Some(true) => Way::Reply,
        Some(false) => Way::Forward,
        None => Way::Untold,
    };
    let view = match direction {
        Some("EGRESS") => View::Client,
        Some("INGRESS") => View::Server,
        Some(_) | None => View::Between,
    };
    (way, view)
}

/// The same packet is traced at several points of a node.
fn point(flow: &Flow<'_>, node: Option<&str>) -> u64 {
    let kind = flow.event_type.as_ref().map(|event| (event.kind, event.sub_type));
    // The hasher is keyed with constants: the same point has the same number in every run.
    let mut hasher = DefaultHasher::new();
    (node, flow.trace_observation_point.as_deref(), kind).hash(&mut hasher);
    hasher.finish()
}

impl Set {
    fn flags(&self) -> Flags {
        let Self { fin, syn, rst, ack } = *self;
        let bits = [
            (fin, Flags::FIN),
            (syn, Flags::SYN),
            (rst, Flags::RST),
            (ack, Flags::ACK),
        ];
        let set = bits.iter().filter(|(is_set, _)| *is_set);
        Flags(set.fold(0, |all, (_, bit)| all | bit))
    }
}

/// The pod of an endpoint, with those of its labels that are Kubernetes' own; Cilium adds some that no pod has.
fn who(endpoint: &Endpoint<'_>, is_local: bool) -> Who {
    let Endpoint {
        namespace,
        labels,
        pod_name,
        workloads,
    } = endpoint;
    if pod_name.is_empty() || namespace.is_empty() {
        let host = is_local && labels.iter().any(|label| &**label == "reserved:host");
        return if host { Who::Host } else { Who::Untold };
    }
    let own = |label: &Text<'_>| {
        let label = label.strip_prefix("k8s:")?;
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        let added = key.starts_with("io.cilium.") || key.starts_with("io.kubernetes.pod.");
        (!added).then(|| (key.to_owned(), value.to_owned()))
    };
    let owner = workloads.first().map(|Workload { name, kind }| (&**kind, &**name));
    Who::Pod(Pod {
        namespace: namespace.to_string(),
        name: pod_name.to_string(),
        labels: labels.iter().filter_map(own).collect(),
        owner: owner
            .filter(|(kind, name)| !kind.is_empty() && !name.is_empty())
            .map(|(kind, name)| (kind.to_owned(), name.to_owned())),
    })
}
