//! Peers, ports and selectors of rules.

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::parse::report::{Path, ProblemKind, WarningKind};
use crate::policy::cidr::Cidr;
use crate::policy::model::{Peer, PortMatch, PortRule};
use crate::policy::names;
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::{PortRange, Protocol};
use crate::policy::select::{Requirement, Selector, Test};

use super::reader::Reader;

impl Reader<'_> {
    pub(super) fn peer(&mut self, peer: NetworkPolicyPeer, path: &Path) -> Option<Peer> {
        let NetworkPolicyPeer {
            ip_block,
            namespace_selector,
            pod_selector,
        } = peer;
        let block = ip_block.map(|block| self.block(block, &path.field("ipBlock")));
        let namespaces = namespace_selector.map(|selector| self.selector(selector, &path.field("namespaceSelector")));
        let pods = pod_selector.map(|selector| self.selector(selector, &path.field("podSelector")));
        match (block, namespaces, pods) {
            (Some(block), None, None) => block,
            (None, None, Some(pods)) => Some(Peer::pods(pods?)),
            (None, Some(namespaces), None) => Some(Peer::pods_in(namespaces?, Selector::everything())),
            (None, Some(namespaces), Some(pods)) => Some(Peer::pods_in(namespaces?, pods?)),
            (None, None, None) => {
                self.invalid(path, ProblemKind::PeerEmpty);
                None
            }
            (Some(_), _, _) => {
                self.invalid(path, ProblemKind::PeerMixed);
                None
            }
        }
    }

    fn block(&mut self, block: IPBlock, path: &Path) -> Option<Peer> {
        let IPBlock { cidr, except } = block;
        let cidr_path = path.field("cidr");
        if cidr.is_empty() {
            self.invalid(&cidr_path, ProblemKind::Required);
            return None;
        }
        let cidr = self.cidr(&cidr, &cidr_path);
        let holes: Vec<Option<Cidr>> = except
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(at, text)| self.hole(text, cidr, &path.field("except").index(at)))
            .collect();
        Peer::block_except(cidr?, holes.into_iter().collect::<Option<Vec<Cidr>>>()?)
    }

    pub(in crate::parse) fn hole(&mut self, text: &str, cidr: Option<Cidr>, path: &Path) -> Option<Cidr> {
        let hole = self.cidr(text, path)?;
        if let Some(cidr) = cidr
            && (hole == cidr || !cidr.covers(hole))
        {
            self.invalid(
                path,
                ProblemKind::Except {
                    except: text.to_owned(),
                    cidr: cidr.to_string(),
                },
            );
            return None;
        }
        Some(hole)
    }

    pub(in crate::parse) fn cidr(&mut self, text: &str, path: &Path) -> Option<Cidr> {
        match text.parse::<Cidr>() {
            Ok(cidr) => {
                let address = text
                    .split('/')
                    .next()
                    .and_then(|address| address.parse::<IpAddr>().ok());
                if address != Some(cidr.network()) {
                    let what = WarningKind::HostBits {
                        written: text.to_owned(),
                        meant: cidr.to_string(),
                    };
                    self.warn(path, what);
                }
                Some(cidr)
            }
            Err(error) => {
                self.invalid(path, error.into());
                None
            }
        }
    }

    pub(super) fn port(&mut self, port: NetworkPolicyPort, path: &Path) -> Option<PortRule> {
        self.warn_null(path);
        let NetworkPolicyPort {
            end_port,
            port,
            protocol,
        } = port;
        let protocol = match protocol {
            None => Some(Protocol::Tcp),
            Some(name) => {
                let known = Protocol::from_name(&name);
                if known.is_none() {
                    self.choice(&path.field("protocol"), &name, "`TCP`, `UDP`, `SCTP`");
                }
                known
            }
        };
        let port = self.port_match(port, end_port, path);
        Some(PortRule {
            protocol: protocol?,
            port: port?,
        })
    }

    fn port_match(&mut self, port: Option<IntOrString>, end: Option<i32>, path: &Path) -> Option<PortMatch> {
        let (port_path, end_path) = (path.field("port"), path.field("endPort"));
        match (port, end) {
            (None, None) => Some(PortMatch::Any),
            (Some(IntOrString::Int(port)), None) => {
                let port = self.port_number(port, &port_path)?;
                PortRange::single(port).map(PortMatch::Range)
            }
            (Some(IntOrString::Int(first)), Some(last)) => {
                if last < first {
                    self.invalid(&end_path, ProblemKind::EndPortBelow { port: first, end: last });
                }
                let (first, last) = (self.port_number(first, &port_path), self.port_number(last, &end_path));
                PortRange::new(first?, last?).map(PortMatch::Range)
            }
            (Some(IntOrString::String(name)), end) => {
                self.check(names::port_name_fault(&name), &name, &port_path);
                if end.is_some() {
                    self.invalid(&end_path, ProblemKind::EndPortAlone);
                }
                Some(PortMatch::Named(name))
            }
            (None, Some(_)) => {
                self.invalid(&end_path, ProblemKind::EndPortAlone);
                None
            }
        }
    }

    pub(in crate::parse) fn port_number(&mut self, value: i32, path: &Path) -> Option<u16> {
        let port = u16::try_from(value).ok().filter(|port| *port > 0);
        if port.is_none() {
            self.invalid(path, ProblemKind::Port { value });
        }
        port
    }

    pub(in crate::parse) fn selector(&mut self, selector: LabelSelector, path: &Path) -> Option<Selector> {
        let LabelSelector {
            match_expressions,
            match_labels,
        } = selector;
        let labels_path = path.field("matchLabels");
        let mut requirements = Vec::new();
        for (key, value) in match_labels.unwrap_or_default() {
            self.check(names::label_key_fault(&key), &key, &labels_path);
            self.check(names::label_value_fault(&value), &value, &labels_path.field(&key));
            requirements.push(Some(Requirement::equals(key, value)));
        }
        for (at, expression) in match_expressions.unwrap_or_default().into_iter().enumerate() {
            requirements.push(self.requirement(expression, &path.field("matchExpressions").index(at)));
        }
        requirements.into_iter().collect::<Option<Vec<_>>>().map(Selector::new)
    }

    fn requirement(&mut self, expression: LabelSelectorRequirement, path: &Path) -> Option<Requirement> {
        let LabelSelectorRequirement { key, operator, values } = expression;
        let values = values.unwrap_or_default();
        let values_path = path.field("values");
        self.check(names::label_key_fault(&key), &key, &path.field("key"));
        for (at, value) in values.iter().enumerate() {
            self.check(names::label_value_fault(value), value, &values_path.index(at));
        }
        let some = OneOrMore::new(values);
        let test = match (operator.as_str(), some) {
            ("In", Some(values)) => Ok(Test::In(values)),
            ("NotIn", Some(values)) => Ok(Test::NotIn(values)),
            ("Exists", None) => Ok(Test::Exists),
            ("DoesNotExist", None) => Ok(Test::DoesNotExist),
            ("In", None) => Err(ProblemKind::ValuesMissing { operator: "In" }),
            ("NotIn", None) => Err(ProblemKind::ValuesMissing { operator: "NotIn" }),
            ("Exists", Some(_)) => Err(ProblemKind::ValuesForbidden { operator: "Exists" }),
            ("DoesNotExist", Some(_)) => Err(ProblemKind::ValuesForbidden {
                operator: "DoesNotExist",
            }),
            (other, _) => {
                self.choice(
                    &path.field("operator"),
                    other,
                    "`In`, `NotIn`, `Exists`, `DoesNotExist`",
                );
                return None;
            }
        };
        test.map_err(|what| self.invalid(&values_path, what))
            .ok()
            .map(|test| Requirement { key, test })
    }
}
