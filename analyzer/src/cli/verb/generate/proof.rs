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
use crate::semantics::world::World;
use crate::synthesis::Generated;
use crate::synthesis::additions::Addition;

/// Proves a generated set against the edges it was made of, and reports what does not hold.
pub(super) fn prove(
    flows: &Flows,
    (cluster, world): (&Cluster, &World),
    generated: &Generated,
    findings: &mut Findings,
) -> Proof {
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
    let proof = proof::prove(&flows.edges, cluster, set, world, stated);
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

#[cfg(test)]
mod tests {
    use flowtape_scenario::{Scenario, tape as scenario};

    use super::prove;
    use crate::findings::{Code, Findings};
    use crate::flow::{Flows, edge::Endpoint, edges};
    use crate::identity::cluster::Cluster;
    use crate::policy::model::{Peer, Peers, Policy, PolicySet, PortMatch, PortRule, Ports, Rule};
    use crate::policy::one_or_more::OneOrMore;
    use crate::policy::ports::{PortRange, Protocol};
    use crate::policy::select::Selector;
    use crate::replay::world::world;
    use crate::synthesis::settings::Settings;
    use crate::synthesis::{Generated, synthesize};
    use crate::tape;

    struct Made {
        flows: Flows,
        cluster: Cluster,
        generated: Generated,
    }

    fn made() -> Made {
        let text = "cluster\n node n1 172.31.0.11 pods 10.244.1.0/24\n deployment shop/web labels app=web\n \
                    deployment shop/db labels app=db ports sql:5432\n deployment shop/ads labels app=ads\n\
                    traffic\n shop/web -> shop/db:5432\n";
        let directory = tempfile::tempdir().expect("a scratch directory can be made");
        let files = scenario::compile(&Scenario::parse(text).expect("it is a scenario")).expect("it can be compiled");
        scenario::write(directory.path(), &files).expect("it can be written");
        let mut findings = Findings::default();
        let tape = tape::open(&[directory.path().to_path_buf()], &mut findings).expect("it can be read");
        let cluster = Cluster::new(&tape.cluster, &mut findings);
        let flows = edges(&tape, &cluster, &mut findings);
        let generated = synthesize(&flows.edges, &cluster, &Settings::default(), &mut findings).expect("it is a set");
        Made {
            flows,
            cluster,
            generated,
        }
    }

    /// The set with its rules changed.
    fn changed(set: &PolicySet, change: impl Fn(&Rule) -> Rule) -> PolicySet {
        let policy = |policy: &Policy| {
            let rules = |rules: &Option<Vec<Rule>>| rules.as_ref().map(|rules| rules.iter().map(&change).collect());
            Policy {
                ingress: rules(&policy.ingress),
                egress: rules(&policy.egress),
                ..policy.clone()
            }
        };
        PolicySet::new(set.iter().map(policy)).expect("names stay as they are")
    }

    /// What is found of it, by code, and whether the proof holds.
    fn found(made: &Made) -> (Vec<String>, bool) {
        let mut findings = Findings::default();
        let proof = prove(
            &made.flows,
            (&made.cluster, &world(&made.cluster)),
            &made.generated,
            &mut findings,
        );
        let list = findings.list();
        (
            list.iter()
                .map(|one| format!("{}: {}", one.code, one.message))
                .collect(),
            proof.holds(),
        )
    }

    #[test]
    fn a_set_as_it_was_made_holds_and_nothing_is_found() {
        assert_eq!(found(&made()), (Vec::new(), true));
    }

    #[test]
    fn a_part_of_a_rule_that_nothing_needs_is_found() {
        let mut made = made();
        made.generated.set = changed(&made.generated.set, |rule| {
            let port = PortRule {
                protocol: Protocol::Tcp,
                port: PortMatch::Range(PortRange::single(7777).expect("it is a port")),
            };
            let ports = match &rule.ports {
                Ports::Of(ports) => OneOrMore::new(ports.iter().cloned().chain([port])),
                Ports::Any => None,
            };
            Rule::new(rule.peers.clone(), ports.map_or(Ports::Any, Ports::Of))
        });
        let (told, holds) = found(&made);
        let expected = "FT4040: shop/db ingress/0 allows pods app=web on 7777/TCP, which nothing recorded needs";
        assert!(!holds && told.iter().any(|one| one == expected), "{told:#?}");
    }

    #[test]
    fn a_connection_beside_the_recording_that_is_allowed_is_found() {
        let mut made = made();
        made.generated.set = changed(&made.generated.set, |rule| {
            let peers = Peers::Of(OneOrMore::one(Peer::Pods {
                namespaces: None,
                pods: Selector::everything(),
            }));
            Rule::new(peers, rule.ports.clone())
        });
        let (told, holds) = found(&made);
        let open =
            |one: &String| one.starts_with("FT4041: shop/ads-") && one.ends_with("and the ingress rules allow it");
        assert!(!holds && told.iter().any(open), "{told:#?}");
    }

    #[test]
    fn a_connection_that_cannot_be_judged_is_found() {
        let mut made = made();
        let evidence = &mut made.flows.edges[0].evidence;
        evidence.pairs = evidence
            .pairs
            .iter()
            .map(|pair| (pair.0.clone(), Endpoint::Unknown))
            .collect();
        let (told, _) = found(&made);
        let expected = format!(
            "{}: recorded connections of which one end is not in the metadata",
            Code::NotJudged
        );
        assert!(told.contains(&expected), "{told:#?}");
    }
}
