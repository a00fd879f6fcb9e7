//! The proof that goes with every generated set: it is sound, tight, and denies what lies beside the recording.
//!
//! *Sound*: every recorded connection that policies govern is allowed. *Tight*: every part of every rule, which is one
//! of its peers on one of its ports, is what some recorded connection is allowed by, or is named as an addition.
//! *Closed*: connections beside recorded ones, alike but for one of their ends, the port or the protocol, are denied,
//! unless a named addition allows them.
//!
//! Judged on the arranged set; a part of the answers is compared with the naive evaluator's on every run.

use std::collections::BTreeSet;

use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use rayon::slice::{ParallelSlice as _, ParallelSliceMut as _};

use super::ends::{Ends, Kind, kind};
use super::neighbour::{self, Neighbours};
use super::soundness::{Denied, connections, pair_verdict};
use crate::flow::edge::{Edge, EdgeKey};
use crate::flow::governed::{Governed, governed};
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::model::{Direction, Peers, Policy, PolicySet, Ports, Rule};
use crate::semantics::eval::{Connection, RuleId, side};
use crate::semantics::index::{Index, Part};
use crate::semantics::world::World;
use crate::sorted::Sorted;

/// Of so many connections the arranged set's answer is compared with the naive evaluator's.
const COMPARED: usize = 64;

/// Edges that are judged at a time.
const CHUNK: usize = 1_024;

/// What whoever made the set says of it.
#[derive(Clone, Copy, Debug)]
pub struct Stated<'a> {
    /// Edges that it denies on purpose, each reported.
    pub left_out: &'a BTreeSet<EdgeKey>,
    /// Parts of its rules that no recorded connection needs, each named.
    pub added: &'a BTreeSet<Part>,
    /// Workloads whose selector also selects the pods of others, each reported.
    pub overlaps: &'a BTreeSet<(Workload, Workload)>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Connections that were judged: each pair of pods or addresses of each edge, in each address family.
    pub connections: u64,
    /// Pairs of which an end is not in the metadata, so that nothing can be judged.
    pub unjudged: u64,
    /// Recorded connections that the set would deny; of several of one edge the first.
    pub denied: Vec<Denied>,
    /// Every rule of the set.
    pub rules: Vec<RuleProof>,
    /// What lies beside the recording.
    pub neighbours: Neighbours,
}

impl Proof {
    /// Whether every recorded connection is allowed.
    #[must_use]
    pub const fn sound(&self) -> bool {
        self.denied.is_empty()
    }

    /// Whether every part of every rule is needed or named.
    #[must_use]
    pub fn tight(&self) -> bool {
        self.rules.iter().all(|rule| rule.unneeded.is_empty())
    }

    /// Whether nothing beside the recording is allowed that is not named.
    #[must_use]
    pub const fn closed(&self) -> bool {
        self.neighbours.allowed.is_empty()
    }

    /// Whether all of it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.sound() && self.tight() && self.closed()
    }
}

/// What the parts of one rule rest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProof {
    /// Position of its policy in the set.
    pub policy: usize,
    /// Which rule of it.
    pub rule: RuleId,
    /// Parts that a recorded connection needs: without one of them it is denied.
    pub observed: u64,
    /// Parts that recorded connections use and none needs, because selectors overlap and others allow it as well.
    pub shared: u64,
    /// Parts that are named additions.
    pub added: u64,
    /// Parts that nothing recorded uses and nobody named.
    pub unneeded: Vec<Part>,
}

/// Proves a set made of these edges.
#[must_use]
pub fn prove(edges: &[Edge], cluster: &Cluster, set: &PolicySet, world: &World, stated: Stated<'_>) -> Proof {
    let index = Index::new(set, world);
    let ends = Ends::new(cluster, world);
    let asked = |edge: &&Edge| governed(&edge.key) == Governed::Yes && !stated.left_out.contains(&edge.key);
    let edges: Vec<&Edge> = edges.iter().filter(asked).collect();
    // Parts are judged side by side and put together in the order of the edges.
    let judged: Vec<Judged<'_>> = edges
        .par_chunks(CHUNK)
        .map(|edges| {
            let mut judging = Judging {
                set,
                world,
                index: &index,
                ends: &ends,
                seen: Judged::default(),
            };
            for edge in edges {
                judging.edge(edge);
            }
            judging.seen
        })
        .collect();
    let seen = Seen::of(judged);
    compare(set, world, &index, &seen.samples);
    let neighbours = neighbour::ask(&seen.samples, world, &index, &ends, &seen.kinds, stated);
    let rules = rules(set, &seen.used, &seen.needed, stated.added);
    Proof {
        connections: seen.connections,
        unjudged: seen.unjudged,
        denied: seen.denied,
        rules,
        neighbours,
    }
}

