//! A naive reader of `cilium.io/v2 CiliumNetworkPolicy`, for a cluster whose pods are all managed and whose nodes are none of
//! the ends.

use serde_json::Value;

use super::pods::{Asked, Labels, Pod, inside, list, named, selected, text};

const NAMESPACE: &str = "k8s:io.kubernetes.pod.namespace";

/// `None`: the policy is not about this pod and direction. Otherwise whether it allows the connection.
pub(crate) fn verdict(object: &Value, asked: &Asked) -> Option<bool> {
    assert_eq!(
        (text(&object["apiVersion"]), text(&object["kind"])),
        ("cilium.io/v2", "CiliumNetworkPolicy")
    );
    let spec = &object["spec"];
    let section = if asked.ingress { "ingress" } else { "egress" };
    let about = asked.subject.namespace == text(&object["metadata"]["namespace"])
        && selected(&spec["endpointSelector"], &asked.subject.labels)
        && !list(&spec[section]).is_empty();
    about.then(|| list(&spec[section]).iter().any(|rule| allows(rule, asked)))
}

fn allows(rule: &Value, asked: &Asked) -> bool {
    let side = if asked.ingress { "from" } else { "to" };
    let field = |name: &str| list(&rule[format!("{side}{name}")]);
    let (endpoints, entities) = (field("Endpoints"), field("Entities"));
    let (cidrs, sets) = (field("CIDR"), field("CIDRSet"));
    let sorts = [&endpoints, &entities, &cidrs, &sets];
    assert!(
        sorts.iter().filter(|sort| !sort.is_empty()).count() <= 1,
        "one sort of peer: {rule}"
    );
    let outside = asked.peer.pod.is_none().then_some(asked.peer.address);
    let by_label = |selector: &&Value| {
        let pod = asked.peer.pod.as_ref();
        pod.is_some_and(|pod| endpoint(selector, pod, &asked.subject.namespace))
    };
    let in_set = |set: &&Value| {
        outside.is_some_and(|address| {
            inside(text(&set["cidr"]), address) && !list(&set["except"]).iter().any(|hole| inside(text(hole), address))
        })
    };
    let peer = endpoints.iter().any(by_label)
        || entities.iter().any(|entity| match text(entity) {
            "all" => true,
            "world" => outside.is_some(),
            other => panic!("no such end is asked for: {other}"),
        })
        || cidrs
            .iter()
            .any(|cidr| outside.is_some_and(|address| inside(text(cidr), address)))
        || sets.iter().any(in_set);
    let ports = list(&rule["toPorts"]);
    peer && (ports.is_empty()
        || ports
            .iter()
            .flat_map(|rule| list(&rule["ports"]))
            .any(|port| port_matches(port, asked)))
}

/// A selector without a word on the namespace is about that of the policy.
fn endpoint(selector: &Value, pod: &Pod, home: &str) -> bool {
    let mut labels: Labels = pod.labels.clone();
    labels.insert(NAMESPACE.to_owned(), pod.namespace.clone());
    for (key, value) in &pod.namespace_labels {
        labels.insert(format!("k8s:io.cilium.k8s.namespace.labels.{key}"), value.clone());
    }
    let keys = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    let keys = keys.chain(
        list(&selector["matchExpressions"])
            .into_iter()
            .map(|one| text(&one["key"])),
    );
    let of_namespace = |key: &str| key == NAMESPACE || key.starts_with("k8s:io.cilium.k8s.namespace.labels.");
    let anywhere = keys.into_iter().any(of_namespace);
    selected(selector, &labels) && (anywhere || pod.namespace == home)
}

fn port_matches(port: &Value, asked: &Asked) -> bool {
    let name = text(&port["port"]);
    let Ok(first) = name.parse::<u16>() else {
        return named(asked, name, Some(text(&port["protocol"])));
    };
    let last = port["endPort"]
        .as_u64()
        .map_or(first, |last| u16::try_from(last).unwrap());
    port["protocol"] == asked.protocol && (first == 0 || (first..=last).contains(&asked.port))
}
