//! What the readers of all kinds have in common: pods, label selectors, prefixes and ports, by name in plain JSON.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

/// Labels of a pod or a namespace.
pub(crate) type Labels = BTreeMap<String, String>;

/// One end of a connection: a pod, or an address that is none.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) pod: Option<Pod>,
    pub(crate) address: IpAddr,
}

#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
    pub(crate) namespace_labels: Labels,
    /// Name, protocol, number.
    pub(crate) ports: Vec<(String, String, u16)>,
}

/// A connection, with the end that the policy is about and the other one.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) ingress: bool,
    pub(crate) subject: Pod,
    pub(crate) peer: End,
    /// The pod that accepts, if it is one.
    pub(crate) server: Option<Pod>,
    pub(crate) protocol: String,
    pub(crate) port: u16,
}

pub(crate) fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map(|items| items.iter().collect()).unwrap_or_default()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// LabelSelector over labels, as the API defines it.
pub(crate) fn selected(selector: &Value, labels: &Labels) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = list(&selector["matchExpressions"]).into_iter();
    equal
        .into_iter()
        .all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
        && expressions.into_iter().all(|expression| {
            let found = labels.get(text(&expression["key"]));
            let listed = |value: &String| list(&expression["values"]).iter().any(|one| text(one) == value);
            match text(&expression["operator"]) {
                "In" => found.is_some_and(listed),
                "NotIn" => !found.is_some_and(listed),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                other => panic!("no operator: {other}"),
            }
        })
}

/// Whether an address is in a prefix, bit by bit.
pub(crate) fn inside(prefix: &str, address: IpAddr) -> bool {
    let (network, length) = prefix.split_once('/').unwrap();
    let network: IpAddr = network.parse().unwrap();
    let length: usize = length.parse().unwrap();
    let bits = |address: IpAddr| -> Vec<bool> {
        let bytes = match address {
            IpAddr::V4(four) => four.octets().to_vec(),
            IpAddr::V6(six) => six.octets().to_vec(),
        };
        bytes
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte & (1 << bit) != 0))
            .collect()
    };
    network.is_ipv4() == address.is_ipv4() && bits(network)[..length] == bits(address)[..length]
}

/// Whether the server has a port of this name at the port of the connection; of any protocol if none is asked for.
pub(crate) fn named(asked: &Asked, name: &str, protocol: Option<&str>) -> bool {
    let ports = asked.server.iter().flat_map(|pod| &pod.ports);
    ports.into_iter().any(|(known, of, number)| {
        known == name
            && *of == asked.protocol
            && *number == asked.port
            && protocol.is_none_or(|protocol| protocol == of)
    })
}
