//! The body of `flowtape.evidence/v1`: what is behind each rule of generated policies. Policies hold none of it, so that another
//! recording of the same behaviour gives the same policies.
//!
//! An edge is behind a rule of its client and one of its server. It stands in the document once, and rules name it by its id. Each
//! edge and each rule is one line, so that tools that read lines find all that is said of an id.

use std::collections::BTreeSet;
use std::io::{self, Write};

use flowtape_schemas::time::Time;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::Serialize;

use super::edge::{Edge, id};
use super::write_list;
use crate::flow::edge::Edge as DomainEdge;
use crate::synthesis::RuleEvidence;

/// Body of `flowtape.evidence/v1`, before it is written.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// Every rule, by policy.
    rules: &'a [RuleEvidence],
    /// Every edge behind a rule, in the order of the edges' keys.
    edges: Vec<Known<'a>>,
}

/// An edge behind a rule.
#[derive(Clone, Debug)]
struct Known<'a> {
    /// Its place in the list that the rules were made of.
    place: usize,
    edge: &'a DomainEdge,
    id: String,
}

/// What is behind one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Rule<'a> {
    /// Namespace of the policy.
    pub namespace: &'a str,
    /// Name of the policy.
    pub policy: &'a str,
    /// The rule, such as `egress/1`.
    pub rule: String,
    /// Connections and datagrams.
    pub count: u64,
    /// The first of them; none for a rule that is an addition only.
    pub first_seen: Option<Time>,
    /// The last of them.
    pub last_seen: Option<Time>,
    /// Ids of the edges that need it. Several edges have one id where connections of the same ends went different ways.
    pub edges: BTreeSet<&'a str>,
}

impl<'a> Evidence<'a> {
    /// What is behind rules that were made of these edges.
    #[must_use]
    pub fn new(rules: &'a [RuleEvidence], edges: &'a [DomainEdge]) -> Self {
        let mut places: Vec<usize> = rules.iter().flat_map(|rule| &rule.edges).copied().collect();
        places.sort_unstable();
        places.dedup();
        let known = |place: &usize| {
            let edge = edges.get(*place)?;
            Some(Known {
                place: *place,
                edge,
                id: id(&edge.key),
            })
        };
        Self {
            rules,
            edges: places.par_iter().filter_map(known).collect(),
        }
    }

    /// Writes the document that begins so, the fields of the body as they are made.
    pub fn write(&self, head: &str, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(head.as_bytes())?;
        write_list(
            "edges",
            &self.edges,
            |known| Edge::new(known.edge, known.id.clone()),
            out,
        )?;
        write_list("rules", self.rules, |rule| self.rule(rule), out)?;
        out.write_all(b"\n}\n")
    }

    fn rule(&self, rule: &'a RuleEvidence) -> Rule<'_> {
        let (direction, index) = rule.rule;
        let known = |place: &usize| {
            let at = self.edges.binary_search_by_key(place, |known| known.place).ok()?;
            Some(&self.edges[at])
        };
        let behind: Vec<&Known<'_>> = rule.edges.iter().filter_map(known).collect();
        let evidence = || behind.iter().map(|known| &known.edge.evidence);
        Rule {
            namespace: &rule.namespace,
            policy: &rule.policy,
            rule: format!("{direction}/{index}"),
            count: evidence().map(|one| one.count).fold(0, u64::saturating_add),
            first_seen: evidence().map(|one| one.first_seen).min(),
            last_seen: evidence().map(|one| one.last_seen).max(),
            edges: behind.iter().map(|known| known.id.as_str()).collect(),
        }
    }
}
