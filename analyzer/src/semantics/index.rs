//! A policy set arranged by what it selects, so that a connection is judged without looking at every policy and peer.
//!
//! It says what the naive evaluator says, and also by which part of a rule. Whether a pod is selected or an address
//! matches is asked of the same code; what is arranged here is only which of them are asked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::policy::cluster::{Action, Tier};
use crate::policy::model::{Direction, Entity, Peer, Peers, Policy, PolicySet, Ports, Rule};
use crate::policy::select::{Labels, Requirement, Selector, Test};

use super::eval::{Basis, By, Connection, RuleId, peer_matches, port_matches, without_looking};
use super::tier::{Decision, matches, selects};
use super::world::{Endpoint, Pod, World};

/// One peer of a rule on one of its ports: the smallest thing that a policy set allows. Positions are those of the set,
/// and 0 for everybody and every port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Which policy of the set.
    pub policy: usize,
    /// Which of its rules.
    pub rule: RuleId,
    /// Which of the rule's peers.
    pub peer: usize,
    /// Which of the rule's ports.
    pub port: usize,
}

/// What one end of a connection says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Why it is allowed or denied.
    pub basis: Basis,
    /// Every part of a NetworkPolicy's rule that matches.
    pub parts: Vec<Part>,
    /// The rule of a policy of the cluster that decides.
    pub of_cluster: Option<OfCluster>,
}

/// A rule of a policy of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OfCluster {
    /// Which policy of the cluster, in the order in which they are asked.
    pub policy: usize,
    /// Which of its rules.
    pub rule: RuleId,
}

