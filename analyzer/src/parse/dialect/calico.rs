//! `projectcalico.org/v3 NetworkPolicy`, as far as `generate --kind Calico` writes it.
//!
//! Source of the fields and of what they mean: projectcalico/calico `api/pkg/apis/projectcalico/v3/networkpolicy.go` and
//! `policy_common.go` (v3.31), of ports `api/pkg/lib/numorstring/port.go`. Policies of one tier are asked in their order until a
//! rule allows or denies, and what none of them allows is denied; so rules that only allow add up, whatever the order. Other
//! tiers and other actions are refused. Sets of addresses that have labels are not known here, and taken to be none.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

use crate::parse::marked::Node;
use crate::parse::network_policy::fields::METADATA;
use crate::parse::report::{Path, ProblemKind, RefusalKind};
use crate::parse::shape::Shape;
use crate::policy::cidr::Cidr;
use crate::policy::kind::PolicyKind;
use crate::policy::model::{Direction, Peer, Peers, Policy, PortMatch, PortRule, Ports, Rule as ModelRule};
use crate::policy::names::{self, NAMESPACE_NAME};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::{PortRange, Protocol};
use crate::policy::select::{Requirement, Selector};

use super::Outcome;
use super::expression::{Term, terms};
use super::reader::Reader;

/// The label that Calico gives every namespace, with its name (`api/pkg/apis/projectcalico/v3/constants.go`, `LabelName`).
const NAME: &str = "projectcalico.org/name";

/// The label, and its value, that Calico gives every pod (`LabelOrchestrator`).
const IS_POD: (&str, &str) = ("projectcalico.org/orchestrator", "k8s");

/// What Calico's own labels begin with.
const OWN: &str = "projectcalico.org/";

const TEXTS: Shape = Shape::List(&Shape::Text);

const ENTITY: Shape = Shape::Object(&[
    ("nets", TEXTS),
    ("notNets", TEXTS),
    ("namespaceSelector", Shape::Text),
    ("selector", Shape::Text),
    ("ports", Shape::List(&Shape::IntOrText)),
]);

const RULES: Shape = Shape::List(&Shape::Object(&[
    ("metadata", Shape::Ignored),
    ("action", Shape::Text),
    ("protocol", Shape::IntOrText),
    ("source", ENTITY),
    ("destination", ENTITY),
]));

const OBJECT: Shape = Shape::Object(&[
    ("apiVersion", Shape::Ignored),
    ("kind", Shape::Ignored),
    ("metadata", METADATA),
    (
        "spec",
        Shape::Object(&[
            // Without a rule that denies, the order of policies decides nothing.
            ("order", Shape::Ignored),
            ("tier", Shape::Text),
            ("selector", Shape::Text),
            ("types", TEXTS),
            ("ingress", RULES),
            ("egress", RULES),
        ]),
    ),
    ("status", Shape::Ignored),
]);

#[derive(Deserialize)]
struct Object {
    metadata: Option<ObjectMeta>,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    tier: Option<String>,
    selector: String,
    types: Vec<String>,
    ingress: Vec<Rule>,
    egress: Vec<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    action: String,
    protocol: Option<IntOrString>,
    source: Entity,
    destination: Entity,
}

#[derive(Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entity {
    nets: Vec<String>,
    not_nets: Vec<String>,
    namespace_selector: String,
    selector: String,
    ports: Vec<IntOrString>,
}

/// Reads the object `root`, whose `apiVersion` and `kind` have been checked.
#[must_use]
pub fn read(file: &Arc<str>, root: &Node) -> Outcome {
    let mut reader = Reader::new(file, root, PolicyKind::CalicoNetworkPolicy.name());
    let policy = reader.fields(&OBJECT).and_then(|object| reader.calico(object));
    reader.outcome(policy)
}

