//! `policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy`.
//!
//! Source of the fields and their limits: kubernetes-sigs/network-policy-api
//! `apis/v1alpha2/clusternetworkpolicy_types.go` (v0.2.0). Policies of this kind are in no namespace, do not add up, and name no
//! clients by address. So a policy of the model becomes objects that accept, and one behind them that denies the rest: of
//! objects of one priority it does not matter which is asked first, as all of them accept. They are in the tier `Baseline`,
//! where a NetworkPolicy of the namespace has the first word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flowtape_schemas::manifest::sha256_hex;
use serde::{Deserialize, Serialize};

use super::cut;
use super::object::{LabelSelector, Metadata, Object};
use super::{Effect, KindError, Rendered, Shortfalls, manifest, notes_of, sections};
use crate::policy::cidr::Cidr;
use crate::policy::landmark::{Landmarks, meets};
use crate::policy::model::{Direction, Peer, Peers, Policy, PortMatch, PortRule, Ports, Rule as ModelRule};
use crate::policy::ports::{PortRange, Protocol as ModelProtocol};
use crate::policy::select::Selector;

/// Rules of a direction, peers of a rule, networks of a peer and protocols of a rule (`MaxItems=25` each).
const ITEMS: usize = 25;

/// The priority of what accepts; lower numbers come first.
const ACCEPT: i32 = 900;

/// The priority of what denies: the last there is.
const DENY: i32 = 1000;

/// The longest name of an object.
const NAME: usize = 253;

const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// ClusterNetworkPolicySpec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `Admin`, before NetworkPolicy, or `Baseline`, after it.
    pub tier: String,
    /// Lower numbers come first.
    pub priority: i32,
    /// Which pods.
    pub subject: Subject,
    /// Connections to these pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Ingress>,
    /// Connections from these pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Egress>,
}

/// ClusterNetworkPolicySubject, of which we write the selection of pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The pods.
    pub pods: NamespacedPod,
}

/// NamespacedPod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespacedPod {
    /// The namespaces.
    pub namespace_selector: LabelSelector,
    /// The pods there.
    pub pod_selector: LabelSelector,
}

/// ClusterNetworkPolicyIngressRule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// What becomes of such connections.
    pub action: Action,
    /// Who opens them.
    pub from: Vec<Peering>,
    /// On which ports; all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<Protocol>,
}

/// ClusterNetworkPolicyEgressRule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// What becomes of such connections.
    pub action: Action,
    /// Who accepts them.
    pub to: Vec<Peering>,
    /// On which ports; all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<Protocol>,
}

/// ClusterNetworkPolicyRuleAction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The connection is made.
    Accept,
    /// It is not.
    Deny,
}

/// ClusterNetworkPolicyIngressPeer and ClusterNetworkPolicyEgressPeer: exactly one of the fields, and `networks` for egress
/// only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peering {
    /// All pods of these namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
    /// Addresses of whomever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
}

/// ClusterNetworkPolicyProtocol: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Protocol {
    /// TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Transport>,
    /// UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Transport>,
    /// SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp: Option<Transport>,
    /// A port of the destination pod by its name, of whatever protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_named_port: Option<String>,
}

/// ClusterNetworkPolicyProtocolTCP, and its like for UDP and SCTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transport {
    /// The ports.
    pub destination_port: Port,
}

/// Port: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// One port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
    /// Ports in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
}

/// PortRange; `start` is below `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first port.
    pub start: u16,
    /// The last port.
    pub end: u16,
}

/// A rule of either direction.
struct Part {
    peers: Vec<Peering>,
    protocols: Vec<Protocol>,
    notes: Vec<String>,
}

