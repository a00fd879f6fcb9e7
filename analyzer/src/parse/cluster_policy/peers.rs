//! Peers of rules.

use std::collections::BTreeSet;

use crate::parse::network_policy::reader::Reader;
use crate::parse::report::{Path, ProblemKind};
use crate::policy::cluster::{ClusterKind, ClusterPeer};
use crate::policy::model::Peer;
use crate::policy::one_or_more::OneOrMore;
use crate::policy::select::Selector;

use super::fields::Peer as Read;
use super::{all, most};

/// Prefixes or names of one peer (`MaxItems=25`).
const LISTED: usize = 25;

/// The longest text of a prefix (`MaxLength=43`).
const PREFIX: usize = 43;

impl Reader<'_> {
    pub(super) fn cluster_peers(
        &mut self,
        kind: ClusterKind,
        peers: Option<Vec<Read>>,
        path: &Path,
    ) -> Option<OneOrMore<ClusterPeer>> {
        let peers = peers.unwrap_or_default();
        if peers.is_empty() {
            self.invalid(path, ProblemKind::Required);
            return None;
        }
        self.count(peers.len(), 1, most(kind), path);
        let read: Vec<Option<Vec<ClusterPeer>>> = peers
            .into_iter()
            .enumerate()
            .map(|(at, peer)| self.cluster_peer(kind, peer, &path.index(at)))
            .collect();
        let read: Option<Vec<Vec<ClusterPeer>>> = read.into_iter().collect();
        OneOrMore::new(read?.into_iter().flatten())
    }

    /// The peers of the model that one peer is: a list of prefixes is one each.
    fn cluster_peer(&mut self, kind: ClusterKind, peer: Read, path: &Path) -> Option<Vec<ClusterPeer>> {
        let Read {
            namespaces,
            pods,
            nodes,
            networks,
            domain_names,
        } = peer;
        match (namespaces, pods, nodes, networks, domain_names) {
            (Some(namespaces), None, None, None, None) => {
                let namespaces = self.selector(namespaces, &path.field("namespaces"))?;
                let peer = Peer::pods_in(namespaces, Selector::everything());
                Some(vec![ClusterPeer::Plain(peer)])
            }
            (None, Some(pods), None, None, None) => {
                let (namespaces, pods) = self.pods_of_namespaces(pods, kind, &path.field("pods"))?;
                Some(vec![ClusterPeer::Plain(Peer::pods_in(namespaces, pods))])
            }
            (None, None, Some(nodes), None, None) => {
                let nodes = self.selector(nodes, &path.field("nodes"))?;
                Some(vec![ClusterPeer::Nodes(nodes)])
            }
            (None, None, None, Some(networks), None) => self.networks(&networks, &path.field("networks")),
            (None, None, None, None, Some(names)) => {
                let names = self.domains(names, &path.field("domainNames"))?;
                Some(vec![ClusterPeer::Domains(names)])
            }
            _ => {
                let fields = "the fields that a peer can have";
                self.invalid(path, ProblemKind::ExactlyOne { fields });
                None
            }
        }
    }

    fn networks(&mut self, networks: &[String], path: &Path) -> Option<Vec<ClusterPeer>> {
        self.count(networks.len(), 1, LISTED, path);
        self.each_once(networks, path);
        let mut read = Vec::new();
        for (at, text) in networks.iter().enumerate() {
            let path = path.index(at);
            let length = text.chars().count();
            if length > PREFIX {
                let most = PREFIX;
                self.invalid(&path, ProblemKind::TooLong { length, most });
            }
            let block = |cidr| ClusterPeer::Plain(Peer::block(cidr));
            read.push(self.cidr(text, &path).map(block));
        }
        read.into_iter().collect()
    }

    fn domains(&mut self, names: Vec<String>, path: &Path) -> Option<OneOrMore<String>> {
        self.count(names.len(), 1, LISTED, path);
        self.each_once(&names, path);
        for (at, name) in names.iter().enumerate() {
            self.check(domain_fault(name), name, &path.index(at));
        }
        all(names.into_iter().map(Some).collect())
    }

    /// Such lists are sets (`listType=set`).
    fn each_once(&mut self, listed: &[String], path: &Path) {
        let mut seen = BTreeSet::new();
        for (at, value) in listed.iter().enumerate() {
            if !seen.insert(value) {
                let value = value.clone();
                self.invalid(&path.index(at), ProblemKind::Twice { value });
            }
        }
    }
}

/// The rule that a DNS name breaks: the `Pattern` of `DomainName`.
fn domain_fault(name: &str) -> Option<&'static str> {
    let parts = name.strip_prefix("*.").unwrap_or(name);
    let parts: Vec<&str> = parts.strip_suffix('.').unwrap_or(parts).split('.').collect();
    let is_end = |byte: u8| byte.is_ascii_alphanumeric();
    let is_part = |part: &&str| {
        let ends = (part.bytes().next(), part.bytes().next_back());
        matches!(ends, (Some(first), Some(last)) if is_end(first) && is_end(last))
            && part.bytes().all(|byte| is_end(byte) || matches!(byte, b'-' | b'_'))
    };
    let valid = parts.len() > 1 && parts.iter().all(is_part);
    (!valid).then_some("at least two parts of letters, digits, `-` and `_`, after an optional `*.`")
}

#[cfg(test)]
mod tests {
    use super::domain_fault;

    #[test]
    fn names_are_those_of_the_pattern() {
        for name in ["kubernetes.io", "*.kubernetes.io", "a_b.c-d.example.", "1.2"] {
            assert_eq!(domain_fault(name), None, "{name}");
        }
        for name in [
            "", "io", "*", "*.", "*.io", "a.*.io", "-a.io", "a..io", ".a.io", "a.io..", "ä.io",
        ] {
            assert!(domain_fault(name).is_some(), "{name}");
        }
    }
}
