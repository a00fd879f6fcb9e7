//! KubeArmor: what `karmor logs --json` prints and what it writes into its log file. Field names:
//! `KubeArmor/monitor/logUpdate.go` of kubearmor/KubeArmor at commit 0226612 for the texts; the page on DNS visibility of its
//! documentation, with events of December 2025, for `EventData`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;
use serde::Deserialize;
use serde_json::Value;

use super::json::{address, object};
use super::{Format, Kind, Limit, holds};
use crate::import::record::{Contact, End, Listener, Pod, Record, Reject, View, Who};

pub(super) const FORMAT: Format = Format {
    name: "kubearmor",
    page: include_str!("kubearmor.md"),
    clock: "the wall clock of each node when its agent wrote the event, to the microsecond",
    limits: &[
        Limit::Edges("KubeArmor does not tell of datagrams, except of questions to DNS"),
        Limit::Detail("a connection counts as established when the attempt was made without an error, answered or not"),
        Limit::Detail("a server's view has no port of the client, so that its connections cannot be told apart"),
    ],
    kind: Kind::Objects(parse),
    claims: |start| {
        holds(start, "\"Operation\"")
            && (holds(start, "\"HostName\"") || holds(start, "\"NamespaceName\""))
            && holds(start, "\"Resource\"")
    },
};

const TCP: u8 = 6;
const UDP: u8 = 17;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    #[serde(default)]
    timestamp: i64,
    #[serde(borrow)]
    updated_time: Option<Cow<'a, str>>,
    host_name: Option<String>,
    #[serde(default)]
    namespace_name: String,
    #[serde(default)]
    pod_name: String,
    owner: Option<Owner>,
    #[serde(default)]
    labels: String,
    #[serde(rename = "HostPID", default)]
    host_pid: i64,
    #[serde(borrow)]
    operation: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    resource: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Cow<'a, str>,
    event_data: Option<BTreeMap<String, Value>>,
    #[serde(borrow, default)]
    result: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Owner {
    #[serde(rename = "Ref", default)]
    kind: String,
    #[serde(default)]
    name: String,
}

fn parse(text: &[u8]) -> Result<Vec<Record>, Reject> {
    let event: Event<'_> = object(text)?;
    match event.operation.as_deref() {
        None => return Err(Reject::unknown("it has no `Operation`")),
        Some("Network") => {}
        Some("NetworkFirewall") => {
            return Ok(vec![Record::PassedOver(
                "packet of a firewall, whose client is not told",
            )]);
        }
        Some(_) => return Ok(vec![Record::PassedOver("event of another kind than network")]),
    }
    let at = instant(&event)?;
    let fields = fields(&event);
    let field = |name: &str| fields.get(name).map(String::as_str);
    if let Some(probe) = field("kprobe").or_else(|| field("kretprobe")) {
        return contact(&event, probe, at, &fields).map(|contact| vec![contact]);
    }
    if field("kfunc").is_some_and(|kfunc| kfunc.eq_ignore_ascii_case("udp_sendmsg")) {
        return question(&event, at, &fields).map(|contact| vec![contact]);
    }
    match field("syscall") {
        Some("SYS_CONNECT") => connect(&event, at, &fields),
        Some("SYS_BIND") => Ok(vec![bind(&event, at, &fields)?]),
        Some("SYS_LISTEN") => Ok(vec![Record::Listens(socket(&event, &fields))]),
        Some(_) => Ok(vec![Record::PassedOver("call that connects to nobody")]),
        None => Err(Reject::unknown("it is a network event of a kind that is not known")),
    }
}

/// `UpdatedTime` has microseconds, `Timestamp` seconds.
fn instant(event: &Event<'_>) -> Result<Time, Reject> {
    if let Some(time) = event.updated_time.as_deref().and_then(|text| text.parse().ok()) {
        return Ok(time);
    }
    let seconds = Some(event.timestamp).filter(|seconds| *seconds > 0);
    let nanos = seconds.and_then(|seconds| seconds.checked_mul(1_000_000_000));
    nanos.map(Time).ok_or(Reject::incomplete("it has no time"))
}

/// The fields of `EventData`, or those that `Data` and `Resource` have as text, with names in lower case.
fn fields(event: &Event<'_>) -> BTreeMap<String, String> {
    // A question to DNS has commas between its fields, all other events blanks.
    let words = event.data.split([' ', ',']).chain(event.resource.split_whitespace());
    let pairs = words.filter_map(|word| word.split_once('='));
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in pairs {
        // `domain` is the name in `Data` of a question, and an address family elsewhere; the first one counts.
        fields
            .entry(key.to_ascii_lowercase())
            .or_insert_with(|| value.to_owned());
    }
    for (key, value) in event.event_data.iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => continue,
        };
        // Of a question to DNS, one field holds all others as well, which are known from the text.
        let value = text.split(',').next().unwrap_or_default();
        fields.insert(key.to_ascii_lowercase(), value.to_owned());
    }
    fields
}