impl Reader<'_> {
    fn calico(&mut self, Object { metadata, spec }: Object) -> Option<Policy> {
        let (namespace, name) = self.names(metadata);
        let path = Path::default().field("spec");
        let Spec {
            tier,
            selector,
            types,
            ingress,
            egress,
        } = spec;
        if let Some(value) = tier.filter(|tier| tier != "default") {
            self.refuse::<()>(&path.field("tier"), RefusalKind::Value { value });
        }
        let subject = self.expression(&selector, &path.field("selector"), pod_label);
        let isolated = self.types(&types, (!ingress.is_empty(), !egress.is_empty()), &path.field("types"));
        let mut section = |direction, rules| {
            self.section(direction, rules, |reader, rule, path| {
                reader.calico_rule(direction, rule, path)
            })
        };
        let (ingress, egress) = (section(Direction::Ingress, ingress), section(Direction::Egress, egress));
        let (isolates_ingress, isolates_egress) = isolated?;
        Some(Policy {
            kind: PolicyKind::CalicoNetworkPolicy,
            namespace,
            name,
            subject: subject?,
            ingress: Some(ingress?).filter(|_| isolates_ingress),
            egress: Some(egress?).filter(|_| isolates_egress),
            notes: Vec::new(),
            source: Some(self.plain.source(&Path::default())),
        })
    }

    /// Which directions are isolated, given which have rules: without `types` those, or ingress where there are none.
    fn types(&mut self, types: &[String], (ingress, egress): (bool, bool), path: &Path) -> Option<(bool, bool)> {
        if types.is_empty() {
            return Some((ingress || !egress, egress));
        }
        for (at, written) in types.iter().enumerate() {
            if written != "Ingress" && written != "Egress" {
                self.plain.choice(&path.index(at), written, "`Ingress`, `Egress`");
                return None;
            }
        }
        let has = |name: &str| types.iter().any(|written| written == name);
        let isolated = (has("Ingress"), has("Egress"));
        if (ingress && !isolated.0) || (egress && !isolated.1) {
            let what = "rules of a direction that is not listed are not evaluated";
            return self.refuse(path, RefusalKind::Reason(what));
        }
        Some(isolated)
    }

    fn calico_rule(&mut self, direction: Direction, rule: Rule, path: &Path) -> Option<ModelRule> {
        let Rule {
            action,
            protocol,
            source,
            mut destination,
        } = rule;
        if action != "Allow" {
            self.refuse::<()>(&path.field("action"), RefusalKind::Value { value: action });
        }
        let ports = std::mem::take(&mut destination.ports);
        let (peer, own, peer_path, own_path) = match direction {
            Direction::Ingress => (source, destination, path.field("source"), path.field("destination")),
            Direction::Egress => (destination, source, path.field("destination"), path.field("source")),
        };
        self.refuse_if(own != Entity::default(), &own_path);
        self.refuse_if(!peer.ports.is_empty(), &peer_path.field("ports"));
        let ports = self.ports(protocol, ports, path);
        let peers = self.entity(peer, &peer_path);
        Some(ModelRule::new(peers?, ports?))
    }

    fn entity(&mut self, entity: Entity, path: &Path) -> Option<Peers> {
        let Entity {
            nets,
            not_nets,
            namespace_selector,
            selector,
            ports: _,
        } = entity;
        let by_label = !namespace_selector.is_empty() || !selector.is_empty();
        let by_address = !nets.is_empty() || !not_nets.is_empty();
        if by_label && by_address {
            let what = "a peer by labels and addresses at once is not evaluated";
            return self.refuse(path, RefusalKind::Reason(what));
        }
        if by_address {
            return self.nets(&nets, &not_nets, path);
        }
        if !by_label {
            return Some(Peers::Any);
        }
        let pods = self.expression(&selector, &path.field("selector"), pod_label);
        let peer = if namespace_selector.is_empty() {
            Peer::pods(pods?)
        } else {
            let namespaces = self.expression(&namespace_selector, &path.field("namespaceSelector"), namespace_label);
            Peer::pods_in(namespaces?, pods?)
        };
        Some(Peers::Of(OneOrMore::one(peer)))
    }

    /// Addresses in one of `nets`, which are all there are if none is given, and in none of `not_nets`.
    fn nets(&mut self, nets: &[String], not_nets: &[String], path: &Path) -> Option<Peers> {
        let mut cidrs = |listed: &[String], path: Path| {
            let read = listed.iter().enumerate();
            let read: Vec<Option<Cidr>> = read
                .map(|(at, text)| self.cidr_or_host(text, &path.index(at)))
                .collect();
            read.into_iter().collect::<Option<Vec<Cidr>>>()
        };
        let (inside, holes) = (cidrs(nets, path.field("nets")), cidrs(not_nets, path.field("notNets")));
        let (mut inside, holes) = (inside?, holes?);
        if inside.is_empty() {
            inside.extend(Cidr::EVERYTHING);
        }
        inside.retain(|cidr| !holes.iter().any(|hole| hole.covers(*cidr)));
        let peers = inside.iter().filter_map(|&cidr| {
            let holes = holes.iter().copied().filter(|hole| cidr.covers(*hole));
            Peer::block_except(cidr, holes)
        });
        match OneOrMore::new(peers) {
            Some(peers) => Some(Peers::Of(peers)),
            None => self.refuse(&path.field("notNets"), RefusalKind::Reason("leaves nothing of `nets`")),
        }
    }

    /// The selector that an expression is; `label` says what a term of Calico's own labels becomes.
    fn expression(&mut self, text: &str, path: &Path, label: fn(Requirement) -> Option<Term>) -> Option<Selector> {
        let terms = match terms(text) {
            Ok(terms) => terms,
            Err(value) => return self.refuse(path, RefusalKind::Value { value }),
        };
        let mut requirements = Vec::new();
        for term in terms {
            let Term::Requires(requirement) = term else { continue };
            let said = requirement.to_string();
            match label(requirement) {
                Some(Term::All) => {}
                Some(Term::Requires(requirement)) => requirements.push(requirement),
                None => return self.refuse(path, RefusalKind::Value { value: said }),
            }
        }
        Some(Selector::new(requirements))
    }

    fn ports(&mut self, protocol: Option<IntOrString>, ports: Vec<IntOrString>, path: &Path) -> Option<Ports> {
        let named = |protocol: &IntOrString| match protocol {
            IntOrString::String(name) => Protocol::from_name(name),
            IntOrString::Int(number) => Protocol::from_number(u8::try_from(*number).ok()?),
        };
        let protocol = match protocol {
            None if ports.is_empty() => return Some(Ports::Any),
            None => {
                let what = "ports need a protocol";
                return self.refuse(&path.field("destination").field("ports"), RefusalKind::Reason(what));
            }
            Some(written) => {
                let Some(protocol) = named(&written) else {
                    let value = match written {
                        IntOrString::String(name) => name,
                        IntOrString::Int(number) => number.to_string(),
                    };
                    return self.refuse(&path.field("protocol"), RefusalKind::Value { value });
                };
                protocol
            }
        };
        if ports.is_empty() {
            let port = PortMatch::Any;
            return Some(Ports::Of(OneOrMore::one(PortRule { protocol, port })));
        }
        let path = path.field("destination").field("ports");
        let read: Vec<Option<PortMatch>> = ports
            .into_iter()
            .enumerate()
            .map(|(at, port)| self.calico_port(port, &path.index(at)))
            .collect();
        let rules = read
            .into_iter()
            .map(|port| port.map(|port| PortRule { protocol, port }));
        OneOrMore::new(rules.collect::<Option<Vec<_>>>()?).map(Ports::Of)
    }

    fn calico_port(&mut self, port: IntOrString, path: &Path) -> Option<PortMatch> {
        let text = match port {
            IntOrString::Int(value) => {
                let port = self.plain.port_number(value, path)?;
                return PortRange::single(port).map(PortMatch::Range);
            }
            IntOrString::String(text) => text,
        };
        let (first, last) = text.split_once(':').unwrap_or((&text, &text));
        let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else {
            self.plain.check(names::port_name_fault(&text), &text, path);
            return Some(PortMatch::Named(text));
        };
        if last < first {
            let what = ProblemKind::EndPortBelow { port: first, end: last };
            self.plain.invalid(path, what);
        }
        let (first, last) = (self.plain.port_number(first, path), self.plain.port_number(last, path));
        PortRange::new(first?, last?).map(PortMatch::Range)
    }
}

/// A label of pods. That which makes something a pod says nothing among pods.
fn pod_label(requirement: Requirement) -> Option<Term> {
    let (key, value) = IS_POD;
    if requirement == Requirement::equals(key, value) {
        return Some(Term::All);
    }
    (!requirement.key.starts_with(OWN)).then_some(Term::Requires(requirement))
}

/// A label of namespaces, of which Calico sets one that has their name.
fn namespace_label(requirement: Requirement) -> Option<Term> {
    let Requirement { key, test } = requirement;
    let key = if key == NAME { NAMESPACE_NAME.to_owned() } else { key };
    (!key.starts_with(OWN)).then_some(Term::Requires(Requirement { key, test }))
}
