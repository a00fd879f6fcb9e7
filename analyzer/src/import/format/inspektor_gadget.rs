//! Inspektor Gadget: what `kubectl gadget run trace_tcp|trace_dns -o json` prints, and the files of `advise network-policy
//! monitor` of older versions. Fields, in inspektor-gadget/inspektor-gadget:
//! `gadgets/trace_dns/test/integration/trace_dns_test.go` at commit 00b297a for names, and
//! `pkg/gadgets/trace/network/types/types.go` at commit 019ce22 for the monitor, whose `dst` is as users' logs show it.

use std::collections::BTreeMap;

use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;
use serde::Deserialize;
use serde_json::Value;

use super::json::{address, object};
use super::{Format, Kind, Limit, holds};
use crate::import::record::{Contact, End, NAME_BYTES, Name, Pod, Record, Reject, View, Who};

pub(super) const FORMAT: Format = Format {
    name: "inspektor-gadget",
    page: include_str!("inspektor_gadget.md"),
    clock: "the wall clock of each node, to the nanosecond",
    limits: &[
        Limit::Edges(
            "a gadget traces the pods it was started for and the protocol it is made for, and tells of no others",
        ),
        Limit::Detail(
            "records of `advise network-policy monitor` stand for any number of connections, and count as one",
        ),
    ],
    kind: Kind::Objects(parse),
    claims: |start| {
        holds(start, "\"pktType\"")
            || ((holds(start, "\"mntns_id\"") || holds(start, "\"netns_id\"")) && holds(start, "\"dst\""))
            || (holds(start, "\"nameserver\"") && holds(start, "\"qr\""))
    },
};

#[derive(Deserialize)]
struct Event {
    timestamp: Option<Value>,
    timestamp_raw: Option<i64>,
    #[serde(default)]
    k8s: Kubernetes,
    src: Option<Endpoint>,
    dst: Option<Endpoint>,
    #[serde(rename = "type")]
    kind: Option<String>,
    error: Option<Value>,
    qr: Option<String>,
    name: Option<String>,
    addresses: Option<Value>,
    #[serde(rename = "pktType")]
    packet: Option<String>,
    proto: Option<String>,
    port: Option<u16>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podLabels", default)]
    pod_labels: Value,
}

#[derive(Default, Deserialize)]
struct Kubernetes {
    node: Option<String>,
    #[serde(default)]
    namespace: String,
    #[serde(rename = "podName", alias = "podname", alias = "pod", default)]
    pod: String,
    #[serde(rename = "podLabels", alias = "labels", default)]
    labels: Value,
    owner: Option<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    addr: String,
    #[serde(default)]
    port: u16,
    proto: Option<Value>,
}

fn parse(text: &[u8]) -> Result<Vec<Record>, Reject> {
    let event: Event = object(text)?;
    if let Some(direction) = event.packet.as_deref() {
        return monitored(&event, direction);
    }
    if event.qr.is_some() {
        return answered(&event);
    }
    match event.kind.as_deref() {
        Some("connect" | "accept") => traced(&event),
        Some("close") => Ok(vec![Record::PassedOver("end of a connection")]),
        Some("debug" | "ready" | "err" | "info" | "warn") => Ok(vec![Record::PassedOver("message of the gadget")]),
        Some(_) | None => Err(Reject::unknown("it is an event of a kind that is not known")),
    }
}

