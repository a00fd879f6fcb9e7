//! `cilium.io/v2 CiliumNetworkPolicy`.
//!
//! Source of the fields: cilium/cilium `pkg/policy/api` (v1.18): `rule.go`, `ingress.go`, `egress.go`, `l4.go`, `l7.go`,
//! `cidr.go`, `fqdn.go`, `entity.go`, and what is refused, `rule_validation.go`. A rule names one sort of peer only, so a rule
//! of the model becomes one for each sort. A prefix never matches pods and nodes of the cluster: nodes, the API server and
//! everybody outside are named as entities. A direction with one empty rule is isolated and allows nothing
//! (`pkg/k8s/network_policy.go`, `ParseNetworkPolicy`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::object::{Expression, LabelSelector, Metadata, Object, Operator};
use super::{Effect, KindError, Rendered, Shortfalls, manifest, notes_of, sections};
use crate::policy::cidr::Cidr;
use crate::policy::identity_label;
use crate::policy::landmark::{Landmarks, meets};
use crate::policy::model::{
    Direction, Entity as ModelEntity, Peer, Peers, Policy, PortMatch, PortRule as ModelPort, Ports, Rule as ModelRule,
};
use crate::policy::ports::PortRange;
use crate::policy::select::{Requirement, Selector, Test};

/// Ports of one `toPorts` entry (`rule_validation.go`, `maxPorts`).
const PORTS: usize = 40;

/// The label of the namespace of a pod (`pkg/k8s/apis/cilium.io/const.go`, `PodNamespaceLabel`).
const POD_NAMESPACE: &str = "k8s:io.kubernetes.pod.namespace";

/// What precedes a label of the namespace of a pod (`PodNamespaceMetaLabels`).
const NAMESPACE_LABEL: &str = "k8s:io.cilium.k8s.namespace.labels.";

/// The label that every API server sets on every namespace, with its name (Kubernetes 1.22, `core/v1` LabelMetadataName).
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Rule: the spec of a CiliumNetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Which pods of the namespace.
    pub endpoint_selector: LabelSelector,
    /// Connections to these pods; not isolated if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<Ingress>>,
    /// Connections from these pods; not isolated if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<Egress>>,
}

/// IngressRule; at most one of the fields beside `toPorts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ingress {
    /// Pods, of the policy's own namespace unless the selector names one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_endpoints: Vec<LabelSelector>,
    /// Addresses outside the cluster.
    #[serde(default, rename = "fromCIDR", skip_serializing_if = "Vec::is_empty")]
    pub from_cidr: Vec<String>,
    /// Addresses outside the cluster, with exceptions.
    #[serde(default, rename = "fromCIDRSet", skip_serializing_if = "Vec::is_empty")]
    pub from_cidr_set: Vec<CidrRule>,
    /// Peers that have no labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_entities: Vec<Entity>,
    /// Ports of these pods; all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_ports: Vec<PortRule>,
}

/// EgressRule; at most one of the fields beside `toPorts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Egress {
    /// Pods, of the policy's own namespace unless the selector names one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_endpoints: Vec<LabelSelector>,
    /// Addresses outside the cluster.
    #[serde(default, rename = "toCIDR", skip_serializing_if = "Vec::is_empty")]
    pub to_cidr: Vec<String>,
    /// Addresses outside the cluster, with exceptions.
    #[serde(default, rename = "toCIDRSet", skip_serializing_if = "Vec::is_empty")]
    pub to_cidr_set: Vec<CidrRule>,
    /// Peers that have no labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_entities: Vec<Entity>,
    /// Addresses outside the cluster that were the answer to a query for these names.
    #[serde(default, rename = "toFQDNs", skip_serializing_if = "Vec::is_empty")]
    pub to_fqdns: Vec<Fqdn>,
    /// Ports of the peers; all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_ports: Vec<PortRule>,
}

/// CIDRRule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CidrRule {
    /// The prefix.
    pub cidr: String,
    /// Parts of it that are left out.
    pub except: Vec<String>,
}

/// Entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// Everybody.
    All,
    /// The pod's own node, and pods on its network.
    Host,
    /// The API server.
    KubeApiserver,
    /// All other nodes, and pods on their networks.
    RemoteNode,
    /// Everybody outside the cluster.
    World,
}

/// FQDNSelector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fqdn {
    /// The whole name.
    pub match_name: String,
}

/// PortRule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRule {
    /// The ports.
    pub ports: Vec<PortProtocol>,
    /// What may be asked there; anything if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<L7Rules>,
}

/// PortProtocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortProtocol {
    /// A number or a name; `0` is every port.
    pub port: String,
    /// The last port of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_port: Option<u16>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// L7Rules, of which DNS is all that we write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L7Rules {
    /// Which names may be asked for. Cilium learns addresses of names only from queries that such a rule lets pass.
    pub dns: Vec<DnsRule>,
}

/// PortRuleDNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsRule {
    /// `*` is every name.
    pub match_pattern: String,
}

/// One sort of peer of a rule.
enum Peering {
    Anybody,
    Endpoints(Vec<LabelSelector>),
    Cidrs(Vec<String>),
    CidrSet(Vec<CidrRule>),
    Entities(BTreeSet<Entity>),
    Names(BTreeSet<Fqdn>),
}

pub(super) fn render(policy: &Policy, landmarks: &Landmarks) -> Result<Rendered, KindError> {
    let mut writer = Writer {
        policy,
        landmarks,
        by_name: false,
        shortfalls: Shortfalls::of(policy),
    };
    writer.by_name = writer.can_use_names();
    writer.check_labels(&policy.subject, None);
    let mut notes = [("ingress", Vec::new()), ("egress", Vec::new())];
    let (mut ingress, mut egress) = (None, None);
    for (direction, rules) in sections(policy) {
        let mut written = Vec::new();
        let notes = match direction {
            Direction::Ingress => &mut notes[0].1,
            Direction::Egress => &mut notes[1].1,
        };
        for (index, rule) in rules.iter().enumerate() {
            let parts = writer.parts(rule, (direction, index));
            notes.extend(notes_of(rule, parts.len()));
            written.extend(parts);
        }
        if written.is_empty() {
            written.push((None, Vec::new()));
        }
        match direction {
            Direction::Ingress => ingress = Some(written.into_iter().map(ingress_rule).collect()),
            Direction::Egress => egress = Some(written.into_iter().map(egress_rule).collect()),
        }
    }
    let object = Object {
        api_version: "cilium.io/v2".to_owned(),
        kind: "CiliumNetworkPolicy".to_owned(),
        metadata: Metadata::of(policy),
        spec: Spec {
            endpoint_selector: LabelSelector::from(&policy.subject),
            ingress,
            egress,
        },
    };
    Ok(Rendered {
        manifests: vec![manifest(policy, &object, notes)?],
        shortfalls: writer.shortfalls.list,
    })
}

/// A rule to be; no peering is a rule that allows nothing.
type Part = (Option<Peering>, Vec<PortRule>);

fn ingress_rule((peering, to_ports): Part) -> Ingress {
    let rule = Ingress {
        to_ports,
        ..Ingress::default()
    };
    match peering {
        // Names are for egress only, and no ingress rule is given any.
        None | Some(Peering::Names(_)) => rule,
        Some(Peering::Anybody) => Ingress {
            from_entities: vec![Entity::All],
            ..rule
        },
        Some(Peering::Endpoints(from_endpoints)) => Ingress { from_endpoints, ..rule },
        Some(Peering::Cidrs(from_cidr)) => Ingress { from_cidr, ..rule },
        Some(Peering::CidrSet(from_cidr_set)) => Ingress { from_cidr_set, ..rule },
        Some(Peering::Entities(entities)) => Ingress {
            from_entities: entities.into_iter().collect(),
            ..rule
        },
    }
}

