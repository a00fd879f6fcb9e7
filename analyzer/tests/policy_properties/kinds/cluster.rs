//! A naive reader of `policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy`: of all that match, the one of the lowest
//! priority number decides; what no rule matches is allowed.

use serde_json::Value;

use super::pods::{Asked, Pod, inside, list, named, selected, text};

/// `None`: no rule is about the connection. Otherwise whether the first one accepts it.
pub(crate) fn verdict(objects: &[Value], asked: &Asked) -> Option<bool> {
    let mut found: Vec<(i64, bool)> = Vec::new();
    for object in objects {
        assert_eq!(
            (text(&object["kind"]), text(&object["spec"]["tier"])),
            ("ClusterNetworkPolicy", "Baseline")
        );
        let spec = &object["spec"];
        if !namespaced(&spec["subject"]["pods"], &asked.subject) {
            continue;
        }
        let section = list(&spec[if asked.ingress { "ingress" } else { "egress" }]);
        assert!(section.len() <= 25);
        if let Some(rule) = section.into_iter().find(|rule| matches(rule, asked)) {
            found.push((spec["priority"].as_i64().unwrap(), rule["action"] == "Accept"));
        }
    }
    let first = found.iter().map(|(priority, _)| *priority).min()?;
    let verdicts: Vec<bool> = found
        .iter()
        .filter(|(at, _)| *at == first)
        .map(|(_, accepts)| *accepts)
        .collect();
    assert!(
        verdicts.windows(2).all(|two| two[0] == two[1]),
        "objects of one priority disagree"
    );
    verdicts.first().copied()
}

fn matches(rule: &Value, asked: &Asked) -> bool {
    let peers = list(&rule[if asked.ingress { "from" } else { "to" }]);
    let protocols = list(&rule["protocols"]);
    assert!((1..=25).contains(&peers.len()) && protocols.len() <= 25);
    peers.iter().any(|peer| peer_matches(peer, asked))
        && (protocols.is_empty() || protocols.iter().any(|protocol| protocol_matches(protocol, asked)))
}

fn peer_matches(peer: &Value, asked: &Asked) -> bool {
    assert_eq!(peer.as_object().unwrap().len(), 1, "exactly one field: {peer}");
    let pod = asked.peer.pod.as_ref();
    let networks = list(&peer["networks"]);
    assert!(networks.len() <= 25 && (networks.is_empty() || !asked.ingress));
    (!peer["namespaces"].is_null() && pod.is_some_and(|pod| selected(&peer["namespaces"], &pod.namespace_labels)))
        || (!peer["pods"].is_null() && pod.is_some_and(|pod| namespaced(&peer["pods"], pod)))
        || networks.iter().any(|network| inside(text(network), asked.peer.address))
}

fn namespaced(selector: &Value, pod: &Pod) -> bool {
    selected(&selector["namespaceSelector"], &pod.namespace_labels) && selected(&selector["podSelector"], &pod.labels)
}

fn protocol_matches(protocol: &Value, asked: &Asked) -> bool {
    let (kind, content) = protocol.as_object().unwrap().iter().next().unwrap();
    assert_eq!(protocol.as_object().unwrap().len(), 1, "exactly one field: {protocol}");
    if kind == "destinationNamedPort" {
        return named(asked, text(content), None);
    }
    let port = &content["destinationPort"];
    let number = port["number"].as_u64() == Some(asked.port.into());
    let range = port["range"]["start"].as_u64().zip(port["range"]["end"].as_u64());
    let in_range = range.is_some_and(|(start, end)| start < end && (start..=end).contains(&asked.port.into()));
    kind.to_ascii_uppercase() == asked.protocol && (number || in_range)
}
