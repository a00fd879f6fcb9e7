//! `cilium.io/v2 CiliumNetworkPolicy`, as far as `generate --kind Cilium` writes it.
//!
//! Source of the fields and of what they mean: cilium/cilium `pkg/policy/api` (v1.18), `rule.go`, `ingress.go`, `egress.go`,
//! `l4.go`, `cidr.go`, `entity.go`, `fqdn.go` and `rule_validation.go`; of how the namespace gets into a selector of pods
//! `pkg/k8s/apis/cilium.io/utils/utils.go`, `getEndpointSelector`.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::parse::marked::Node;
use crate::parse::report::{Path, ProblemKind, RefusalKind};
use crate::policy::cidr::Cidr;
use crate::policy::identity_label;
use crate::policy::kind::PolicyKind;
use crate::policy::model::{Direction, Entity, Peer, Peers, Policy, PortMatch, PortRule, Ports, Rule as ModelRule};
use crate::policy::names::{self, NAMESPACE_NAME};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::{PortRange, Protocol};
use crate::policy::select::{Requirement, Selector, Test};

use self::fields::{CidrSet, Dns, Name, OBJECT, Object, Port, Rule, Spec, ToPorts};
use super::Outcome;
use super::reader::Reader;

mod fields;

/// The label of the namespace of a pod (`pkg/k8s/apis/cilium.io/const.go`, `PodNamespaceLabel`).
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// What precedes a label of the namespace of a pod (`PodNamespaceMetaLabels`).
const NAMESPACE_LABEL: &str = "io.cilium.k8s.namespace.labels.";

/// Reads the object `root`, whose `apiVersion` and `kind` have been checked.
#[must_use]
pub fn read(file: &Arc<str>, root: &Node) -> Outcome {
    let mut reader = Reader::new(file, root, PolicyKind::CiliumNetworkPolicy.name());
    let policy = reader.fields(&OBJECT).and_then(|object| reader.cilium(object));
    reader.outcome(policy)
}

