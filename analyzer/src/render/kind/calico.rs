//! `projectcalico.org/v3 NetworkPolicy`.
//!
//! Source of the fields: projectcalico/calico `api/pkg/apis/projectcalico/v3/networkpolicy.go` and `policy_common.go`
//! (v3.31), of the form of ports `api/pkg/lib/numorstring/port.go`, of selectors
//! `libcalico-go/lib/selector/tokenizer/tokenizer.go`. What a rule matches, it matches all at once; so a rule of the model
//! becomes one for each protocol and each sort of peer.

use serde::{Deserialize, Serialize};

use super::object::{Metadata, Object};
use super::{Effect, KindError, Rendered, Shortfalls, manifest, notes_of, sections};
use crate::policy::model::{Direction, Peer, Peers, Policy, PortMatch, Ports, Rule as ModelRule};
use crate::policy::ports::Protocol;
use crate::policy::select::{Requirement, Selector, Test};

/// `nets` and `notNets` of an EntityRule (`MaxItems=256`).
const NETS: usize = 256;

/// `ports` of an EntityRule (`MaxItems=50`).
const PORTS: usize = 50;

/// `selector` and `namespaceSelector` of an EntityRule (`MaxLength=1024`).
const SELECTOR: usize = 1024;

/// The label that Calico gives every pod and no set of addresses
/// (`api/pkg/apis/projectcalico/v3/constants.go`, `LabelOrchestrator`).
const IS_POD: &str = "projectcalico.org/orchestrator == 'k8s'";

/// NetworkPolicySpec. `tier` and `order` are left out: the default tier, after policies that have an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Which pods of the namespace, as an expression.
    pub selector: String,
    /// Directions that the policy isolates: `Ingress`, `Egress`.
    pub types: Vec<String>,
    /// Connections to these pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Rule>,
    /// Connections from these pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Rule>,
}

/// Rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `Allow`.
    pub action: String,
    /// `TCP`, `UDP` or `SCTP`; all protocols if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Who opens the connection.
    #[serde(default, skip_serializing_if = "Entity::is_anybody")]
    pub source: Entity,
    /// Who accepts it, on which ports.
    #[serde(default, skip_serializing_if = "Entity::is_anybody")]
    pub destination: Entity,
}

/// EntityRule: whatever meets all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entity {
    /// An address in one of these prefixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nets: Vec<String>,
    /// An address in none of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_nets: Vec<String>,
    /// The namespaces of the pods; that of the policy if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<String>,
    /// The pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
}

impl Entity {
    fn is_anybody(&self) -> bool {
        *self == Self::default()
    }
}

/// `numorstring.Port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// One port.
    Number(u16),
    /// A range as `first:last`, or the name of a port.
    Text(String),
}

pub(super) fn render(policy: &Policy) -> Result<Rendered, KindError> {
    let mut shortfalls = Shortfalls::of(policy);
    let mut spec = Spec {
        selector: expression(&policy.subject, "all()"),
        types: Vec::new(),
        ingress: Vec::new(),
        egress: Vec::new(),
    };
    let mut notes = [("ingress", Vec::new()), ("egress", Vec::new())];
    for (direction, rules) in sections(policy) {
        let (written, notes) = match direction {
            Direction::Ingress => {
                spec.types.push("Ingress".to_owned());
                (&mut spec.ingress, &mut notes[0].1)
            }
            Direction::Egress => {
                spec.types.push("Egress".to_owned());
                (&mut spec.egress, &mut notes[1].1)
            }
        };
        for (index, rule) in rules.iter().enumerate() {
            let parts = parts(rule, (direction, index), &mut shortfalls);
            notes.extend(notes_of(rule, parts.len()));
            written.extend(parts);
        }
    }
    let object = Object {
        api_version: "projectcalico.org/v3".to_owned(),
        kind: "NetworkPolicy".to_owned(),
        metadata: Metadata::of(policy),
        spec,
    };
    Ok(Rendered {
        manifests: vec![manifest(policy, &object, notes)?],
        shortfalls: shortfalls.list,
    })
}

/// The rules that together say what one rule of the model says.
fn parts(rule: &ModelRule, place: (Direction, usize), shortfalls: &mut Shortfalls<'_>) -> Vec<Rule> {
    let ModelRule {
        peers,
        ports,
        notes: _,
        source: _,
    } = rule;
    let entities = entities(peers, place, shortfalls);
    let mut parts = Vec::new();
    for (protocol, ports) in port_lists(ports) {
        for entity in &entities {
            let (source, mut destination) = match place.0 {
                Direction::Ingress => (entity.clone(), Entity::default()),
                Direction::Egress => (Entity::default(), entity.clone()),
            };
            destination.ports.clone_from(&ports);
            parts.push(Rule {
                action: "Allow".to_owned(),
                protocol: protocol.map(|protocol| protocol.name().to_owned()),
                source,
                destination,
            });
        }
    }
    parts
}

