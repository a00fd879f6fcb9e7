//! What policies ask of a pod: which of its labels, and which of its ports' names, can matter to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::cluster::ClusterPeer;
use crate::policy::model::{Peer, Peers, PolicySet, PortMatch, Ports};
use crate::policy::select::{Labels, Selector, Test};

use super::world::{NamedPort, Pod};

/// The label keys and values, and the port names, that stand in policies.
#[derive(Debug, Default)]
pub(super) struct Mentioned<'a> {
    values: BTreeMap<&'a str, BTreeSet<&'a str>>,
    port_names: BTreeSet<&'a str>,
}

/// The labels of a pod as far as policies can tell them apart: of each key that they name the value, or nothing where they
/// do not name that value.
pub(super) type Told<'a> = Vec<(&'a str, Option<&'a str>)>;

impl<'a> Mentioned<'a> {
    /// Of all these sets.
    pub(super) fn new(sets: &[&'a PolicySet]) -> Self {
        let mut mentioned = Self::default();
        for set in sets {
            for policy in *set {
                mentioned.add(&policy.subject);
            }
            for (_, rule) in set.rules() {
                if let Peers::Of(peers) = &rule.peers {
                    peers.iter().for_each(|peer| mentioned.add_peer(peer));
                }
                mentioned.add_ports(&rule.ports);
            }
            for policy in set.of_cluster() {
                mentioned.add(&policy.subject.pods);
            }
            for (_, rule) in set.rules_of_cluster() {
                for peer in &rule.peers {
                    match peer {
                        ClusterPeer::Plain(peer) => mentioned.add_peer(peer),
                        ClusterPeer::Nodes(_) | ClusterPeer::Domains(_) => {}
                    }
                }
                mentioned.add_ports(&rule.ports);
            }
        }
        mentioned
    }

    fn add_peer(&mut self, peer: &'a Peer) {
        match peer {
            Peer::Pods { namespaces: _, pods } => self.add(pods),
            Peer::Block { cidr: _, except: _ } | Peer::Entity(_) => {}
        }
    }

    fn add_ports(&mut self, ports: &'a Ports) {
        let Ports::Of(ports) = ports else { return };
        for port in ports {
            match &port.port {
                PortMatch::Named(name) => {
                    self.port_names.insert(name);
                }
                PortMatch::Any | PortMatch::Range(_) => {}
            }
        }
    }

    fn add(&mut self, selector: &'a Selector) {
        for requirement in selector.requirements() {
            let values = self.values.entry(&requirement.key).or_default();
            match &requirement.test {
                Test::In(named) | Test::NotIn(named) => values.extend(named.iter().map(String::as_str)),
                Test::Exists | Test::DoesNotExist => {}
            }
        }
    }

    /// What policies see of these labels.
    pub(super) fn told<'l>(&self, labels: &'l Labels) -> Told<'l> {
        let known = labels.iter().filter_map(|(key, value)| {
            let values = self.values.get(key.as_str())?;
            Some((key.as_str(), values.contains(value.as_str()).then_some(value.as_str())))
        });
        known.collect()
    }

    /// What policies see of a pod's ports, in ascending order.
    pub(super) fn told_ports<'p>(&self, pod: &'p Pod) -> Vec<&'p NamedPort> {
        let named = |port: &&NamedPort| self.port_names.contains(port.name.as_str());
        let mut ports: Vec<&NamedPort> = pod.ports.iter().filter(named).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// A value of a key that stands in no selector.
    pub(super) fn other_value(&self, key: &str) -> String {
        let taken = |value: &String| {
            self.values
                .get(key)
                .is_some_and(|values| values.contains(value.as_str()))
        };
        let mut value = "other".to_owned();
        while taken(&value) {
            value.push('-');
            value.push('x');
        }
        value
    }
}