impl Reader<'_> {
    fn cilium(&mut self, Object { metadata, spec }: Object) -> Option<Policy> {
        let (namespace, name) = self.names(metadata);
        let path = Path::default().field("spec");
        let Some(spec) = spec else {
            return self.refuse(&path, RefusalKind::Missing);
        };
        let Spec {
            endpoint_selector,
            ingress,
            egress,
        } = spec;
        let subject = self.subject(endpoint_selector, &path.field("endpointSelector"));
        let ingress = self.direction(Direction::Ingress, ingress.unwrap_or_default());
        let egress = self.direction(Direction::Egress, egress.unwrap_or_default());
        let (ingress, egress) = (ingress.ok()?, egress.ok()?);
        if ingress.is_none() && egress.is_none() && !self.has_refused() {
            return self.refuse(&path, RefusalKind::Reason("a policy without a rule has no effect"));
        }
        Some(Policy {
            kind: PolicyKind::CiliumNetworkPolicy,
            namespace,
            name,
            subject: subject?,
            ingress,
            egress,
            notes: Vec::new(),
            source: Some(self.plain.source(&Path::default())),
        })
    }

    fn subject(&mut self, selector: Option<LabelSelector>, path: &Path) -> Option<Selector> {
        let Some(selector) = selector else {
            return self.refuse(path, RefusalKind::Missing);
        };
        match self.endpoint(selector, path)? {
            (None, pods) => Some(pods),
            (Some(_), _) => self.refuse(
                path,
                RefusalKind::Reason("a label of the namespace is not evaluated here"),
            ),
        }
    }

    /// The rules of a direction; nothing where it is not isolated. One empty rule isolates and allows nothing.
    fn direction(&mut self, direction: Direction, rules: Vec<Rule>) -> Result<Option<Vec<ModelRule>>, Unread> {
        if rules.is_empty() {
            return Ok(None);
        }
        if let [only] = rules.as_slice()
            && only.is_empty()
        {
            return Ok(Some(Vec::new()));
        }
        self.section(direction, rules, |reader, rule, path| {
            reader.cilium_rule(direction, rule, path)
        })
        .map(Some)
        .ok_or(Unread)
    }

    fn cilium_rule(&mut self, direction: Direction, rule: Rule, path: &Path) -> Option<ModelRule> {
        if rule.is_empty() {
            return self.refuse(
                path,
                RefusalKind::Reason("an empty rule beside others is not evaluated"),
            );
        }
        let Rule {
            endpoints,
            cidrs,
            cidr_sets,
            entities,
            names,
            to_ports,
        } = rule;
        let side = match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        let field = |name: &str| path.field(&format!("{side}{name}"));
        let mut sorts: Vec<Option<Peers>> = Vec::new();
        if let Some(endpoints) = endpoints {
            let path = field("Endpoints");
            sorts.push(self.each(endpoints, &path, Self::pods));
        }
        if let Some(cidrs) = cidrs {
            let path = field("CIDR");
            sorts.push(self.each(cidrs, &path, |reader, one, path| {
                reader.outside(
                    CidrSet {
                        cidr: Some(one),
                        except: Vec::new(),
                    },
                    path,
                    path,
                )
            }));
        }
        if let Some(sets) = cidr_sets {
            let path = field("CIDRSet");
            sorts.push(self.each(sets, &path, |reader, one, path| {
                reader.outside(one, &path.field("cidr"), path)
            }));
        }
        if let Some(entities) = entities {
            sorts.push(self.entities(direction, &entities, &field("Entities")));
        }
        if let Some(names) = names {
            let path = field("FQDNs");
            sorts.push(self.each(names, &path, Self::name));
        }
        let ports = self.port_rules(to_ports.unwrap_or_default(), &path.field("toPorts"));
        if sorts.len() > 1 {
            return self.refuse(
                path,
                RefusalKind::Reason("Cilium takes no rule with two sorts of peers"),
            );
        }
        let peers = sorts.pop().unwrap_or(Some(Peers::Any));
        Some(ModelRule::new(peers?, ports?))
    }

    /// Peers of one sort, each with its place.
    fn each<T>(
        &mut self,
        listed: Vec<T>,
        path: &Path,
        read: impl Fn(&mut Self, T, &Path) -> Option<Peer>,
    ) -> Option<Peers> {
        if listed.is_empty() {
            return self.refuse(
                path,
                RefusalKind::Reason("an empty list, which allows nobody, is not evaluated"),
            );
        }
        let peers: Vec<Option<Peer>> = listed
            .into_iter()
            .enumerate()
            .map(|(at, one)| read(self, one, &path.index(at)))
            .collect();
        let peers: Vec<Peer> = peers.into_iter().collect::<Option<_>>()?;
        OneOrMore::new(peers).map(Peers::Of)
    }

    fn pods(&mut self, selector: LabelSelector, path: &Path) -> Option<Peer> {
        match self.endpoint(selector, path)? {
            (None, pods) => Some(Peer::pods(pods)),
            (Some(namespaces), pods) => {
                let exists = |requirement: &Requirement| matches!(requirement.test, Test::In(_) | Test::Exists);
                let mut all = namespaces.requirements().iter().chain(pods.requirements());
                if !all.any(exists) {
                    let what = "a selector that asks for no label also selects what is no pod";
                    return self.refuse(path, RefusalKind::Reason(what));
                }
                Some(Peer::pods_in(namespaces, pods))
            }
        }
    }

    /// What a selector asks of the namespace, if it asks anything, and what of the pod.
    fn endpoint(&mut self, selector: LabelSelector, path: &Path) -> Option<(Option<Selector>, Selector)> {
        let LabelSelector {
            match_expressions,
            match_labels,
        } = selector;
        let (mut of_namespace, mut of_pod) = (LabelSelector::default(), LabelSelector::default());
        let mut whole = true;
        for (written, value) in match_labels.unwrap_or_default() {
            let place = path.field("matchLabels").field(&written);
            let Some(key) = self.key(&written, &place) else {
                whole = false;
                continue;
            };
            let (of, key) = match key {
                Key::Namespace(key) => (&mut of_namespace, key),
                Key::Pod(key) => (&mut of_pod, key),
            };
            let before = of.match_labels.get_or_insert_default().insert(key, value);
            if before.is_some() {
                whole = false;
                self.refuse::<()>(
                    &place,
                    RefusalKind::Reason("asks for a label that another key asks for, too"),
                );
            }
        }
        for (at, mut expression) in match_expressions.unwrap_or_default().into_iter().enumerate() {
            let place = path.field("matchExpressions").index(at).field("key");
            let Some(key) = self.key(&expression.key, &place) else {
                whole = false;
                continue;
            };
            let (of, key) = match key {
                Key::Namespace(key) => (&mut of_namespace, key),
                Key::Pod(key) => (&mut of_pod, key),
            };
            expression.key = key;
            of.match_expressions.get_or_insert_default().push(expression);
        }
        let asks = of_namespace != LabelSelector::default();
        let namespaces = self.plain.selector(of_namespace, path);
        let pods = self.plain.selector(of_pod, path);
        whole.then_some((asks.then_some(namespaces?), pods?))
    }

    /// Whose label a key is. A source may precede it: `k8s:` or `any:`.
    fn key(&mut self, written: &str, path: &Path) -> Option<Key> {
        let key = ["k8s:", "any:"]
            .iter()
            .find_map(|source| written.strip_prefix(source))
            .unwrap_or(written);
        if key == POD_NAMESPACE {
            return Some(Key::Namespace(NAMESPACE_NAME.to_owned()));
        }
        if let Some(key) = key.strip_prefix(NAMESPACE_LABEL) {
            return Some(Key::Namespace(key.to_owned()));
        }
        if key.contains(':') || key.starts_with("io.cilium.") {
            return self.refuse(path, RefusalKind::Field);
        }
        if !identity_label::selects(key) {
            let what = "a label that is no part of an identity unless Cilium is configured so is not evaluated";
            return self.refuse(path, RefusalKind::Reason(what));
        }
        Some(Key::Pod(key.to_owned()))
    }

    /// Addresses outside the cluster; `at` is the place of the prefix, and `path` of the whole.
    fn outside(&mut self, CidrSet { cidr, except }: CidrSet, at: &Path, path: &Path) -> Option<Peer> {
        let Some(written) = cidr else {
            return self.refuse(at, RefusalKind::Missing);
        };
        let cidr = self.cidr_or_host(&written, at);
        let holes: Vec<Option<Cidr>> = except
            .iter()
            .enumerate()
            .map(|(at, text)| self.plain.hole(text, cidr, &path.field("except").index(at)))
            .collect();
        let holes: Vec<Cidr> = holes.into_iter().collect::<Option<_>>()?;
        let Peer::Block { cidr, except } = Peer::block_except(cidr?, holes)? else {
            return None;
        };
        Some(Peer::Entity(Entity::Outside { cidr, except }))
    }

    fn entities(&mut self, direction: Direction, listed: &[String], path: &Path) -> Option<Peers> {
        let has = |name: &str| listed.iter().any(|one| one == name);
        let known = ["all", "host", "kube-apiserver", "remote-node", "world"];
        for (at, one) in listed.iter().enumerate() {
            if !known.contains(&one.as_str()) {
                let value = one.clone();
                return self.refuse(&path.index(at), RefusalKind::Value { value });
            }
        }
        if has("all") {
            return Some(Peers::Any);
        }
        // What comes from the pod's own node is always allowed (`allow-localhost`, in Kubernetes), so ingress from other
        // nodes is ingress from all. Which of them a pod reaches depends on where it runs, which no policy says.
        let (own, other) = (has("host"), has("remote-node"));
        let half = match direction {
            Direction::Ingress => own && !other,
            Direction::Egress => own != other,
        };
        if half {
            let what = "`host` and `remote-node` are evaluated together, as every node";
            return self.refuse(path, RefusalKind::Reason(what));
        }
        let mut peers = Vec::new();
        peers.extend(other.then_some(Peer::Entity(Entity::Nodes)));
        peers.extend(has("kube-apiserver").then_some(Peer::Entity(Entity::ApiServer)));
        if has("world") {
            peers.extend(Cidr::EVERYTHING.map(|cidr| {
                let except = Vec::new();
                Peer::Entity(Entity::Outside { cidr, except })
            }));
        }
        match OneOrMore::new(peers) {
            Some(peers) => Some(Peers::Of(peers)),
            None => self.refuse(
                path,
                RefusalKind::Reason("an empty list, which allows nobody, is not evaluated"),
            ),
        }
    }

    fn name(&mut self, Name { match_name }: Name, path: &Path) -> Option<Peer> {
        let path = path.field("matchName");
        match match_name {
            Some(name) if !name.is_empty() => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                Some(Peer::Entity(Entity::Name(name)))
            }
            Some(_) | None => self.refuse(&path, RefusalKind::Missing),
        }
    }

    fn port_rules(&mut self, listed: Vec<ToPorts>, path: &Path) -> Option<Ports> {
        if listed.is_empty() {
            return Some(Ports::Any);
        }
        let mut all = Some(Vec::new());
        for (at, ToPorts { ports, rules }) in listed.into_iter().enumerate() {
            let path = path.index(at);
            for (at, Dns { match_pattern }) in rules.map(|rules| rules.dns).unwrap_or_default().into_iter().enumerate()
            {
                // Which names may be asked for is no matter of connections; a name server that answers for some only is.
                if match_pattern.as_deref() != Some("*") {
                    let path = path.field("rules").field("dns").index(at).field("matchPattern");
                    let value = match_pattern.unwrap_or_default();
                    all = self.refuse(&path, RefusalKind::Value { value });
                }
            }
            if ports.is_empty() {
                all = self.refuse(&path.field("ports"), RefusalKind::Missing);
            }
            for (at, port) in ports.into_iter().enumerate() {
                let port = self.cilium_port(port, &path.field("ports").index(at));
                all = all.zip(port).map(|(all, port)| [all, port].concat());
            }
        }
        OneOrMore::new(all?).map(Ports::Of)
    }

    /// A port of one protocol, or of each where none is named.
    fn cilium_port(&mut self, port: Port, path: &Path) -> Option<Vec<PortRule>> {
        let Port {
            port,
            end_port,
            protocol,
        } = port;
        let protocols = match protocol.as_deref() {
            None | Some("ANY") => Protocol::ALL.to_vec(),
            Some(name) => {
                let Some(protocol) = Protocol::from_name(name) else {
                    let value = name.to_owned();
                    return self.refuse(&path.field("protocol"), RefusalKind::Value { value });
                };
                vec![protocol]
            }
        };
        let (port_path, end_path) = (path.field("port"), path.field("endPort"));
        let Some(written) = port else {
            return self.refuse(&port_path, RefusalKind::Missing);
        };
        let end = end_port.filter(|end| *end != 0);
        let port = match (written.parse::<u16>(), end) {
            (Ok(0), None) => PortMatch::Any,
            (Ok(first), None) => PortMatch::Range(PortRange::single(first)?),
            (Ok(first), Some(end)) => {
                let range = u16::try_from(end).ok().and_then(|last| PortRange::new(first, last));
                let Some(range) = range else {
                    let port = first.into();
                    self.plain.invalid(&end_path, ProblemKind::EndPortBelow { port, end });
                    return None;
                };
                PortMatch::Range(range)
            }
            (Err(_), None) => {
                self.plain.check(names::port_name_fault(&written), &written, &port_path);
                PortMatch::Named(written)
            }
            (Err(_), Some(_)) => {
                self.plain.invalid(&end_path, ProblemKind::EndPortAlone);
                return None;
            }
        };
        let rule = |protocol| PortRule {
            protocol,
            port: port.clone(),
        };
        Some(protocols.into_iter().map(rule).collect())
    }
}

impl Rule {
    fn is_empty(&self) -> bool {
        let Self {
            endpoints,
            cidrs,
            cidr_sets,
            entities,
            names,
            to_ports,
        } = self;
        endpoints.is_none()
            && cidrs.is_none()
            && cidr_sets.is_none()
            && entities.is_none()
            && names.is_none()
            && to_ports.as_ref().is_none_or(Vec::is_empty)
    }
}

/// What is not read, for a reason that has been noted.
struct Unread;

/// A label of a namespace, or of a pod.
enum Key {
    Namespace(String),
    Pod(String),
}