pub(super) fn render(policy: &Policy, landmarks: &Landmarks) -> Result<Rendered, KindError> {
    let mut shortfalls = Shortfalls::of(policy);
    let mut accepted: [Vec<Part>; 2] = [Vec::new(), Vec::new()];
    let mut denied: [Vec<Part>; 2] = [Vec::new(), Vec::new()];
    for (direction, rules) in sections(policy) {
        let at = usize::from(direction == Direction::Egress);
        for (index, rule) in rules.iter().enumerate() {
            accepted[at].extend(parts(rule, (direction, index), landmarks, &mut shortfalls));
        }
        denied[at].push(everything(direction));
        if direction == Direction::Ingress {
            let what =
                "clients that are no pods cannot be named, so what comes from outside or from nodes is not denied";
            shortfalls.add(None, Effect::Wider, what);
        }
    }
    let mut manifests = Vec::new();
    let [mut ingress, mut egress] = accepted.map(Vec::into_iter);
    let mut number = 1;
    loop {
        let chunk: [Vec<Part>; 2] = [
            ingress.by_ref().take(ITEMS).collect(),
            egress.by_ref().take(ITEMS).collect(),
        ];
        if chunk.iter().all(Vec::is_empty) {
            break;
        }
        let prefix = if number == 1 {
            "allow".to_owned()
        } else {
            format!("allow-{number}")
        };
        manifests.push(object(policy, &prefix, ACCEPT, Action::Accept, chunk)?);
        number += 1;
    }
    manifests.push(object(policy, "deny", DENY, Action::Deny, denied)?);
    Ok(Rendered {
        manifests,
        shortfalls: shortfalls.list,
    })
}

fn object(
    policy: &Policy,
    prefix: &str,
    priority: i32,
    action: Action,
    [ingress, egress]: [Vec<Part>; 2],
) -> Result<super::Manifest, KindError> {
    let notes_of = |parts: &[Part]| parts.iter().map(|part| part.notes.clone()).collect::<Vec<_>>();
    let notes = [("ingress", notes_of(&ingress)), ("egress", notes_of(&egress))];
    let ingress = ingress.into_iter().map(
        |Part {
             peers,
             protocols,
             notes: _,
         }| Ingress {
            action,
            from: peers,
            protocols,
        },
    );
    let egress = egress.into_iter().map(
        |Part {
             peers,
             protocols,
             notes: _,
         }| Egress {
            action,
            to: peers,
            protocols,
        },
    );
    let object = Object {
        api_version: "policy.networking.k8s.io/v1alpha2".to_owned(),
        kind: "ClusterNetworkPolicy".to_owned(),
        metadata: Metadata::of_cluster(name(prefix, &policy.namespace, &policy.name)),
        spec: Spec {
            tier: "Baseline".to_owned(),
            priority,
            subject: Subject {
                pods: pods(None, &policy.subject, &policy.namespace),
            },
            ingress: ingress.collect(),
            egress: egress.collect(),
        },
    };
    manifest(policy, &object, notes)
}

/// A name that no other policy's object has: a namespace has no dots in its name. What is too long ends with a hash.
fn name(prefix: &str, namespace: &str, policy: &str) -> String {
    let name = format!("{prefix}.{namespace}.{policy}");
    if name.len() <= NAME {
        return name;
    }
    let hash = &sha256_hex(name.as_bytes())[..10];
    let kept = name[..NAME - hash.len() - 1].trim_end_matches(['-', '.']);
    format!("{kept}-{hash}")
}

fn everything(direction: Direction) -> Part {
    let mut peers = vec![Peering {
        namespaces: Some(LabelSelector::default()),
        ..Peering::default()
    }];
    if direction == Direction::Egress {
        peers.push(Peering {
            networks: vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
            ..Peering::default()
        });
    }
    Part {
        peers,
        protocols: Vec::new(),
        notes: Vec::new(),
    }
}

