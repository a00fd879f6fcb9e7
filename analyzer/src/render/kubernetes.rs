//! A policy set as `networking.k8s.io/v1 NetworkPolicy` manifests.
//!
//! Same set, same bytes. `policyTypes` is always written, because the default of the API depends on whether a section
//! is empty. A rule has no `from`, `to` or `ports` only where the model says `Any`.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use thiserror::Error;

use crate::policy::kind::PolicyKind;
use crate::policy::model::{Direction, Peer, Peers, Policy, PolicySet, PortMatch, PortRule, Ports, Rule};
use crate::policy::select::{Requirement, Selector, Test};

use super::yaml::{self, Tree, TreeError};

/// Fields in the order in which people write them. Fields not named here follow in the order of the API.
const ORDER: [&str; 16] = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "labels",
    "spec",
    "namespaceSelector",
    "podSelector",
    "policyTypes",
    "ingress",
    "egress",
    "to",
    "protocol",
    "port",
    "endPort",
];

/// Mappings whose keys are the user's; they stay in alphabetical order.
const USER_KEYED: [&str; 2] = ["labels", "matchLabels"];

/// Why a policy cannot be written.
#[derive(Debug, Error)]
pub enum RenderError {
    /// A policy that isolates in no direction; the API would read it as one that denies all ingress.
    #[error("policy `{namespace}/{name}` isolates neither ingress nor egress, give it at least one")]
    NoDirection {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
    /// A peer that only other kinds have a word for.
    #[error("NetworkPolicy has no word for {peer}")]
    Peer {
        /// Who it is.
        peer: String,
    },
    /// The object has no form in YAML.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// All policies as one file of several documents, by namespace and name. The empty set is the empty text.
pub fn manifests(set: &PolicySet) -> Result<String, RenderError> {
    let documents: Vec<String> = set.iter().map(manifest).collect::<Result<_, _>>()?;
    Ok(documents.join("---\n"))
}

/// One policy as a YAML document; its notes and those of its rules become comments.
pub fn manifest(policy: &Policy) -> Result<String, RenderError> {
    Ok(yaml::document(&policy.notes, &tree(policy)?))
}

/// One policy as a tree, in the order in which it is written, with the notes of its rules.
pub(super) fn tree(policy: &Policy) -> Result<Tree, RenderError> {
    if policy.ingress.is_none() && policy.egress.is_none() {
        let (namespace, name) = (policy.namespace.clone(), policy.name.clone());
        return Err(RenderError::NoDirection { namespace, name });
    }
    let mut tree = yaml::tree(&object(policy)?)?;
    order(&mut tree);
    for direction in [Direction::Ingress, Direction::Egress] {
        let rules = policy.rules(direction).unwrap_or_default();
        let notes = rules.iter().map(|rule| rule.notes.clone());
        yaml::annotate(&mut tree, &["spec", direction.name()], notes);
    }
    Ok(tree)
}

/// Rules of one direction as members of a list, each with its notes, indented so far.
pub fn rules(direction: Direction, rules: &[Rule], indent: usize) -> Result<String, RenderError> {
    let policy = Policy {
        kind: PolicyKind::NetworkPolicy,
        namespace: String::new(),
        name: String::new(),
        subject: Selector::everything(),
        ingress: (direction == Direction::Ingress).then(|| rules.to_vec()),
        egress: (direction == Direction::Egress).then(|| rules.to_vec()),
        notes: Vec::new(),
        source: None,
    };
    Ok(yaml::part(&tree(&policy)?, &["spec", direction.name()], indent))
}

/// The field `podSelector` of a policy with its key, indented so far.
pub fn pod_selector(policy: &Policy, indent: usize) -> Result<String, RenderError> {
    let tree = tree(policy)?;
    let pad = " ".repeat(indent);
    let inner = yaml::part(&tree, &["spec", "podSelector"], indent + 2);
    Ok(if inner.trim() == "{}" {
        format!("{pad}podSelector: {{}}\n")
    } else {
        format!("{pad}podSelector:\n{inner}")
    })
}

/// One policy as the typed object of the API. Notes have no place in it.
fn object(policy: &Policy) -> Result<NetworkPolicy, RenderError> {
    let Policy {
        kind: _,
        namespace,
        name,
        subject,
        ingress,
        egress,
        notes: _,
        source: _,
    } = policy;
    let types = [ingress.as_ref().map(|_| "Ingress"), egress.as_ref().map(|_| "Egress")];
    let ingress = ingress.as_ref().map(|rules| rules.iter().map(ingress_rule).collect());
    let egress = egress.as_ref().map(|rules| rules.iter().map(egress_rule).collect());
    Ok(NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                "flowtape".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(subject)),
            policy_types: Some(types.into_iter().flatten().map(str::to_owned).collect()),
            ingress: ingress.transpose()?,
            egress: egress.transpose()?,
        }),
    })
}

