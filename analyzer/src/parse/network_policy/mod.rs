//! One `networking.k8s.io/v1 NetworkPolicy` as a policy of the model, with the checks of an API server.
//!
//! Source of the checks: Kubernetes `pkg/apis/networking/validation` and `apimachinery/pkg/apis/meta/v1/validation`
//! (v1.36), of the defaults `pkg/apis/networking/v1/defaults.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyIngressRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::policy::kind::PolicyKind;
use crate::policy::model::{Direction, Peer, Peers, Policy, PortRule, Ports, Rule};
use crate::policy::names;
use crate::policy::one_or_more::OneOrMore;

use self::fields::{OBJECT, STAGED};
use self::reader::Reader;
use super::marked::Node;
use super::report::{Path, Problem, ProblemKind, Warning, WarningKind};
use super::shape::{self, Shape};

pub(in crate::parse) mod fields;
mod peers;
pub(in crate::parse) mod reader;

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The policy, if there is no problem.
    pub policy: Option<Policy>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// What is legal and probably not meant.
    pub warnings: Vec<Warning>,
}

/// Reads the object `root`, whose `apiVersion` and `kind` have been checked.
#[must_use]
pub fn read(file: &Arc<str>, root: &Node) -> Outcome {
    read_as(file, root, "NetworkPolicy", &OBJECT)
}

/// The same for `projectcalico.org/v3 StagedKubernetesNetworkPolicy`, which has the fields of a NetworkPolicy and one more.
pub(super) fn staged(file: &Arc<str>, root: &Node) -> Outcome {
    read_as(file, root, "StagedKubernetesNetworkPolicy", &STAGED)
}

fn read_as(file: &Arc<str>, root: &Node, kind: &str, shape: &Shape) -> Outcome {
    let mut reader = Reader::new(file, root, kind);
    let policy = reader.object(shape);
    let Reader { problems, warnings, .. } = reader;
    Outcome {
        policy: policy.filter(|_| problems.is_empty()),
        problems,
        warnings,
    }
}