/// The rules that together say what one rule of the model says.
fn parts(
    rule: &ModelRule,
    place: (Direction, usize),
    landmarks: &Landmarks,
    shortfalls: &mut Shortfalls<'_>,
) -> Vec<Part> {
    let home = &shortfalls.policy.namespace;
    let (mut selected, mut networks) = (Vec::new(), Vec::new());
    let (mut unnamed, mut among_pods) = (false, false);
    match &rule.peers {
        // The API refuses addresses beside a port by name, so that they are a rule of their own.
        Peers::Any if place.0 == Direction::Egress && has_names(&rule.ports) => {
            selected.extend(everything(Direction::Ingress).peers);
            networks.extend([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].map(whole));
        }
        Peers::Any => selected.extend(everything(place.0).peers),
        Peers::Of(listed) => {
            for peer in listed {
                match peer {
                    Peer::Pods { namespaces, pods: of } => {
                        selected.push(Peering {
                            pods: Some(pods(namespaces.as_ref(), of, home)),
                            ..Peering::default()
                        });
                    }
                    Peer::Block { cidr, except } if place.0 == Direction::Egress => {
                        networks.extend(cut::without(*cidr, except));
                    }
                    Peer::Entity(peer) => {
                        let what = format!("there is no word for {peer}, so this peer has no rule");
                        shortfalls.add(Some(place), Effect::Narrower, what);
                    }
                    Peer::Block { cidr, except } => {
                        unnamed = true;
                        among_pods |= meets(&landmarks.pods, *cidr, except);
                    }
                }
            }
        }
    }
    if unnamed {
        let what = "clients cannot be named by address, so these have no rule; of them, only pods are denied";
        shortfalls.add(Some(place), Effect::Wider, what);
    }
    if among_pods {
        let what = "pods that are named by address are denied, because clients cannot be named by it";
        shortfalls.add(Some(place), Effect::Narrower, what);
    }
    let of_networks: Vec<Peering> = networks
        .chunks(ITEMS)
        .map(|part: &[Cidr]| Peering {
            networks: part.iter().map(ToString::to_string).collect(),
            ..Peering::default()
        })
        .collect();
    let mut parts = Vec::new();
    for (peers, named) in [(selected, true), (of_networks, false)] {
        for peers in peers.chunks(ITEMS) {
            for protocols in protocols(&rule.ports, named, place, shortfalls) {
                parts.push(Part {
                    peers: peers.to_vec(),
                    protocols,
                    notes: Vec::new(),
                });
            }
        }
    }
    let notes = notes_of(rule, parts.len());
    for (part, notes) in parts.iter_mut().zip(notes) {
        part.notes = notes;
    }
    parts
}

fn pods(namespaces: Option<&Selector>, pods: &Selector, home: &str) -> NamespacedPod {
    let own = Selector::from_labels([(NAMESPACE_NAME, home)]);
    NamespacedPod {
        namespace_selector: LabelSelector::from(namespaces.unwrap_or(&own)),
        pod_selector: LabelSelector::from(pods),
    }
}

fn whole(lowest: IpAddr) -> Cidr {
    Cidr::new(lowest, 0).expect("no family has fewer than 0 bits")
}

fn has_names(ports: &Ports) -> bool {
    let is_name = |port: &PortRule| matches!(port.port, PortMatch::Named(_));
    match ports {
        Ports::Any => false,
        Ports::Of(listed) => listed.iter().any(is_name),
    }
}

/// The ports of a rule in parts that one rule can hold; an empty part is every port. Names are for pods only
/// (`XValidation` of ClusterNetworkPolicyEgressRule), and addresses have none anyway.
fn protocols(
    ports: &Ports,
    with_names: bool,
    place: (Direction, usize),
    shortfalls: &mut Shortfalls<'_>,
) -> Vec<Vec<Protocol>> {
    let listed = match ports {
        Ports::Any => return vec![Vec::new()],
        Ports::Of(listed) => listed,
    };
    let mut protocols = Vec::new();
    for PortRule { protocol, port } in listed {
        let port = match port {
            PortMatch::Named(name) if !with_names => {
                let what = format!("addresses cannot stand beside a port by name, so `{name}` is allowed of none");
                shortfalls.add(Some(place), Effect::Narrower, what);
                continue;
            }
            PortMatch::Named(name) => {
                let what = format!("a port by name has no protocol here, so `{name}` is that of every protocol");
                shortfalls.add(Some(place), Effect::Wider, what);
                protocols.push(Protocol {
                    destination_named_port: Some(name.clone()),
                    ..Protocol::default()
                });
                continue;
            }
            PortMatch::Any => PortRange::ALL,
            PortMatch::Range(range) => *range,
        };
        let destination_port = if port.first() == port.last() {
            Port {
                number: Some(port.first()),
                range: None,
            }
        } else {
            let (start, end) = (port.first(), port.last());
            Port {
                number: None,
                range: Some(Range { start, end }),
            }
        };
        let transport = Some(Transport { destination_port });
        let mut written = Protocol::default();
        match protocol {
            ModelProtocol::Tcp => written.tcp = transport,
            ModelProtocol::Udp => written.udp = transport,
            ModelProtocol::Sctp => written.sctp = transport,
        }
        protocols.push(written);
    }
    protocols.chunks(ITEMS).map(<[Protocol]>::to_vec).collect()
}
