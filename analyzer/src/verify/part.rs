//! Parts of a rule in words: `pods app=web in namespaces kubernetes.io/metadata.name=shop`, `53/TCP`.

use crate::policy::model::{Peer, PortMatch, PortRule};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::select::{Selector, Test};

/// A peer of a rule.
pub(super) fn peer_text(peer: &Peer) -> String {
    match peer {
        Peer::Pods { namespaces, pods } => {
            let pods = format!("pods {}", selector_text(pods));
            match namespaces {
                None => pods,
                Some(namespaces) => format!("{pods} in namespaces {}", selector_text(namespaces)),
            }
        }
        Peer::Block { cidr, except } => {
            let holes: Vec<String> = except.iter().map(ToString::to_string).collect();
            if holes.is_empty() {
                return cidr.to_string();
            }
            format!("{cidr} except {}", holes.join(","))
        }
    }
}

/// The ports of a rule, of one protocol.
pub(super) fn port_text(port: &PortRule) -> String {
    let PortRule { protocol, port } = port;
    match port {
        PortMatch::Any => format!("any/{protocol}"),
        PortMatch::Range(range) => format!("{range}/{protocol}"),
        PortMatch::Named(name) => format!("{name}/{protocol}"),
    }
}

/// A selector as `kubectl --selector` takes it; `all` for the one without requirements.
fn selector_text(selector: &Selector) -> String {
    if selector.is_everything() {
        return "all".to_owned();
    }
    let listed = |values: &OneOrMore<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let requirement = |requirement: &crate::policy::select::Requirement| {
        let key = &requirement.key;
        match &requirement.test {
            Test::In(values) => match values.only() {
                Some(value) => format!("{key}={value}"),
                None => format!("{key} in ({})", listed(values)),
            },
            Test::NotIn(values) => format!("{key} notin ({})", listed(values)),
            Test::Exists => key.clone(),
            Test::DoesNotExist => format!("!{key}"),
        }
    };
    let requirements: Vec<String> = selector.requirements().iter().map(requirement).collect();
    requirements.join(",")
}