fn egress_rule((peering, to_ports): Part) -> Egress {
    let rule = Egress {
        to_ports,
        ..Egress::default()
    };
    match peering {
        None => rule,
        Some(Peering::Anybody) => Egress {
            to_entities: vec![Entity::All],
            ..rule
        },
        Some(Peering::Endpoints(to_endpoints)) => Egress { to_endpoints, ..rule },
        Some(Peering::Cidrs(to_cidr)) => Egress { to_cidr, ..rule },
        Some(Peering::CidrSet(to_cidr_set)) => Egress { to_cidr_set, ..rule },
        Some(Peering::Entities(entities)) => Egress {
            to_entities: entities.into_iter().collect(),
            ..rule
        },
        Some(Peering::Names(names)) => Egress {
            to_fqdns: names.into_iter().collect(),
            ..rule
        },
    }
}

struct Writer<'a> {
    policy: &'a Policy,
    landmarks: &'a Landmarks,
    /// Whether addresses outside are named where their names are known.
    by_name: bool,
    shortfalls: Shortfalls<'a>,
}

impl Writer<'_> {
    /// Names need a rule to name servers, on which Cilium can listen; and it listens only where there are any names.
    fn can_use_names(&self) -> bool {
        let rules = self.policy.egress.as_deref().unwrap_or_default();
        let peers = |rule: &'_ ModelRule| match &rule.peers {
            Peers::Any => Vec::new(),
            Peers::Of(listed) => listed.iter().cloned().collect(),
        };
        let asks = |rule: &ModelRule| peers(rule).iter().any(|peer| self.serves_names(peer, &rule.ports));
        let named = |peer: &Peer| match peer {
            Peer::Pods { .. } | Peer::Entity(_) => false,
            Peer::Block { cidr, except } => except.is_empty() && self.landmarks.names.contains_key(cidr),
        };
        rules.iter().any(asks) && rules.iter().flat_map(peers).any(|peer| named(&peer))
    }

    fn is_name_server(&self, peer: &Peer, port: &ModelPort) -> bool {
        let PortMatch::Range(range) = &port.port else {
            return false;
        };
        let key = (
            self.policy.namespace.clone(),
            peer.clone(),
            port.protocol,
            range.first(),
        );
        range.first() == range.last() && self.landmarks.name_servers.contains(&key)
    }

    /// The rules that together say what one rule of the model says.
    fn parts(&mut self, rule: &ModelRule, place: (Direction, usize)) -> Vec<Part> {
        let listed = match &rule.peers {
            Peers::Any => return vec![(Some(Peering::Anybody), to_ports(&rule.ports))],
            Peers::Of(listed) => listed,
        };
        let (mut endpoints, mut watched) = (Vec::new(), Vec::new());
        let (mut cidrs, mut sets) = (Vec::new(), Vec::new());
        let (mut entities, mut names) = (BTreeSet::new(), BTreeSet::new());
        for peer in listed {
            match peer {
                Peer::Pods { namespaces, pods } => {
                    self.check_labels(pods, Some(place));
                    let selector = endpoint(namespaces.as_ref(), pods);
                    let asked = self.by_name && place.0 == Direction::Egress && self.serves_names(peer, &rule.ports);
                    if asked { &mut watched } else { &mut endpoints }.push(selector);
                }
                Peer::Block { cidr, except } => {
                    if let Some(known) = self.known(*cidr, except, place) {
                        entities.extend(known);
                    } else if let Some(known) = self.names_of(*cidr, except, place) {
                        names.extend(known);
                    } else if except.is_empty() {
                        cidrs.push(cidr.to_string());
                    } else {
                        sets.push(CidrRule {
                            cidr: cidr.to_string(),
                            except: except.iter().map(ToString::to_string).collect(),
                        });
                    }
                }
                Peer::Entity(ModelEntity::Nodes) => entities.extend(every_node(place.0)),
                Peer::Entity(ModelEntity::ApiServer) => {
                    entities.insert(Entity::KubeApiserver);
                }
                Peer::Entity(ModelEntity::Outside { cidr, except }) if except.is_empty() => {
                    cidrs.push(cidr.to_string());
                }
                Peer::Entity(ModelEntity::Outside { cidr, except }) => sets.push(CidrRule {
                    cidr: cidr.to_string(),
                    except: except.iter().map(ToString::to_string).collect(),
                }),
                Peer::Entity(ModelEntity::Name(name)) if place.0 == Direction::Egress => names.extend(fqdn(name)),
                Peer::Entity(ModelEntity::Name(name)) => {
                    let what = format!("clients have no names, so `{name}` has no rule");
                    self.shortfalls.add(Some(place), Effect::Narrower, what);
                }
            }
        }
        let written = to_ports(&rule.ports);
        let mut parts: Vec<Part> = Vec::new();
        if !watched.is_empty() {
            parts.push((Some(Peering::Endpoints(watched)), self.watched_ports(rule)));
        }
        let plain = [
            (!endpoints.is_empty()).then_some(Peering::Endpoints(endpoints)),
            (!entities.is_empty()).then_some(Peering::Entities(entities)),
            (!names.is_empty()).then_some(Peering::Names(names)),
            (!cidrs.is_empty()).then_some(Peering::Cidrs(cidrs)),
            (!sets.is_empty()).then_some(Peering::CidrSet(sets)),
        ];
        let plain = plain.into_iter().flatten();
        parts.extend(plain.map(|peering| (Some(peering), written.clone())));
        parts
    }

    fn serves_names(&self, peer: &Peer, ports: &Ports) -> bool {
        match ports {
            Ports::Any => false,
            Ports::Of(listed) => listed.iter().any(|port| self.is_name_server(peer, port)),
        }
    }

    /// Ports of name servers, with those on which names are asked for watched. Which names may be asked for is not limited:
    /// that is nothing the recording shows.
    fn watched_ports(&self, rule: &ModelRule) -> Vec<PortRule> {
        let (Ports::Of(ports), Peers::Of(peers)) = (&rule.ports, &rule.peers) else {
            return Vec::new();
        };
        let asked = |port: &&ModelPort| peers.iter().any(|peer| self.is_name_server(peer, port));
        let (watched, others): (Vec<&ModelPort>, Vec<&ModelPort>) = ports.iter().partition(asked);
        let every_name = DnsRule {
            match_pattern: "*".to_owned(),
        };
        let mut rules = port_rules(&watched);
        for rule in &mut rules {
            rule.rules = Some(L7Rules {
                dns: vec![every_name.clone()],
            });
        }
        rules.extend(port_rules(&others));
        rules
    }

    /// The entities that stand for a prefix, if it is known what it is.
    fn known(&mut self, cidr: Cidr, except: &[Cidr], place: (Direction, usize)) -> Option<Vec<Entity>> {
        let Landmarks {
            api_server,
            nodes,
            pods,
            names: _,
            name_servers: _,
        } = self.landmarks;
        if api_server.contains(&cidr) {
            return Some(vec![Entity::KubeApiserver]);
        }
        if nodes.contains(&cidr) {
            let what = "an entity is every node of the cluster, not the one that is meant";
            self.shortfalls.add(Some(place), Effect::Wider, what);
            return Some(every_node(place.0));
        }
        if meets(pods, cidr, except) || meets(nodes, cidr, except) {
            let what = format!("`{cidr}` matches no pods and no nodes of the cluster here, only what is outside it");
            self.shortfalls.add(Some(place), Effect::Narrower, what);
        }
        // Both families are written as one word, so a rule that has one of them without holes is left as it is.
        let known: Vec<Cidr> = pods.iter().chain(nodes).copied().collect();
        let of_family = |part: &Cidr| part.network().is_ipv4() == cidr.network().is_ipv4();
        let only_inside = except.iter().all(|hole| known.iter().any(|part| part.covers(*hole)));
        let outside = if except.is_empty() {
            !known.is_empty() && !known.iter().any(of_family)
        } else {
            only_inside
        };
        (cidr.length() == 0 && outside).then(|| vec![Entity::World])
    }

    /// The names of a single address outside, for rules of egress.
    fn names_of(&mut self, cidr: Cidr, except: &[Cidr], place: (Direction, usize)) -> Option<BTreeSet<Fqdn>> {
        let names = self.landmarks.names.get(&cidr)?;
        if place.0 == Direction::Ingress || !except.is_empty() || !self.by_name {
            return None;
        }
        let names: BTreeSet<Fqdn> = names.iter().filter_map(|name| fqdn(name)).collect();
        if names.is_empty() {
            return None;
        }
        for name in &names {
            let what = format!("`{}` allows every address that it resolves to", name.match_name);
            self.shortfalls.add(Some(place), Effect::Wider, what);
        }
        Some(names)
    }

    fn check_labels(&mut self, selector: &Selector, place: Option<(Direction, usize)>) {
        for Requirement { key, test: _ } in selector.requirements() {
            if !identity_label::selects(key) {
                let what = format!("label `{key}` is no part of an identity unless Cilium is configured so");
                self.shortfalls.add(place, Effect::Narrower, what);
            }
        }
    }
}