/// What was seen while recorded connections were judged.
struct Seen<'w> {
    connections: u64,
    unjudged: u64,
    denied: Vec<Denied>,
    used: Sorted<Part>,
    needed: Sorted<Part>,
    kinds: Sorted<Kind>,
    /// One connection of each edge.
    samples: Vec<Connection<'w>>,
}

impl<'w> Seen<'w> {
    /// All of it together, in this order.
    fn of(parts: Vec<Judged<'w>>) -> Self {
        let used: Vec<&[Part]> = parts.iter().map(|part| part.used.as_slice()).collect();
        let needed: Vec<&[Part]> = parts.iter().map(|part| part.needed.as_slice()).collect();
        let kinds: Vec<&[Kind]> = parts.iter().map(|part| part.kinds.as_slice()).collect();
        Self {
            connections: parts.iter().map(|part| part.connections).sum(),
            unjudged: parts.iter().map(|part| part.unjudged).sum(),
            used: sorted(used.concat()),
            needed: sorted(needed.concat()),
            kinds: sorted(kinds.concat()),
            samples: parts.iter().flat_map(|part| &part.samples).copied().collect(),
            denied: parts.into_iter().flat_map(|part| part.denied).collect(),
        }
    }
}

/// Sorted by all threads, of which the set then finds nothing left to do.
fn sorted<T: Ord + Send>(mut members: Vec<T>) -> Sorted<T> {
    members.par_sort_unstable();
    Sorted::from(members)
}

/// What was seen while some of them were judged.
#[derive(Default)]
struct Judged<'w> {
    connections: u64,
    unjudged: u64,
    denied: Vec<Denied>,
    used: Vec<Part>,
    needed: Vec<Part>,
    kinds: Vec<Kind>,
    samples: Vec<Connection<'w>>,
}

struct Judging<'a, 'w> {
    set: &'a PolicySet,
    world: &'w World,
    index: &'a Index<'w>,
    ends: &'a Ends<'w>,
    seen: Judged<'w>,
}

impl Judging<'_, '_> {
    fn edge(&mut self, edge: &Edge) {
        let (mut known_denied, mut sampled) = (false, false);
        for pair in &edge.evidence.pairs {
            let connections = connections(&edge.key, pair, self.world);
            if connections.is_empty() {
                self.seen.unjudged += 1;
            }
            for connection in connections {
                self.seen.connections += 1;
                let allowed = self.connection(&connection);
                if !std::mem::replace(&mut sampled, true) {
                    self.seen.samples.push(connection);
                }
                if !allowed && !std::mem::replace(&mut known_denied, true) {
                    let verdict = pair_verdict(&edge.key, pair, self.set, self.world);
                    self.seen.denied.extend(verdict.map(|verdict| Denied {
                        edge: edge.key.clone(),
                        pair: pair.clone(),
                        verdict,
                    }));
                }
            }
        }
    }

    fn connection(&mut self, connection: &Connection<'_>) -> bool {
        self.seen.kinds.push(kind(self.ends, connection));
        let mut allowed = true;
        for direction in [Direction::Egress, Direction::Ingress] {
            let judged = self.index.side(connection, direction);
            allowed &= judged.basis.allows();
            if let [only] = judged.parts.as_slice() {
                self.seen.needed.push(*only);
            }
            self.seen.used.extend(judged.parts);
        }
        allowed
    }
}