/// The peers of a rule: prefixes without exceptions together, everything else one by one.
fn entities(peers: &Peers, place: (Direction, usize), shortfalls: &mut Shortfalls<'_>) -> Vec<Entity> {
    let listed = match peers {
        Peers::Any => return vec![Entity::default()],
        Peers::Of(listed) => listed,
    };
    let mut entities = Vec::new();
    let mut nets = Vec::new();
    for peer in listed {
        match peer {
            Peer::Pods { namespaces, pods } => {
                let selector = expression(pods, IS_POD);
                let namespaces = namespaces.as_ref().map(|namespaces| expression(namespaces, "all()"));
                let longest = selector.len().max(namespaces.as_ref().map_or(0, String::len));
                if longest > SELECTOR {
                    let what = format!("a selector is longer than {SELECTOR} characters, so this peer has no rule");
                    shortfalls.add(Some(place), Effect::Narrower, what);
                    continue;
                }
                entities.push(Entity {
                    namespace_selector: namespaces,
                    selector: Some(selector),
                    ..Entity::default()
                });
            }
            Peer::Block { cidr, except } if except.is_empty() => nets.push(cidr.to_string()),
            Peer::Block { cidr, except } if except.len() > NETS => {
                let what = format!("`{cidr}` has more than {NETS} exceptions, so it has no rule");
                shortfalls.add(Some(place), Effect::Narrower, what);
            }
            Peer::Entity(peer) => {
                let what = format!("there is no word for {peer}, so this peer has no rule");
                shortfalls.add(Some(place), Effect::Narrower, what);
            }
            Peer::Block { cidr, except } => entities.push(Entity {
                nets: vec![cidr.to_string()],
                not_nets: except.iter().map(ToString::to_string).collect(),
                ..Entity::default()
            }),
        }
    }
    entities.extend(nets.chunks(NETS).map(|nets| Entity {
        nets: nets.to_vec(),
        ..Entity::default()
    }));
    entities
}

/// The ports of a rule by protocol, in parts that one rule can hold; an empty part is every port.
fn port_lists(ports: &Ports) -> Vec<(Option<Protocol>, Vec<Port>)> {
    let listed = match ports {
        Ports::Any => return vec![(None, Vec::new())],
        Ports::Of(listed) => listed,
    };
    let mut lists = Vec::new();
    for protocol in Protocol::ALL {
        let of_protocol = listed.iter().filter(|rule| rule.protocol == protocol);
        let matches: Vec<&PortMatch> = of_protocol.map(|rule| &rule.port).collect();
        if matches.iter().any(|port| **port == PortMatch::Any) {
            lists.push((Some(protocol), Vec::new()));
            continue;
        }
        let ports: Vec<Port> = matches.into_iter().filter_map(port).collect();
        lists.extend(ports.chunks(PORTS).map(|ports| (Some(protocol), ports.to_vec())));
    }
    lists
}

fn port(port: &PortMatch) -> Option<Port> {
    match port {
        PortMatch::Any => None,
        PortMatch::Named(name) => Some(Port::Text(name.clone())),
        PortMatch::Range(range) if range.first() == range.last() => Some(Port::Number(range.first())),
        PortMatch::Range(range) => Some(Port::Text(format!("{}:{}", range.first(), range.last()))),
    }
}

/// A selector as an expression. `unless` takes its place where it requires no label: such an expression would also match
/// sets of addresses, which are no pods.
fn expression(selector: &Selector, unless: &str) -> String {
    let positive = |requirement: &Requirement| matches!(requirement.test, Test::In(_) | Test::Exists);
    let mut terms: Vec<String> = selector.requirements().iter().map(term).collect();
    let needs_label = unless == IS_POD && !selector.requirements().iter().any(positive);
    if terms.is_empty() || needs_label {
        terms.insert(0, unless.to_owned());
    }
    terms.join(" && ")
}

/// Label values have no quotes in them (`apimachinery/pkg/util/validation`), and literals have no escapes.
fn term(requirement: &Requirement) -> String {
    let Requirement { key, test } = requirement;
    let quoted = |values: Vec<&String>| {
        let values: Vec<String> = values.into_iter().map(|value| format!("'{value}'")).collect();
        values.join(", ")
    };
    match test {
        Test::In(values) => match values.only() {
            Some(value) => format!("{key} == '{value}'"),
            None => format!("{key} in {{ {} }}", quoted(values.iter().collect())),
        },
        Test::NotIn(values) => format!("{key} not in {{ {} }}", quoted(values.iter().collect())),
        Test::Exists => format!("has({key})"),
        Test::DoesNotExist => format!("!has({key})"),
    }
}