/// A policy set, arranged.
pub struct Index<'a> {
    set: &'a PolicySet,
    world: &'a World,
    /// Policies by their namespace, then by whom they select.
    subjects: BTreeMap<&'a str, ByLabel<'a>>,
    /// Of each policy its two directions, where it isolates.
    sections: Vec<[Option<Section<'a>>; 2]>,
    /// Policies of the cluster by whom they select, of the tier before NetworkPolicies and of the one behind them.
    tiers: [ByLabel<'a>; 2],
}

impl<'a> Index<'a> {
    /// Arranges a set.
    #[must_use]
    pub fn new(set: &'a PolicySet, world: &'a World) -> Self {
        let mut by_namespace: BTreeMap<&str, Vec<(usize, &Selector)>> = BTreeMap::new();
        for (position, policy) in set.iter().enumerate() {
            let beside = by_namespace.entry(&policy.namespace).or_default();
            beside.push((position, &policy.subject));
        }
        let arranged = by_namespace
            .into_iter()
            .map(|(namespace, subjects)| (namespace, ByLabel::new(subjects)));
        let section = |policy: &'a Policy, direction| policy.rules(direction).map(Section::new);
        let tier = |tier: Tier| {
            let policies = set.of_cluster().iter().enumerate();
            let of_tier = policies.filter(|(_, policy)| policy.tier == tier);
            ByLabel::new(of_tier.map(|(at, policy)| (at, &policy.subject.pods)).collect())
        };
        Self {
            set,
            world,
            subjects: arranged.collect(),
            sections: set
                .policies()
                .par_iter()
                .map(|policy| [Direction::Ingress, Direction::Egress].map(|direction| section(policy, direction)))
                .collect(),
            tiers: [Tier::Admin, Tier::Baseline].map(tier),
        }
    }

    /// Judges one end: the source for egress, the destination for ingress.
    #[must_use]
    pub fn side(&self, connection: &Connection<'_>, direction: Direction) -> Judged {
        let (subject, peer) = match without_looking(self.world, connection, direction) {
            Ok(ends) => ends,
            Err(basis) => return judged(basis, Vec::new()),
        };
        let [admin, baseline] = &self.tiers;
        if let Some(decided) = self.by_tier(admin, (subject, peer), connection, direction) {
            return decided;
        }
        let judged = self.by_network_policies((subject, peer), connection, direction);
        if judged.basis != Basis::NotIsolated {
            return judged;
        }
        let behind = self.by_tier(baseline, (subject, peer), connection, direction);
        behind.unwrap_or(judged)
    }

    /// A rule of a policy of the cluster, as verdicts name it.
    #[must_use]
    pub fn by(&self, decided: OfCluster) -> By {
        let OfCluster { policy, rule: id } = decided;
        let policy = &self.set.of_cluster()[policy];
        let rule = &policy.rules(id.direction)[id.index];
        Decision { policy, rule, id }.by()
    }

    /// What the policies of a tier say; `None` if they leave it to what comes behind.
    fn by_tier(
        &self,
        tier: &ByLabel<'_>,
        (subject, peer): (&Pod, Endpoint<'_>),
        connection: &Connection<'_>,
        direction: Direction,
    ) -> Option<Judged> {
        let mut candidates: Vec<usize> = tier.candidates(&subject.labels).collect();
        // They are asked in the order of the set.
        candidates.sort_unstable();
        for at in candidates {
            let policy = &self.set.of_cluster()[at];
            let mut rules = policy.rules(direction).iter();
            let matching = || rules.position(|rule| matches(rule, self.world, peer, connection));
            let Some(index) = selects(policy, self.world, subject).then(matching).flatten() else {
                continue;
            };
            let basis = match policy.rules(direction)[index].action {
                Action::Allow => Basis::Rule,
                Action::Deny => Basis::DenyRule,
                Action::Pass => return None,
            };
            let rule = RuleId { direction, index };
            return Some(Judged {
                of_cluster: Some(OfCluster { policy: at, rule }),
                ..judged(basis, Vec::new())
            });
        }
        None
    }

    fn by_network_policies(
        &self,
        (subject, peer): (&Pod, Endpoint<'_>),
        connection: &Connection<'_>,
        direction: Direction,
    ) -> Judged {
        let mut isolated = false;
        let mut parts = Vec::new();
        let beside = self.subjects.get(subject.namespace.as_str());
        for position in beside
            .into_iter()
            .flat_map(|subjects| subjects.candidates(&subject.labels))
        {
            let policy = &self.set.policies()[position];
            let (Some(section), true) = (
                self.section(position, direction),
                policy.subject.matches(&subject.labels),
            ) else {
                continue;
            };
            isolated = true;
            for &Listed {
                rule: index,
                peer: at,
                who,
            } in section.candidates(peer)
            {
                if who.is_none_or(|who| peer_matches(who, policy, self.world, peer)) {
                    let part = |port| Part {
                        policy: position,
                        rule: RuleId { direction, index },
                        peer: at,
                        port,
                    };
                    parts.extend(matching_ports(&section.rules[index], connection).map(part));
                }
            }
        }
        parts.sort_unstable();
        match (isolated, parts.is_empty()) {
            (false, _) => judged(Basis::NotIsolated, parts),
            (true, true) => judged(Basis::NoRule, parts),
            (true, false) => judged(Basis::Rule, parts),
        }
    }

    fn section(&self, policy: usize, direction: Direction) -> Option<&Section<'a>> {
        let [ingress, egress] = &self.sections[policy];
        match direction {
            Direction::Ingress => ingress.as_ref(),
            Direction::Egress => egress.as_ref(),
        }
    }
}

const fn judged(basis: Basis, parts: Vec<Part>) -> Judged {
    Judged {
        basis,
        parts,
        of_cluster: None,
    }
}

fn matching_ports<'r>(rule: &'r Rule, connection: &'r Connection<'_>) -> impl Iterator<Item = usize> + 'r {
    let (any, listed) = match &rule.ports {
        Ports::Any => (Some(0), None),
        Ports::Of(listed) => (None, Some(listed)),
    };
    let listed = listed.into_iter().flatten().enumerate();
    let matching = listed
        .filter(|(_, port)| port_matches(port, connection))
        .map(|(at, _)| at);
    any.into_iter().chain(matching)
}

/// A peer of a rule.
struct Listed<'a> {
    /// Position of the rule.
    rule: usize,
    /// Position of the peer in the rule.
    peer: usize,
    /// Who it is; `None` for everybody.
    who: Option<&'a Peer>,
}

/// The rules of one direction of a policy.
struct Section<'a> {
    rules: &'a [Rule],
    /// Every peer of every rule; the fields below hold positions in it.
    listed: Vec<Listed<'a>>,
    /// Peers that are pods.
    pods: ByLabel<'a>,
    /// Peers that are a single address.
    hosts: BTreeMap<IpAddr, Vec<usize>>,
    /// Everybody, other prefixes, and what is known otherwise.
    rest: Vec<usize>,
}