/// Two ways to one answer: where they disagree, neither can be believed, and nothing may be written.
fn compare(set: &PolicySet, world: &World, index: &Index<'_>, samples: &[Connection<'_>]) {
    let stride = samples.len().div_ceil(COMPARED).max(1);
    for connection in samples.iter().step_by(stride) {
        for direction in [Direction::Egress, Direction::Ingress] {
            let (naive, arranged) = (
                side(set, world, connection, direction),
                index.side(connection, direction),
            );
            assert!(
                naive.basis == arranged.basis,
                "two evaluators disagree: {:?} and {:?} for {direction} of {connection:?}",
                naive.basis,
                arranged.basis
            );
        }
    }
}

fn rules(set: &PolicySet, used: &Sorted<Part>, needed: &Sorted<Part>, added: &BTreeSet<Part>) -> Vec<RuleProof> {
    let of_policy = |(policy, of): (usize, &Policy)| {
        let mut proofs = Vec::new();
        for direction in [Direction::Ingress, Direction::Egress] {
            for (index, rule) in of.rules(direction).unwrap_or_default().iter().enumerate() {
                let rule_id = RuleId { direction, index };
                let mut proof = RuleProof {
                    policy,
                    rule: rule_id,
                    observed: 0,
                    shared: 0,
                    added: 0,
                    unneeded: Vec::new(),
                };
                for part in parts_of(policy, rule_id, rule) {
                    match (added.contains(&part), needed.contains(&part), used.contains(&part)) {
                        (true, _, _) => proof.added += 1,
                        (false, true, _) => proof.observed += 1,
                        (false, false, true) => proof.shared += 1,
                        (false, false, false) => proof.unneeded.push(part),
                    }
                }
                proofs.push(proof);
            }
        }
        proofs
    };
    let proofs = set.policies().par_iter().enumerate().map(of_policy);
    proofs.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// Every part of a rule.
fn parts_of(policy: usize, rule: RuleId, of: &Rule) -> impl Iterator<Item = Part> {
    let peers = match &of.peers {
        Peers::Any => 1,
        Peers::Of(listed) => listed.count(),
    };
    let ports = match &of.ports {
        Ports::Any => 1,
        Ports::Of(listed) => listed.count(),
    };
    let part = move |peer, port| Part {
        policy,
        rule,
        peer,
        port,
    };
    (0..peers).flat_map(move |peer| (0..ports).map(move |port| part(peer, port)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::compare;
    use crate::policy::kind::PolicyKind;
    use crate::policy::model::{Policy, PolicySet};
    use crate::policy::ports::Protocol;
    use crate::policy::select::Selector;
    use crate::semantics::eval::Connection;
    use crate::semantics::index::Index;
    use crate::semantics::world::{Endpoint, Pod, World};

    /// Which ends the process with 101, see `cli::panic`: here the arranged set is that of no policies.
    #[test]
    #[should_panic(expected = "two evaluators disagree: NotIsolated and NoRule for ingress")]
    fn evaluators_that_disagree_are_a_bug() {
        let pod = Pod {
            namespace: "shop".to_owned(),
            name: "db".to_owned(),
            labels: BTreeMap::new(),
            addresses: Vec::new(),
            host_network: false,
            node: None,
            ports: Vec::new(),
        };
        let namespaces = BTreeMap::from([("shop".to_owned(), BTreeMap::new())]);
        let world = World::new(namespaces, [pod], BTreeMap::new()).expect("one pod of one namespace");
        let denies = Policy {
            kind: PolicyKind::NetworkPolicy,
            namespace: "shop".to_owned(),
            name: "deny".to_owned(),
            subject: Selector::everything(),
            notes: Vec::new(),
            ingress: Some(Vec::new()),
            egress: None,
            source: None,
        };
        let set = PolicySet::new([denies]).expect("one policy");
        let connection = Connection {
            from: Endpoint::Address([192, 0, 2, 1].into()),
            to: Endpoint::Pod {
                pod: world.pod("shop", "db").expect("it is there"),
                address: None,
            },
            protocol: Protocol::Tcp,
            port: 80,
        };
        compare(&set, &world, &Index::new(&set, &world), &[connection]);
        compare(&PolicySet::default(), &world, &Index::new(&set, &world), &[connection]);
    }
}
