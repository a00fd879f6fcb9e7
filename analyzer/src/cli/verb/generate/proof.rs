//! The proof that goes with every generated set.

use crate::findings::{Code, Findings};
use crate::flow::Flows;
use crate::identity::cluster::Cluster;
use crate::parse::kubernetes::parse;
use crate::policy::model::PolicySet;
use crate::replay::soundness::denied;
use crate::replay::world::world;
use crate::synthesis::Generated;

/// Replays every recorded connection against the policies; a connection they deny is a finding.
pub(super) fn prove(flows: &Flows, cluster: &Cluster, generated: &Generated, findings: &mut Findings) -> bool {
    let denied = denied(&flows.edges, &generated.set, &world(cluster), &generated.left_out);
    for connection in &denied {
        let (client, server) = &connection.pair;
        let side = if connection.verdict.egress.allowed {
            "ingress"
        } else {
            "egress"
        };
        let (port, protocol) = (connection.edge.port, connection.edge.protocol);
        let message = format!("{client} -> {server} {port}/{protocol} was recorded, and the {side} rules deny it");
        let edge = flows.edges.iter().find(|edge| edge.key == connection.edge);
        let samples = edge.map(|edge| edge.evidence.samples.clone()).unwrap_or_default();
        findings.report_rows(Code::Unsound, message, 1, &samples);
    }
    denied.is_empty()
}

/// What was written must read back as what was meant; anything else is a bug of ours, and never reaches the user as a
/// policy.
pub(super) fn check_reading_back(set: &PolicySet, text: &str) {
    let parsed = parse([("generated", text)]);
    let same = parsed.as_ref().is_ok_and(|parsed| parsed.set.bare() == set.bare());
    assert!(
        same,
        "the generated policies do not read back as what was meant: {:?}",
        parsed.err()
    );
}
