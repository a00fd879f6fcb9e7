//! The proof that goes with every generated set: what does not hold is a finding.

use std::collections::BTreeSet;

use crate::findings::{Code, Findings, Samples};
use crate::flow::Flows;
use crate::identity::cluster::Cluster;
use crate::json::proof::part_text;
use crate::policy::model::{Peers, PolicySet, Ports};
use crate::replay::neighbour::Neighbour;
use crate::replay::proof::{self, Proof, Stated};
use crate::replay::soundness::{Denied, denied};
use crate::replay::world::world;
use crate::semantics::eval::RuleId;
use crate::semantics::index::Part;
use crate::synthesis::Generated;
use crate::synthesis::additions::Addition;

/// Proves a generated set against the edges it was made of, and reports what does not hold.
pub(super) fn prove(flows: &Flows, cluster: &Cluster, generated: &Generated, findings: &mut Findings) -> Proof {
    let Generated {
        set,
        additions,
        left_out,
        overlaps,
        evidence: _,
    } = generated;
    let added = additions.iter().filter_map(|addition| part_of(addition, set)).collect();
    let stated = Stated {
        left_out,
        added: &added,
        overlaps,
    };
    let proof = proof::prove(&flows.edges, cluster, set, &world(cluster), stated);
    report(&proof, flows, set, findings);
    proof
}

/// Whether every recorded connection is allowed by policies of which only some are ours; one that is not is a finding.
pub(super) fn allows_all(
    set: &PolicySet,
    flows: &Flows,
    cluster: &Cluster,
    generated: &Generated,
    findings: &mut Findings,
) -> bool {
    let denied = denied(&flows.edges, set, &world(cluster), &generated.left_out);
    for connection in &denied {
        report_denied(connection, flows, findings);
    }
    denied.is_empty()
}

/// The part of a rule that an addition names.
fn part_of(addition: &Addition, set: &PolicySet) -> Option<Part> {
    let named = (addition.namespace.as_str(), addition.policy.as_str());
    let policies = set.policies();
    let position = policies.binary_search_by(|policy| (policy.namespace.as_str(), policy.name.as_str()).cmp(&named));
    let policy = position.ok()?;
    let rule = policies[policy].rules(addition.direction)?.get(addition.index)?;
    let peer = match &rule.peers {
        Peers::Any => 0,
        Peers::Of(listed) => listed.iter().position(|peer| *peer == addition.peer)?,
    };
    let port = match &rule.ports {
        Ports::Any => 0,
        Ports::Of(listed) => listed.iter().position(|port| *port == addition.port)?,
    };
    Some(Part {
        policy,
        rule: RuleId {
            direction: addition.direction,
            index: addition.index,
        },
        peer,
        port,
    })
}

fn report(proof: &Proof, flows: &Flows, set: &PolicySet, findings: &mut Findings) {
    let Proof {
        connections: _,
        unjudged,
        denied,
        rules,
        neighbours,
    } = proof;
    for connection in denied {
        report_denied(connection, flows, findings);
    }
    if *unjudged > 0 {
        let message = "recorded connections of which one end is not in the metadata".to_owned();
        findings.report_many(Code::NotJudged, message, *unjudged);
    }
    for part in rules.iter().flat_map(|rule| &rule.unneeded) {
        let policy = &set.policies()[part.policy];
        let message = format!(
            "{}/{} {} allows {}, which nothing recorded needs",
            policy.namespace,
            policy.name,
            part.rule,
            part_text(*part, policy)
        );
        findings.report(Code::NotTight, message);
    }
    let allowed: BTreeSet<&Neighbour> = neighbours.allowed.iter().collect();
    for Neighbour {
        from,
        to,
        protocol,
        port,
        direction,
    } in allowed
    {
        let message =
            format!("{from} -> {to} {port}/{protocol} was never recorded, and the {direction} rules allow it");
        findings.report(Code::NotClosed, message);
    }
}

fn report_denied(denied: &Denied, flows: &Flows, findings: &mut Findings) {
    let Denied { edge, pair, verdict } = denied;
    let (client, server) = pair;
    let side = if verdict.egress.allowed { "ingress" } else { "egress" };
    let (port, protocol) = (edge.port, edge.protocol);
    let message = format!("{client} -> {server} {port}/{protocol} was recorded, and the {side} rules deny it");
    let at = flows.edges.binary_search_by(|known| known.key.cmp(edge));
    let samples = at.map_or_else(|_| Samples::default(), |at| flows.edges[at].evidence.samples.clone());
    findings.report_rows(Code::Unsound, message, 1, &samples);
}
