//! Calico: flows as the backend of Whisker gives them in JSON. Field names: `whisker-backend/pkg/apis/v1/flows.go` of
//! projectcalico/calico at commit 013c532, their values `whisker-backend/pkg/handlers/v1/protoconvert.go`
//! at commit 07050c3, `items` of an answer `lib/httpmachinery/pkg/apiutil/response.go` at commit 0be657d.

use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;
use serde::Deserialize;

use super::json::{object, time};
use super::{Format, Kind, Limit, holds};
use crate::import::record::{Contact, End, Pod, Record, Reject, View, Who};

pub(super) const FORMAT: Format = Format {
    name: "calico",
    page: include_str!("calico.md"),
    clock: "the clock of Goldmane, whose intervals flows are summed up over",
    limits: &[
        Limit::Detail("flows have names of groups of pods and no addresses: an address in a row stands for a name"),
        Limit::Detail(
            "flows are summed up: each counts as one connection, allowed ones as established, answered or not",
        ),
        Limit::Edges(
            "peers outside of the cluster are told as public or private network only, and no rule can name them",
        ),
    ],
    kind: Kind::Objects(parse),
    claims: |start| {
        holds(start, "\"source_namespace\"") && holds(start, "\"dest_namespace\"") && holds(start, "\"reporter\"")
    },
};

/// A flow, or the answer of the API with several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Several { items: Vec<Flow> },
    One(Box<Flow>),
}

#[derive(Deserialize)]
struct Flow {
    start_time: Option<String>,
    end_time: Option<String>,
    action: String,
    source_name: String,
    source_namespace: String,
    #[serde(default)]
    source_labels: String,
    dest_name: String,
    dest_namespace: String,
    #[serde(default)]
    dest_labels: String,
    protocol: String,
    #[serde(default)]
    dest_port: u16,
    reporter: String,
}

fn parse(text: &[u8]) -> Result<Vec<Record>, Reject> {
    match object(text)? {
        Answer::Several { items } => items.into_iter().map(record).collect(),
        Answer::One(flow) => Ok(vec![record(*flow)?]),
    }
}

fn record(flow: Flow) -> Result<Record, Reject> {
    let protocol = match flow.protocol.to_ascii_lowercase().as_str() {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        _ => return Ok(Record::PassedOver("ICMP and other protocols")),
    };
    let first: Time = time(flow.start_time.as_deref())?;
    let last = time(flow.end_time.as_deref())?.max(first);
    let view = match flow.reporter.to_ascii_lowercase().as_str() {
        "src" => View::Client,
        "dst" => View::Server,
        _ => return Err(Reject::unknown("it is of a reporter that is not known")),
    };
    let outcome = match flow.action.to_ascii_lowercase().as_str() {
        "allow" => Outcome::Established,
        "deny" => Outcome::Timeout,
        _ => Outcome::Unknown,
    };
    Ok(Record::Contact(Box::new(Contact {
        first,
        last,
        node: None,
        protocol,
        client: end(flow.source_namespace, &flow.source_name, &flow.source_labels, None),
        server: end(
            flow.dest_namespace,
            &flow.dest_name,
            &flow.dest_labels,
            Some(flow.dest_port),
        ),
        asked: None,
        view,
        outcome,
        count: 1,
        retold: false,
    })))
}

/// A group of pods; `-` or `Global` in place of a namespace is what none has: a network, or a host.
fn end(namespace: String, name: &str, labels: &str, port: Option<u16>) -> End {
    let pairs = labels
        .split('|')
        .flat_map(|part| part.split(','))
        .filter_map(|label| label.trim().split_once('='));
    let who = if matches!(namespace.as_str(), "" | "-" | "Global") {
        Who::Untold
    } else {
        Who::Pod(Pod {
            namespace,
            name: name.to_owned(),
            labels: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            owner: None,
        })
    };
    End {
        address: None,
        port,
        who,
    }
}
