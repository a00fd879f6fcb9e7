//! Widenings: what rules allow beyond the recording because it was asked for, each with how much that is.

mod address;
mod port;

use std::collections::{BTreeMap, BTreeSet};

use super::additions::{Beyond, Kind, inside};
use super::peers::namespace_selector;
use super::rules::{Allowed, Origin};
use super::settings::{Settings, Widening};
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::cidr::Cidr;
use crate::policy::model::Peer;
use crate::policy::ports::Protocol;
use crate::policy::profile::Aspect;
use crate::policy::select::Selector;

use port::Rows;
pub(super) use port::ranges;

/// What is asked for, for the rules of one workload.
pub(super) struct Widen<'a> {
    settings: &'a Settings,
    cluster: &'a Cluster,
    subject: &'a Workload,
    /// Pods and nodes, which no prefix of others takes in.
    inside: BTreeSet<Cidr>,
}

type PeerMap = BTreeMap<Peer, Allowed>;

impl<'a> Widen<'a> {
    pub(super) fn new(settings: &'a Settings, cluster: &'a Cluster, subject: &'a Workload) -> Self {
        let inside = if settings.widenings.is_empty() {
            BTreeSet::new()
        } else {
            inside(cluster)
        };
        Self {
            settings,
            cluster,
            subject,
            inside,
        }
    }

    /// How recorded ports that follow each other are written.
    pub(super) fn rows(&self) -> Rows {
        if self.settings.cni.differs().contains(&Aspect::EndPort) {
            Rows::Single
        } else {
            Rows::Range
        }
    }

    /// How many ports that were not recorded a peer may get.
    pub(super) fn port_budget(&self) -> usize {
        let budget = |widening: &Widening| match widening {
            Widening::Ports(budget) => usize::from(*budget),
            Widening::Cidr { .. }
            | Widening::Range(_)
            | Widening::WellKnown
            | Widening::Namespace
            | Widening::Nodes(_) => 0,
        };
        self.settings.widenings.iter().map(budget).max().unwrap_or(0)
    }

    /// The peers of one direction, wider as far as it is asked for. Only peers with the same ports are taken together, so that
    /// none of them gets a port for it.
    pub(super) fn peers(&self, peers: PeerMap) -> PeerMap {
        if self.settings.widenings.is_empty() {
            return peers;
        }
        let mut groups: BTreeMap<Vec<(Protocol, u16)>, PeerMap> = BTreeMap::new();
        for (peer, allowed) in peers {
            let ports = allowed.ports.keys().copied().collect();
            groups.entry(ports).or_default().insert(peer, allowed);
        }
        let mut widened = PeerMap::new();
        for group in groups.into_values() {
            for (peer, allowed) in self.group(group) {
                widened.entry(peer).or_default().absorb(allowed);
            }
        }
        widened
    }

    /// What is certain goes first: named ranges before the search for prefixes.
    fn group(&self, mut group: PeerMap) -> PeerMap {
        for widening in &self.settings.widenings {
            match widening {
                Widening::Nodes(range) => self.nodes(&mut group, *range),
                Widening::Range(range) => self.range(&mut group, *range, Kind::Range, &Origin::External),
                Widening::WellKnown => {
                    for range in address::well_known() {
                        self.range(&mut group, range, Kind::WellKnown, &Origin::External);
                    }
                }
                Widening::Namespace => self.namespaces(&mut group),
                Widening::Cidr { .. } | Widening::Ports(_) => {}
            }
        }
        for widening in &self.settings.widenings {
            if let Widening::Cidr { prefixes, addresses } = widening {
                let hosts: BTreeSet<Cidr> = hosts(&group, &Origin::External).into_iter().collect();
                for prefix in address::prefixes(&hosts, *prefixes, *addresses) {
                    self.range(&mut group, prefix, Kind::Cidr, &Origin::External);
                }
            }
        }
        group
    }

    fn nodes(&self, group: &mut PeerMap, range: Option<Cidr>) {
        let nodes = self.cluster.nodes.values().flat_map(|node| &node.internal_ips);
        let nodes: BTreeSet<Cidr> = nodes.map(|address| Cidr::host(address.ip())).collect();
        let ranges = range.map_or_else(|| address::around(&nodes), |range| vec![range]);
        for range in ranges {
            self.range(group, range, Kind::Nodes, &Origin::Node);
        }
    }