fn who(event: &Event<'_>) -> Who {
    if event.pod_name.is_empty() || event.namespace_name.is_empty() {
        return Who::Host;
    }
    // Between labels are commas; logs with blanks are read as well.
    let labels = event.labels.split([',', ' ']).filter_map(|label| label.split_once('='));
    let owner = event
        .owner
        .as_ref()
        .filter(|owner| !owner.kind.is_empty() && !owner.name.is_empty());
    Who::Pod(Pod {
        namespace: event.namespace_name.clone(),
        name: event.pod_name.clone(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        owner: owner
            .filter(|owner| owner.kind != "Pod")
            .map(|owner| (owner.kind.clone(), owner.name.clone())),
    })
}

/// An address and a port under these names.
fn end(fields: &BTreeMap<String, String>, ip: &str, port: &str) -> Result<End, Reject> {
    let address = fields.get(ip).and_then(|text| address(text));
    let port = fields.get(port).and_then(|text| text.parse().ok());
    Ok(End {
        address: Some(address.ok_or(Reject::incomplete("it has no address"))?),
        port: Some(port.ok_or(Reject::incomplete("it has no port"))?),
        who: Who::Untold,
    })
}

/// What the kernel's probes saw: of a connect the server's address and port, of an accept the client's address and the
/// server's own port (`get_connection_info` in `KubeArmor/BPF/system_monitor.c` at commit 01b72a9).
fn contact(event: &Event<'_>, probe: &str, at: Time, fields: &BTreeMap<String, String>) -> Result<Record, Reject> {
    let protocol = match fields.get("protocol").map(String::as_str) {
        Some("TCP") | None => TCP,
        Some("UDP") => UDP,
        Some(_) => return Err(Reject::unknown("it is of a protocol that is not known")),
    };
    let far = end(fields, "remoteip", "port")?;
    let near = End {
        who: who(event),
        ..End::default()
    };
    let (client, server, view) = match probe {
        "tcp_connect" => (near, far, View::Client),
        "tcp_accept" => {
            let End { address, port, .. } = far;
            let client = End {
                address,
                ..End::default()
            };
            (client, End { port, ..near }, View::Server)
        }
        _ => return Err(Reject::unknown("it is of a probe that is not known")),
    };
    Ok(told(
        event,
        at,
        protocol,
        (client, server, view),
        outcome(&event.result),
        false,
    ))
}

fn told(
    event: &Event<'_>,
    at: Time,
    protocol: u8,
    (client, server, view): (End, End, View),
    outcome: Outcome,
    retold: bool,
) -> Record {
    Record::Contact(Box::new(Contact {
        first: at,
        last: at,
        node: event.host_name.clone(),
        protocol,
        client,
        server,
        asked: None,
        view,
        outcome,
        count: 1,
        retold,
    }))
}

/// The words of the kernel's errors.
fn outcome(result: &str) -> Outcome {
    let result = result.to_ascii_lowercase();
    if result.is_empty() || result.contains("passed") {
        Outcome::Established
    } else if result.contains("refused") {
        Outcome::Refused
    } else if result.contains("timed out") {
        Outcome::Timeout
    } else if result.contains("unreachable") || result.contains("no route") {
        Outcome::Unreachable
    } else {
        Outcome::Unknown
    }
}

/// The call is told of beside the kernel's probe, which tells more of a connection that came to be. What the call alone
/// knows is how it failed; that it was an attempt over TCP then follows, because no datagram can be refused at once.
fn connect(event: &Event<'_>, at: Time, fields: &BTreeMap<String, String>) -> Result<Vec<Record>, Reject> {
    let family = fields.get("sa_family").map(String::as_str);
    if !matches!(family, Some("AF_INET" | "AF_INET6")) {
        return Ok(vec![Record::PassedOver("call that connects to nobody")]);
    }
    let outcome = outcome(&event.result);
    if !matches!(outcome, Outcome::Refused | Outcome::Timeout | Outcome::Unreachable) {
        return Ok(vec![Record::PassedOver("call that a probe tells of as well")]);
    }
    let server = end(fields, "sin_addr", "sin_port")?;
    let client = End {
        who: who(event),
        ..End::default()
    };
    Ok(vec![told(
        event,
        at,
        TCP,
        (client, server, View::Client),
        outcome,
        true,
    )])
}

fn question(event: &Event<'_>, at: Time, fields: &BTreeMap<String, String>) -> Result<Record, Reject> {
    let server = end(fields, "daddr", "sin_port")?;
    let client = End {
        who: who(event),
        ..End::default()
    };
    Ok(told(
        event,
        at,
        UDP,
        (client, server, View::Client),
        Outcome::Unknown,
        false,
    ))
}

/// What tells a socket from others: where it is, whose process, and its number there.
fn socket(event: &Event<'_>, fields: &BTreeMap<String, String>) -> String {
    let node = event.host_name.as_deref().unwrap_or_default();
    let number = fields.get("fd").map_or("", String::as_str);
    format!(
        "{node}/{}/{}/{}/{number}",
        event.namespace_name, event.pod_name, event.host_pid
    )
}

fn bind(event: &Event<'_>, at: Time, fields: &BTreeMap<String, String>) -> Result<Record, Reject> {
    let family = fields.get("sa_family").map(String::as_str);
    if !matches!(family, Some("AF_INET" | "AF_INET6")) || outcome(&event.result) != Outcome::Established {
        return Ok(Record::PassedOver("call that connects to nobody"));
    }
    let mut end = end(fields, "sin_addr", "sin_port")?;
    end.who = who(event);
    let listener = Listener {
        since: Some(at),
        node: event.host_name.clone(),
        // Only TCP listens.
        protocol: TCP,
        end,
    };
    Ok(Record::Bound(socket(event, fields), listener))
}