fn instant(event: &Event) -> Result<Time, Reject> {
    let time = match &event.timestamp {
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => number.as_i64().map(Time),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    time.or_else(|| event.timestamp_raw.map(Time))
        .ok_or(Reject::incomplete("it has no time"))
}

/// Labels as an object, or as text with commas.
fn labels(value: &Value) -> BTreeMap<String, String> {
    match value {
        Value::Object(fields) => {
            let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            fields.iter().filter_map(text).collect()
        }
        Value::String(text) => {
            let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => BTreeMap::new(),
    }
}

fn who(event: &Event) -> Who {
    let Kubernetes {
        namespace,
        pod,
        labels: own,
        owner,
        ..
    } = &event.k8s;
    if namespace.is_empty() || pod.is_empty() {
        return Who::Untold;
    }
    let owner = owner
        .as_ref()
        .filter(|owner| !owner.kind.is_empty() && !owner.name.is_empty());
    let mut own = labels(own);
    own.extend(labels(&event.pod_labels));
    Who::Pod(Pod {
        namespace: namespace.clone(),
        name: pod.clone(),
        labels: own,
        owner: owner.map(|owner| (owner.kind.clone(), owner.name.clone())),
    })
}

fn end(endpoint: &Endpoint) -> Result<End, Reject> {
    let address = address(&endpoint.addr).ok_or(Reject::incomplete("an address is missing or is none"))?;
    Ok(End {
        address: Some(address),
        port: Some(endpoint.port),
        who: Who::Untold,
    })
}

/// Protocols by name, or by number in older versions.
fn protocol(value: Option<&Value>) -> Result<u8, Reject> {
    match value {
        None => Ok(6),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("tcp") => Ok(6),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("udp") => Ok(17),
        Some(value) => {
            let number = value.as_u64().and_then(|number| u8::try_from(number).ok());
            number.ok_or(Reject::unknown("it is of a protocol that is not known"))
        }
    }
}

/// `src` is the socket's own end, of an accept as well (`fill_tuple` in `gadgets/trace_tcp/program.bpf.c` of
/// inspektor-gadget/inspektor-gadget at commit 023866c).
fn traced(event: &Event) -> Result<Vec<Record>, Reject> {
    let (Some(src), Some(dst)) = (&event.src, &event.dst) else {
        return Err(Reject::incomplete("an address is missing or is none"));
    };
    let protocol = protocol(src.proto.as_ref().or(dst.proto.as_ref()))?;
    let mut near = end(src)?;
    near.who = who(event);
    let far = end(dst)?;
    let (client, server, view) = if event.kind.as_deref() == Some("connect") {
        (near, far, View::Client)
    } else {
        (far, near, View::Server)
    };
    Ok(vec![told(
        event,
        protocol,
        (client, server, view),
        outcome(event.error.as_ref()),
    )?])
}

/// An error by its name, or by its number on Linux.
fn outcome(error: Option<&Value>) -> Outcome {
    let text = match error {
        Some(Value::String(text)) => text.as_str(),
        Some(Value::Number(number)) => match number.as_i64().map(i64::abs) {
            Some(0) => "",
            Some(111) => "ECONNREFUSED",
            Some(110) => "ETIMEDOUT",
            Some(101) => "ENETUNREACH",
            Some(113) => "EHOSTUNREACH",
            Some(_) | None => "another",
        },
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => "",
    };
    match text {
        "" | "EINPROGRESS" => Outcome::Established,
        "ECONNREFUSED" => Outcome::Refused,
        "ETIMEDOUT" => Outcome::Timeout,
        "ENETUNREACH" | "EHOSTUNREACH" => Outcome::Unreachable,
        _ => Outcome::Unknown,
    }
}

/// A peer of a pod and a port, seen at least once.
fn monitored(event: &Event, direction: &str) -> Result<Vec<Record>, Reject> {
    let dst = event
        .dst
        .as_ref()
        .ok_or(Reject::incomplete("an address is missing or is none"))?;
    let name = event.proto.clone().map(Value::String);
    let protocol = protocol(name.as_ref())?;
    let near = End {
        address: event.pod_ip.as_deref().and_then(address),
        port: None,
        who: who(event),
    };
    let far = End {
        port: None,
        ..end(dst)?
    };
    let port = Some(event.port.ok_or(Reject::incomplete("it has no port"))?);
    let ends = match direction {
        "OUTGOING" => (near, End { port, ..far }, View::Client),
        "HOST" => (far, End { port, ..near }, View::Server),
        _ => return Err(Reject::unknown("it is of a direction that is not known")),
    };
    Ok(vec![told(event, protocol, ends, Outcome::Established)?])
}

fn told(
    event: &Event,
    protocol: u8,
    (client, server, view): (End, End, View),
    outcome: Outcome,
) -> Result<Record, Reject> {
    let at = instant(event)?;
    Ok(Record::Contact(Box::new(Contact {
        first: at,
        last: at,
        node: event.k8s.node.clone(),
        protocol,
        client,
        server,
        asked: None,
        view,
        outcome,
        count: 1,
        retold: false,
    })))
}

fn answered(event: &Event) -> Result<Vec<Record>, Reject> {
    let at = instant(event)?;
    let texts: Vec<&str> = match &event.addresses {
        Some(Value::String(text)) => text.split(',').map(str::trim).collect(),
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    };
    let name = event.name.as_deref().unwrap_or_default();
    if name.len().max(event.k8s.node.as_deref().map_or(0, str::len)) > NAME_BYTES {
        // One line may have thousands of addresses.
        return Err(Reject::malformed("a name is longer than any is"));
    }
    let told = |address| {
        Record::Name(Name {
            time: at,
            node: event.k8s.node.clone(),
            name: name.to_owned(),
            address,
            client: None,
            ttl_seconds: None,
            answered: true,
        })
    };
    let records: Vec<Record> = texts.into_iter().filter_map(address).map(told).collect();
    if records.is_empty() {
        return Ok(vec![Record::PassedOver(
            "question to DNS, or answer without an address",
        )]);
    }
    Ok(records)
}