    /// Puts a range in the place of the single addresses in it that stand for one kind of peer.
    fn range(&self, group: &mut PeerMap, range: Cidr, kind: Kind, origin: &Origin) {
        let recorded: Vec<Cidr> = hosts(group, origin)
            .into_iter()
            .filter(|host| *host != range && range.covers(*host))
            .collect();
        let holes: BTreeSet<Cidr> = address::link_local()
            .into_iter()
            .chain(
                self.inside
                    .iter()
                    .copied()
                    .filter(|hole| kind != Kind::Nodes || hole.length() < host_length(*hole)),
            )
            .filter(|hole| *hole != range && range.covers(*hole))
            .filter(|hole| !recorded.iter().any(|host| hole.covers(*host)))
            .collect();
        let holes = address::outermost(&holes);
        let Some(peer) = Peer::block_except(range, holes.iter().copied()).filter(|_| !recorded.is_empty()) else {
            return;
        };
        let left = holes
            .iter()
            .fold(address::size(range), |left, hole| left - address::size(*hole));
        let count = left.saturating_sub(recorded.len() as u128);
        // Where all of a prefix was recorded, it allows nothing else.
        let beyond = (count > 0).then_some(Beyond::Addresses {
            count,
            recorded: recorded.len(),
        });
        let replaced: Vec<Peer> = recorded.into_iter().map(Peer::block).collect();
        replace(group, &replaced, peer, beyond.map(|beyond| (kind, beyond)));
    }

    /// Puts a whole namespace in the place of its workloads, where all of them are there. The subject need not be: hardly any
    /// workload talks to itself.
    fn namespaces(&self, group: &mut PeerMap) {
        let mut peers: BTreeMap<String, BTreeMap<Workload, Peer>> = BTreeMap::new();
        for (peer, allowed) in &*group {
            for origin in &allowed.origins {
                if let Origin::Workload(workload) = origin {
                    let there = peers.entry(workload.namespace.clone()).or_default();
                    there.insert(workload.clone(), peer.clone());
                }
            }
        }
        for (namespace, recorded) in peers {
            let all = self.workloads_of(&namespace);
            let missing = all
                .iter()
                .any(|workload| !recorded.contains_key(*workload) && *workload != self.subject);
            // One peer in the place of one other would allow more and say no less.
            if missing || recorded.len() < 2 {
                continue;
            }
            let wide = if namespace == self.subject.namespace {
                Peer::pods(Selector::everything())
            } else {
                Peer::pods_in(namespace_selector(&namespace), Selector::everything())
            };
            let beyond = Beyond::Pods {
                recorded: recorded.len(),
            };
            let replaced: Vec<Peer> = recorded.into_values().collect();
            replace(group, &replaced, wide, Some((Kind::Namespace, beyond)));
        }
    }

    fn workloads_of(&self, namespace: &str) -> BTreeSet<&Workload> {
        let pods = self.cluster.pods_in(namespace).map(|pod| &pod.workload);
        let templates = self
            .cluster
            .owners
            .templates_in(namespace)
            .map(|(workload, _)| workload);
        pods.chain(templates)
            .filter(|workload| !workload.host_network)
            .collect()
    }
}

/// The single addresses of a group that stand for one kind of peer and nothing else, and are not widened yet.
fn hosts(group: &PeerMap, origin: &Origin) -> Vec<Cidr> {
    let host = |(peer, allowed): (&Peer, &Allowed)| match peer {
        Peer::Block { cidr, except } if except.is_empty() && cidr.length() == host_length(*cidr) => {
            let only = allowed.origins.iter().all(|own| own == origin);
            (only && allowed.widened.is_empty()).then_some(*cidr)
        }
        Peer::Block { .. } | Peer::Pods { .. } | Peer::Entity(_) => None,
    };
    group.iter().filter_map(host).collect()
}

fn host_length(cidr: Cidr) -> u8 {
    Cidr::host(cidr.network()).length()
}

fn replace(group: &mut PeerMap, replaced: &[Peer], by: Peer, why: Option<(Kind, Beyond)>) {
    let mut wide = Allowed::default();
    for peer in replaced {
        if let Some(allowed) = group.remove(peer) {
            wide.absorb(allowed);
        }
    }
    wide.widened.extend(why);
    group.entry(by).or_default().absorb(wide);
}
