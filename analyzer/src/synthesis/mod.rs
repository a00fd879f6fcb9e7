//! Edges to a policy set: one policy for each workload with recorded traffic, tight by construction.
//!
//! Each peer and port of a rule comes from a recorded edge or from a named [`Addition`]; nothing else is ever written.
//! Which rule each kind of peer becomes is the table in ARCHITECTURE.md.

pub mod additions;
mod draft;
mod finish;
pub mod landmarks;
mod names;
mod peers;
mod rules;
mod selectors;
pub mod settings;
pub mod volatile;

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::Findings;
use crate::flow::edge::{Edge, EdgeKey};
use crate::flow::governed::{Governed, governed};
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::identity::published::published;
use crate::policy::model::{PolicySet, PolicySetError};
use additions::Addition;
use draft::Synthesis;
use peers::PeerRules;
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
}

/// Derives the policies.
pub fn synthesize(
    edges: &[Edge],
    cluster: &Cluster,
    settings: &Settings,
    findings: &mut Findings,
) -> Result<Generated, PolicySetError> {
    let mut synthesis = Synthesis {
        cluster,
        settings,
        peers: PeerRules::new(cluster, settings.redacted),
        published: published(cluster),
        drafts: BTreeMap::new(),
        additions: BTreeSet::new(),
        left_out: BTreeSet::new(),
    };
    synthesis.draft_subjects(edges, findings);
    for edge in edges {
        match governed(&edge.key) {
            Governed::Yes => synthesis.add_edge(edge, findings),
            Governed::Undecided => synthesis.report_undecided(edge, findings),
            Governed::Exempt | Governed::NotEstablished => {}
        }
    }
    synthesis.add_published();
    synthesis.finish(findings)
}
