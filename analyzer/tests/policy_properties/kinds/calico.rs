//! A naive reader of `projectcalico.org/v3 NetworkPolicy`.

use serde_json::Value;

use super::pods::{Asked, End, Labels, inside, list, named, text};

/// `None`: the policy is not about this pod and direction. Otherwise whether it allows the connection.
pub(crate) fn verdict(object: &Value, asked: &Asked) -> Option<bool> {
    assert_eq!(object["apiVersion"], "projectcalico.org/v3");
    let spec = &object["spec"];
    let (direction, section) = if asked.ingress {
        ("Ingress", "ingress")
    } else {
        ("Egress", "egress")
    };
    let about = asked.subject.namespace == text(&object["metadata"]["namespace"])
        && expression(text(&spec["selector"]), &asked.subject.labels)
        && list(&spec["types"]).iter().any(|one| text(one) == direction);
    about.then(|| list(&spec[section]).iter().any(|rule| allows(rule, asked)))
}

fn allows(rule: &Value, asked: &Asked) -> bool {
    assert_eq!(rule["action"], "Allow");
    let peer = if asked.ingress {
        &rule["source"]
    } else {
        &rule["destination"]
    };
    let protocol = rule["protocol"]
        .as_str()
        .is_none_or(|protocol| protocol == asked.protocol);
    let ports = list(&rule["destination"]["ports"]);
    let port = ports.is_empty() || ports.iter().any(|port| port_matches(port, asked));
    protocol && port && entity(peer, &asked.peer, &asked.subject.namespace)
}

fn port_matches(port: &Value, asked: &Asked) -> bool {
    match (port.as_u64(), port.as_str().map(|port| (port, port.split_once(':')))) {
        (Some(number), _) => number == u64::from(asked.port),
        (None, Some((_, Some((first, last))))) => {
            (first.parse::<u16>().unwrap()..=last.parse().unwrap()).contains(&asked.port)
        }
        (None, Some((name, None))) => named(asked, name, Some(&asked.protocol)),
        (None, None) => panic!("no port: {port}"),
    }
}

fn entity(entity: &Value, end: &End, home: &str) -> bool {
    let nets = list(&entity["nets"]);
    let in_nets = nets.is_empty() || nets.iter().any(|net| inside(text(net), end.address));
    let in_holes = list(&entity["notNets"])
        .iter()
        .any(|net| inside(text(net), end.address));
    let by_label = !entity["selector"].is_null() || !entity["namespaceSelector"].is_null();
    let selected = !by_label
        || end.pod.as_ref().is_some_and(|pod| {
            let mut labels = pod.labels.clone();
            labels.insert("projectcalico.org/orchestrator".to_owned(), "k8s".to_owned());
            let namespace = match entity["namespaceSelector"].as_str() {
                None => pod.namespace == home,
                Some(selector) => expression(selector, &pod.namespace_labels),
            };
            namespace && expression(text(&entity["selector"]), &labels)
        });
    in_nets && !in_holes && selected
}

/// Terms joined by `&&`, of which none has an operator in a literal.
pub(crate) fn expression(expression: &str, labels: &Labels) -> bool {
    expression.split(" && ").all(|term| one_term(term, labels))
}

fn one_term(term: &str, labels: &Labels) -> bool {
    if term == "all()" {
        return true;
    }
    if let Some(rest) = term.strip_prefix('!') {
        return !one_term(rest, labels);
    }
    if let Some(key) = term.strip_prefix("has(").and_then(|rest| rest.strip_suffix(')')) {
        return labels.contains_key(key);
    }
    let literals = |part: &str| -> Vec<String> { part.split('\'').skip(1).step_by(2).map(str::to_owned).collect() };
    let (key, rest) = term.split_once(' ').unwrap();
    let value = labels.get(key);
    match rest.split_once(' ').unwrap() {
        ("==", literal) => value == literals(literal).first(),
        ("in", set) => value.is_some_and(|value| literals(set).contains(value)),
        ("not", set) => !value.is_some_and(|value| literals(set).contains(value)),
        (other, _) => panic!("no operator: {other} in {term}"),
    }
}
