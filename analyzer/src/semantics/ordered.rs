//! Rows that ordered rules decide: of a tier of policies of the cluster the first rule that matches.

use crate::policy::cluster::{Action, Tier};
use crate::policy::model::{Direction, PolicySet};

use super::bits::Bits;
use super::class::Classes;
use super::row::Row;
use super::section::Section;
use super::traffic::Traffic;

/// Who is denied unless a rule says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wall {
    /// Everybody, inside and outside the cluster.
    Everybody,
    /// Every pod.
    EveryPod,
}

/// The policies of the cluster in one direction, over classes.
pub(super) struct Ordered<'s> {
    policies: Vec<Policy<'s>>,
}

struct Policy<'s> {
    tier: Tier,
    rules: Vec<(Action, Section<'s>)>,
}

/// What a tier decides of a class; what is in neither row is left to what comes behind.
#[derive(Default)]
struct Decided {
    allowed: Row,
    denied: Row,
}

impl<'s> Ordered<'s> {
    pub(super) fn new(classes: &Classes<'_>, set: &'s PolicySet, direction: Direction) -> Self {
        let policies = set.of_cluster().iter().map(|policy| {
            let rules = policy.rules(direction).iter().map(|rule| {
                let mut section = Section::default();
                section.add(classes, &classes.peers_of_cluster(rule), &rule.ports, direction);
                (rule.action, section)
            });
            Policy {
                tier: policy.tier,
                rules: rules.collect(),
            }
        });
        Self {
            policies: policies.collect(),
        }
    }

    /// Those of these policies, by their places in the set, that say something in this direction.
    pub(super) fn speaking(&self, selecting: &[usize]) -> Vec<usize> {
        let speaks = |at: &usize| !self.policies[*at].rules.is_empty();
        selecting.iter().copied().filter(speaks).collect()
    }

    /// Whether each pod that one of these policies selects may read a port as another number.
    pub(super) fn has_names(&self, speaking: &[usize]) -> bool {
        let mut rules = speaking.iter().flat_map(|at| &self.policies[*at].rules);
        rules.any(|(_, section)| section.has_names())
    }

    /// What a class that these policies select, in their order, is allowed, around what NetworkPolicies allow it, which is `None`
    /// where none isolates it.
    pub(super) fn row(
        &self,
        classes: &Classes<'_>,
        class: Option<usize>,
        speaking: &[usize],
        by_network_policies: Option<Row>,
    ) -> Row {
        let mut row = by_network_policies.unwrap_or_else(|| {
            let mut open = Row::everything(classes.len());
            open.remove(&self.decided(classes, class, speaking, Tier::Baseline).denied);
            open
        });
        let admin = self.decided(classes, class, speaking, Tier::Admin);
        row.remove(&admin.denied);
        row.unite(&admin.allowed);
        row
    }

    /// Who a rule of these policies denies every port, if that is everybody or every pod.
    pub(super) fn wall(&self, classes: &Classes<'_>, speaking: &[usize]) -> Option<Wall> {
        let rules = speaking.iter().flat_map(|at| &self.policies[*at].rules);
        let denying = rules.filter(|(action, _)| *action == Action::Deny);
        let walls = denying.filter_map(|(_, section)| {
            let everything = Traffic::all();
            let peers = section.peers_of(&everything)?;
            let beside = |bits: &Bits| {
                let mut beside = bits.clone();
                beside.remove(peers);
                beside
            };
            if beside(&Bits::all(classes.len())).is_empty() {
                return Some(Wall::Everybody);
            }
            beside(classes.subjects()).is_empty().then_some(Wall::EveryPod)
        });
        walls.min()
    }

    fn decided(&self, classes: &Classes<'_>, class: Option<usize>, speaking: &[usize], tier: Tier) -> Decided {
        let mut decided = Decided::default();
        let mut taken = Row::default();
        let policies = speaking.iter().map(|at| &self.policies[*at]);
        for (action, section) in policies
            .filter(|policy| policy.tier == tier)
            .flat_map(|policy| &policy.rules)
        {
            let mut matched = section.row(classes, class);
            matched.remove(&taken);
            taken.unite(&matched);
            match action {
                Action::Allow => decided.allowed.unite(&matched),
                Action::Deny => decided.denied.unite(&matched),
                Action::Pass => {}
            }
        }
        decided
    }
}