fn ingress_rule(rule: &Rule) -> Result<NetworkPolicyIngressRule, RenderError> {
    let Rule {
        peers: from,
        ports: to_ports,
        notes: _,
        source: _,
    } = rule;
    Ok(NetworkPolicyIngressRule {
        from: peers(from)?,
        ports: ports(to_ports),
    })
}

fn egress_rule(rule: &Rule) -> Result<NetworkPolicyEgressRule, RenderError> {
    let Rule {
        peers: to,
        ports: to_ports,
        notes: _,
        source: _,
    } = rule;
    Ok(NetworkPolicyEgressRule {
        to: peers(to)?,
        ports: ports(to_ports),
    })
}

fn peers(peers: &Peers) -> Result<Option<Vec<NetworkPolicyPeer>>, RenderError> {
    match peers {
        Peers::Any => Ok(None),
        Peers::Of(listed) => listed.iter().map(peer).collect::<Result<_, _>>().map(Some),
    }
}

fn peer(peer: &Peer) -> Result<NetworkPolicyPeer, RenderError> {
    Ok(match peer {
        Peer::Pods { namespaces, pods } => NetworkPolicyPeer {
            namespace_selector: namespaces.as_ref().map(selector),
            // Beside a namespace selector, no pod selector means all pods; alone, it is what makes the peer.
            pod_selector: (namespaces.is_none() || !pods.is_everything()).then(|| selector(pods)),
            ip_block: None,
        },
        Peer::Block { cidr, except } => {
            let except: Vec<String> = except.iter().map(ToString::to_string).collect();
            let except = (!except.is_empty()).then_some(except);
            let ip_block = Some(IPBlock {
                cidr: cidr.to_string(),
                except,
            });
            NetworkPolicyPeer {
                ip_block,
                ..NetworkPolicyPeer::default()
            }
        }
        Peer::Entity(entity) => {
            let peer = entity.to_string();
            return Err(RenderError::Peer { peer });
        }
    })
}

fn ports(ports: &Ports) -> Option<Vec<NetworkPolicyPort>> {
    match ports {
        Ports::Any => None,
        Ports::Of(listed) => Some(listed.iter().map(port).collect()),
    }
}

fn port(rule: &PortRule) -> NetworkPolicyPort {
    let PortRule { protocol, port } = rule;
    let (port, end_port) = match port {
        PortMatch::Any => (None, None),
        PortMatch::Named(name) => (Some(IntOrString::String(name.clone())), None),
        PortMatch::Range(range) => {
            let end = (range.first() != range.last()).then(|| i32::from(range.last()));
            (Some(IntOrString::Int(i32::from(range.first()))), end)
        }
    };
    NetworkPolicyPort {
        protocol: Some(protocol.name().to_owned()),
        port,
        end_port,
    }
}

/// `In` with one value is written as a `matchLabels` entry; a second one for the same key needs an expression.
fn selector(selector: &Selector) -> LabelSelector {
    let mut labels = BTreeMap::new();
    let mut expressions = Vec::new();
    for Requirement { key, test } in selector.requirements() {
        let only = if let Test::In(values) = test {
            values.only()
        } else {
            None
        };
        match only {
            Some(value) if !labels.contains_key(key) => {
                labels.insert(key.clone(), value.clone());
            }
            Some(_) | None => expressions.push(expression(key, test)),
        }
    }
    LabelSelector {
        match_labels: (!labels.is_empty()).then_some(labels),
        match_expressions: (!expressions.is_empty()).then_some(expressions),
    }
}

fn expression(key: &str, test: &Test) -> LabelSelectorRequirement {
    let (operator, values) = match test {
        Test::In(values) => ("In", Some(values)),
        Test::NotIn(values) => ("NotIn", Some(values)),
        Test::Exists => ("Exists", None),
        Test::DoesNotExist => ("DoesNotExist", None),
    };
    LabelSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: values.map(|values| values.iter().cloned().collect()),
    }
}

/// Puts the fields of mappings in [`ORDER`].
fn order(tree: &mut Tree) {
    match tree {
        Tree::Map(fields) => {
            for (key, value) in fields.iter_mut() {
                if !USER_KEYED.contains(&key.as_str()) {
                    order(value);
                }
            }
            // Stable: fields without a rank keep the order of the API.
            fields.sort_by_key(|(key, _)| ORDER.iter().position(|name| name == key).unwrap_or(ORDER.len()));
        }
        Tree::List(members) => members.iter_mut().for_each(|member| order(&mut member.value)),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
    }
}
