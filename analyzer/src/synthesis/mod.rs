//! Edges to a policy set: one policy for each workload with recorded traffic, tight by construction.
//!
//! Each peer and port of a rule comes from a recorded edge or from a named [`Addition`]; nothing else is ever written.
//! Which rule each kind of peer becomes is the table in ARCHITECTURE.md.

pub mod additions;
mod draft;
mod ends;
pub mod enforcer;
mod finish;
pub mod landmarks;
mod names;
mod note;
mod peers;
mod rules;
mod selectors;
pub mod settings;
pub mod volatile;
mod widen;

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::Findings;
use crate::flow::edge::{Edge, EdgeKey};
use crate::flow::governed::Governed;
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::identity::published::{PublishedPort, published};
use crate::policy::model::{Direction, PolicySet, PolicySetError};
use additions::{Addition, inside};
use draft::Synthesis;
use ends::Ends;
use peers::{PeerRules, Said};
use settings::Settings;

/// A derived policy set and what there is to know about it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The policies.
    pub set: PolicySet,
    /// What they allow beyond the recording, on purpose.
    pub additions: BTreeSet<Addition>,
    /// Edges that they deny, on purpose; each is in a finding.
    pub left_out: BTreeSet<EdgeKey>,
    /// Workloads whose selector also selects pods of another; each is in a finding.
    pub overlaps: BTreeSet<(Workload, Workload)>,
    /// Which edges are behind each rule, by policy and rule.
    pub evidence: Vec<RuleEvidence>,
}

/// The edges behind one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleEvidence {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// The rule: which direction, and which one there.
    pub rule: (Direction, usize),
    /// Places of the edges in the list that the policies were derived from; none for what is an addition only.
    pub edges: BTreeSet<usize>,
}

/// Derives the policies.
pub fn synthesize(
    edges: &[Edge],
    cluster: &Cluster,
    settings: &Settings,
    findings: &mut Findings,
) -> Result<Generated, PolicySetError> {
    let mut by_workload: BTreeMap<Workload, Vec<PublishedPort>> = BTreeMap::new();
    for port in published(cluster) {
        by_workload.entry(port.workload.clone()).or_default().push(port);
    }
    let ends = Ends::new(edges, cluster);
    let synthesis = Synthesis {
        edges,
        cluster,
        settings,
        peers: PeerRules::new(&ends.workloads, cluster, settings.redacted),
        ends,
        published: by_workload,
        inside: inside(cluster),
    };
    let mut said = Said::default();
    let subjects = synthesis.subjects(&mut said);
    let workloads: BTreeSet<&Workload> = subjects.iter().map(|subject| subject.workload).collect();
    let undecided = edges
        .iter()
        .filter(|edge| synthesis.judged(edge) == Governed::Undecided);
    for edge in undecided {
        Synthesis::report_undecided(edge, &workloads, findings);
    }
    synthesis.finish(subjects, said, findings)
}