impl<'a> Section<'a> {
    fn new(rules: &'a [Rule]) -> Self {
        let mut listed = Vec::new();
        for (rule, of_rule) in rules.iter().enumerate() {
            match &of_rule.peers {
                Peers::Any => listed.push(Listed {
                    rule,
                    peer: 0,
                    who: None,
                }),
                Peers::Of(peers) => listed.extend(peers.iter().enumerate().map(|(peer, who)| Listed {
                    rule,
                    peer,
                    who: Some(who),
                })),
            }
        }
        let (mut selectors, mut rest) = (Vec::new(), Vec::new());
        let mut hosts: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
        for (position, Listed { who, .. }) in listed.iter().enumerate() {
            match who {
                Some(Peer::Pods { namespaces: _, pods }) => selectors.push((position, pods)),
                Some(Peer::Block { cidr, except: _ } | Peer::Entity(Entity::Outside { cidr, except: _ }))
                    if cidr.is_host() =>
                {
                    hosts.entry(cidr.network()).or_default().push(position);
                }
                Some(Peer::Block { .. } | Peer::Entity(_)) | None => rest.push(position),
            }
        }
        Self {
            rules,
            listed,
            pods: ByLabel::new(selectors),
            hosts,
            rest,
        }
    }

    /// The peers that may match an endpoint: all that do are among them.
    fn candidates<'s>(&'s self, peer: Endpoint<'s>) -> impl Iterator<Item = &'s Listed<'a>> {
        let pod = peer.selectable_pod().into_iter();
        let pods = pod.flat_map(|pod| self.pods.candidates(&pod.labels));
        let host = peer.address().and_then(|address| self.hosts.get(&address));
        let others = [&self.rest].into_iter().chain(host).flatten();
        pods.chain(others.copied()).map(|position| &self.listed[position])
    }
}

/// Selectors by a label that whatever they match must bear.
struct ByLabel<'a> {
    /// Sorted: there is one for each side of each policy, and most hold a few.
    labelled: Vec<((&'a str, &'a str), usize)>,
    /// Those that ask for no label with one certain value.
    rest: Vec<usize>,
}

impl<'a> ByLabel<'a> {
    /// Of the labels that a selector asks for the one that fewest others ask for tells most.
    fn new(selectors: Vec<(usize, &'a Selector)>) -> Self {
        let mut asked: Vec<(&str, &str)> = selectors.iter().flat_map(|(_, selector)| certain(selector)).collect();
        asked.sort_unstable();
        let count = |label: &(&str, &str)| {
            let from = asked.partition_point(|one| one < label);
            asked[from..].partition_point(|one| one == label)
        };
        let mut arranged = Self {
            labelled: Vec::with_capacity(selectors.len()),
            rest: Vec::new(),
        };
        for (position, selector) in selectors {
            match certain(selector).min_by_key(count) {
                Some(label) => arranged.labelled.push((label, position)),
                None => arranged.rest.push(position),
            }
        }
        arranged.labelled.sort_unstable();
        arranged
    }

    /// The selectors that may match these labels, each once: all that do are among them.
    fn candidates<'s>(&'s self, labels: &'s Labels) -> impl Iterator<Item = usize> + 's {
        let listed = labels.iter().flat_map(|(key, value)| {
            let label = (key.as_str(), value.as_str());
            let from = self.labelled.partition_point(|(one, _)| *one < label);
            let with = self.labelled[from..].iter().take_while(move |(one, _)| *one == label);
            with.map(|(_, position)| position)
        });
        listed.chain(&self.rest).copied()
    }
}

/// The labels that whatever a selector matches must bear, with the one value that they must have.
fn certain(selector: &Selector) -> impl Iterator<Item = (&str, &str)> {
    selector.requirements().iter().filter_map(certain_label)
}

fn certain_label(requirement: &Requirement) -> Option<(&str, &str)> {
    let value = match &requirement.test {
        Test::In(values) => values.only()?,
        Test::NotIn(_) | Test::Exists | Test::DoesNotExist => return None,
    };
    Some((&requirement.key, value))
}