/// The words for every node.
fn every_node(direction: Direction) -> Vec<Entity> {
    match direction {
        // What comes from the pod's own node is always allowed (`allow-localhost`, in Kubernetes).
        Direction::Ingress => vec![Entity::RemoteNode],
        Direction::Egress => vec![Entity::Host, Entity::RemoteNode],
    }
}

/// Pods by labels, in the namespace of the policy or in those that are selected.
fn endpoint(namespaces: Option<&Selector>, pods: &Selector) -> LabelSelector {
    let mut selector = LabelSelector::default();
    if let Some(namespaces) = namespaces {
        selector.require(namespaces, |key| match key {
            NAMESPACE_NAME => POD_NAMESPACE.to_owned(),
            key => format!("{NAMESPACE_LABEL}{key}"),
        });
        let exists = |requirement: &Requirement| matches!(requirement.test, Test::In(_) | Test::Exists);
        if !namespaces.requirements().iter().any(exists) {
            // Without a label of the namespace the selector would be taken to mean that of the policy.
            selector.match_expressions.push(Expression {
                key: POD_NAMESPACE.to_owned(),
                operator: Operator::Exists,
                values: Vec::new(),
            });
        }
    }
    selector.require(pods, str::to_owned);
    selector
}

fn to_ports(ports: &Ports) -> Vec<PortRule> {
    match ports {
        Ports::Any => Vec::new(),
        Ports::Of(listed) => port_rules(&listed.iter().collect::<Vec<_>>()),
    }
}

fn port_rules(ports: &[&ModelPort]) -> Vec<PortRule> {
    let written: Vec<PortProtocol> = ports.iter().map(|port| port_protocol(port)).collect();
    let rule = |ports: &[PortProtocol]| PortRule {
        ports: ports.to_vec(),
        rules: None,
    };
    written.chunks(PORTS).map(rule).collect()
}

fn port_protocol(port: &ModelPort) -> PortProtocol {
    let ModelPort { protocol, port } = port;
    let (port, end_port) = match port {
        PortMatch::Any | PortMatch::Range(PortRange::ALL) => ("0".to_owned(), None),
        PortMatch::Named(name) => (name.clone(), None),
        PortMatch::Range(range) => {
            let end = (range.first() != range.last()).then_some(range.last());
            (range.first().to_string(), end)
        }
    };
    PortProtocol {
        port,
        end_port,
        protocol: protocol.name().to_owned(),
    }
}

/// A name as `fqdn.go` takes it (`allowedMatchNameChars`), without the dot at its end.
fn fqdn(name: &str) -> Option<Fqdn> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let valid = !name.is_empty() && name.len() <= 253 && name.bytes().all(allowed) && !name.contains("..");
    valid.then_some(Fqdn { match_name: name })
}