impl Reader<'_> {
    fn object(&mut self, shape: &Shape) -> Option<Policy> {
        let serde_yaml::Value::Mapping(mut value) = shape::typed(shape, self.root, &Path::default(), self)? else {
            return None;
        };
        value.insert("apiVersion".into(), "networking.k8s.io/v1".into());
        value.insert("kind".into(), "NetworkPolicy".into());
        match serde_yaml::from_value::<NetworkPolicy>(value.into()) {
            Ok(NetworkPolicy { metadata, spec }) => self.policy(metadata, spec.unwrap_or_default()),
            Err(error) => {
                self.invalid(
                    &Path::default(),
                    ProblemKind::Typed {
                        message: error.to_string(),
                    },
                );
                None
            }
        }
    }

    fn policy(&mut self, metadata: ObjectMeta, spec: NetworkPolicySpec) -> Option<Policy> {
        let (namespace, name) = self.names(metadata);
        let NetworkPolicySpec {
            egress,
            ingress,
            pod_selector,
            policy_types,
        } = spec;
        let path = Path::default().field("spec");
        let types = self.policy_types(&policy_types.unwrap_or_default(), &path.field("policyTypes"));
        let subject = self.selector(pod_selector.unwrap_or_default(), &path.field("podSelector"));

        let ingress: Vec<_> = ingress.unwrap_or_default().into_iter().map(ingress_parts).collect();
        let egress: Vec<_> = egress.unwrap_or_default().into_iter().map(egress_parts).collect();
        let isolates_ingress = types.is_empty() || types.contains(&Direction::Ingress);
        let isolates_egress = if types.is_empty() {
            !egress.is_empty()
        } else {
            types.contains(&Direction::Egress)
        };
        let ingress = self.section(Direction::Ingress, isolates_ingress, ingress);
        let egress = self.section(Direction::Egress, isolates_egress, egress);

        let source = Some(self.source(&Path::default()));
        Some(Policy {
            kind: PolicyKind::NetworkPolicy,
            namespace,
            name,
            subject: subject?,
            ingress,
            egress,
            notes: Vec::new(),
            source,
        })
    }

    pub(super) fn names(&mut self, metadata: ObjectMeta) -> (String, String) {
        let path = Path::default().field("metadata");
        let name = metadata.name.unwrap_or_default();
        if name.is_empty() {
            self.invalid(&path.field("name"), ProblemKind::Required);
        } else {
            self.check(names::policy_name_fault(&name), &name, &path.field("name"));
        }
        let namespace = metadata.namespace.unwrap_or_default();
        if !namespace.is_empty() {
            self.check(names::namespace_fault(&namespace), &namespace, &path.field("namespace"));
        } else if !self.has_type_problem(&path.field("namespace")) {
            self.warn(&path, WarningKind::NoNamespace);
        }
        self.maps(metadata.labels, metadata.annotations, &path);
        let namespace = if namespace.is_empty() {
            "default".to_owned()
        } else {
            namespace
        };
        (namespace, name)
    }

    /// The labels and annotations of an object, at the path of its metadata.
    pub(in crate::parse) fn maps(
        &mut self,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
        path: &Path,
    ) {
        for (key, value) in labels.unwrap_or_default() {
            self.check(names::label_key_fault(&key), &key, &path.field("labels"));
            self.check(
                names::label_value_fault(&value),
                &value,
                &path.field("labels").field(&key),
            );
        }
        for key in annotations.unwrap_or_default().keys() {
            // Annotation keys may be upper case in their prefix, too.
            self.check(
                names::label_key_fault(&key.to_ascii_lowercase()),
                key,
                &path.field("annotations"),
            );
        }
    }

    fn policy_types(&mut self, types: &[String], path: &Path) -> Vec<Direction> {
        if types.len() > 2 {
            self.invalid(path, ProblemKind::PolicyTypes);
        }
        let mut directions = Vec::new();
        for (at, name) in types.iter().enumerate() {
            match name.as_str() {
                "Ingress" => directions.push(Direction::Ingress),
                "Egress" => directions.push(Direction::Egress),
                other => self.choice(&path.index(at), other, "`Ingress`, `Egress`"),
            }
        }
        directions
    }

    /// The rules of one direction; `None` if the policy does not isolate there. Rules are checked in either case.
    fn section(&mut self, direction: Direction, isolates: bool, parts: Vec<Parts>) -> Option<Vec<Rule>> {
        let path = Path::default().field("spec").field(direction.name());
        if !isolates && !parts.is_empty() {
            self.warn(&path, WarningKind::UnusedRules { direction });
        }
        let rules = parts.into_iter().enumerate();
        let rules: Option<Vec<Rule>> = rules
            .map(|(at, parts)| self.rule(direction, parts, &path.index(at)))
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        isolates.then(|| rules.unwrap_or_default())
    }

    fn rule(&mut self, direction: Direction, (peers, ports): Parts, path: &Path) -> Option<Rule> {
        self.warn_null(path);
        let peers_path = path.field(match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        });
        let given_peers = !peers.is_empty();
        let peers: Vec<Peer> = peers
            .into_iter()
            .enumerate()
            .filter_map(|(at, peer)| self.peer(peer, &peers_path.index(at)))
            .collect();
        let given_ports = !ports.is_empty();
        let ports: Vec<PortRule> = ports
            .into_iter()
            .enumerate()
            .filter_map(|(at, port)| self.port(port, &path.field("ports").index(at)))
            .collect();
        // A list that was given and ran empty has had problems; it must not turn into "any".
        let peers = if given_peers {
            Peers::Of(OneOrMore::new(peers)?)
        } else {
            Peers::Any
        };
        let ports = if given_ports {
            Ports::Of(OneOrMore::new(ports)?)
        } else {
            Ports::Any
        };
        Some(Rule {
            source: Some(self.source(path)),
            ..Rule::new(peers, ports)
        })
    }
}

/// Peers and ports of a rule of either direction.
type Parts = (Vec<NetworkPolicyPeer>, Vec<NetworkPolicyPort>);

fn ingress_parts(rule: NetworkPolicyIngressRule) -> Parts {
    let NetworkPolicyIngressRule { from, ports } = rule;
    (from.unwrap_or_default(), ports.unwrap_or_default())
}

fn egress_parts(rule: NetworkPolicyEgressRule) -> Parts {
    let NetworkPolicyEgressRule { ports, to } = rule;
    (to.unwrap_or_default(), ports.unwrap_or_default())
}
