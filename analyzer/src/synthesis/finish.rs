//! The collected rules as policies, with names, and what is denied besides.

use std::collections::BTreeSet;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::additions::Addition;
use super::draft::{Drafting, LeftOut, Subject, Synthesis};
use super::names;
use super::peers::Said;
use super::rules::{Added, Grouped, RuleMap};
use super::settings::{DefaultDeny, Grouping};
use super::widen::Widen;
use super::{Generated, RuleEvidence};
use crate::findings::{Code, Findings};
use crate::flow::edge::EdgeKey;
use crate::identity::Workload;
use crate::policy::kind::PolicyKind;
use crate::policy::model::{Direction, Policy, PolicySet, PolicySetError, Rule};
use crate::policy::select::{Labels, Selector};

/// What comes of one workload.
struct Made {
    policies: Vec<Policy>,
    additions: BTreeSet<Addition>,
    evidence: Vec<RuleEvidence>,
    left_out: Vec<LeftOut>,
    said: Said,
}

impl Synthesis<'_> {
    /// The policies of these subjects, which are made side by side and put together in their order.
    pub(super) fn finish(
        &self,
        subjects: Vec<Subject<'_>>,
        said: Said,
        findings: &mut Findings,
    ) -> Result<Generated, PolicySetError> {
        let names = names::of_workloads(subjects.iter().map(|subject| subject.workload));
        let policies_of = |subject: Subject<'_>| {
            let name = names.get(subject.workload).unwrap_or(&subject.workload.name);
            self.policies(&subject, name)
        };
        let made: Vec<Made> = subjects.into_par_iter().map(policies_of).collect();
        let (mut policies, mut additions, mut evidence) = (Vec::new(), BTreeSet::new(), Vec::new());
        let (mut left_out, mut asked) = (self.chosen().collect::<BTreeSet<_>>(), said.asked);
        findings.absorb(said.findings);
        for one in made {
            policies.extend(one.policies);
            additions.extend(one.additions);
            evidence.extend(one.evidence);
            left_out.extend(one.left_out);
            findings.absorb(one.said.findings);
            asked.extend(one.said.asked);
        }
        if self.settings.default_deny == DefaultDeny::Namespace {
            policies.extend(self.namespace_denials(&policies, findings));
        }
        report_additions(&additions, findings);
        evidence.sort();
        Ok(Generated {
            set: PolicySet::new(policies)?,
            additions,
            left_out: self.leave_out(left_out, findings),
            overlaps: self.peers.report(asked, findings),
            evidence,
        })
    }

    /// Says of edges that they get no rule, each once: what its client's rules say of it comes first.
    fn leave_out(&self, left_out: BTreeSet<LeftOut>, findings: &mut Findings) -> BTreeSet<EdgeKey> {
        let mut keys = BTreeSet::new();
        for (place, _, why) in left_out {
            let edge = &self.edges[place];
            if keys.insert(edge.key.clone()) {
                findings.report_rows(Code::LeftOut, format!("{edge}: {why}"), 1, &edge.evidence.samples);
            }
        }
        keys
    }

    /// One policy for both directions of a workload, or one for each.
    fn policies(&self, subject: &Subject<'_>, name: &str) -> Made {
        let Drafting {
            synthesis: _,
            workload,
            ingress,
            egress,
            left_out,
            said,
            ..
        } = Drafting::of(self, subject);
        let mut made = Made {
            policies: Vec::new(),
            additions: BTreeSet::new(),
            evidence: Vec::new(),
            left_out,
            said,
        };
        let names = if self.settings.split_directions {
            [Direction::Ingress, Direction::Egress].map(|side| format!("{name}-{}", side.name()))
        } else {
            [name, name].map(str::to_owned)
        };
        let ingress = self.rules(workload, &names[0], (Direction::Ingress, ingress), &mut made);
        let egress = self.rules(workload, &names[1], (Direction::Egress, egress), &mut made);
        let isolates = |rules: &Vec<_>| !rules.is_empty() || self.settings.default_deny != DefaultDeny::None;
        for (side, rules) in [(Direction::Ingress, &ingress), (Direction::Egress, &egress)] {
            if rules.is_empty() && isolates(rules) {
                let why = if subject.seen.contains(&side) {
                    "what was seen no rule allows"
                } else {
                    "nothing was seen"
                };
                let message = format!("denies all {} of {workload}; {why}", side.name());
                made.said.findings.report(Code::EmptyDirection, message);
            }
        }
        let [of_ingress, of_egress] = names;
        let policy = |name, ingress, egress| Policy {
            kind: PolicyKind::NetworkPolicy,
            namespace: workload.namespace.clone(),
            name,
            subject: subject.selector.clone(),
            notes: vec![format!("{} {}", workload.kind, workload.name)],
            ingress,
            egress,
            source: None,
        };
        let (ingress, egress) = (Some(ingress).filter(isolates), Some(egress).filter(isolates));
        let policies = if self.settings.split_directions {
            vec![policy(of_ingress, ingress, None), policy(of_egress, None, egress)]
        } else {
            vec![policy(of_ingress, ingress, egress)]
        };
        let says_something = |policy: &Policy| policy.ingress.is_some() || policy.egress.is_some();
        made.policies = policies.into_iter().filter(says_something).collect();
        made
    }

    /// The rules of one direction; what they add to the recording, and what they rest on, is kept by name.
    fn rules(
        &self,
        workload: &Workload,
        policy: &str,
        (side, rules): (Direction, RuleMap),
        made: &mut Made,
    ) -> Vec<Rule> {
        let widen = Widen::new(self.settings, self.cluster, workload);
        let maps = match self.settings.grouping {
            Grouping::Together => vec![rules],
            Grouping::Apart => rules.apart(),
        };
        let mut plain = Vec::new();
        for (index, grouped) in maps.into_iter().flat_map(|map| map.into_rules(&widen)).enumerate() {
            let Grouped { rule, additions, edges } = grouped;
            let addition = |(kind, peer, port, beyond): Added| Addition {
                namespace: workload.namespace.clone(),
                policy: policy.to_owned(),
                direction: side,
                index,
                kind,
                peer,
                port,
                beyond,
            };
            made.additions.extend(additions.into_iter().map(addition));
            made.evidence.push(RuleEvidence {
                namespace: workload.namespace.clone(),
                policy: policy.to_owned(),
                rule: (side, index),
                edges,
            });
            plain.push(rule);
        }
        plain
    }

    /// A policy for each namespace that selects every pod and allows nothing.
    fn namespace_denials(&self, policies: &[Policy], findings: &mut Findings) -> Vec<Policy> {
        let namespaces: BTreeSet<&str> = policies.iter().map(|policy| policy.namespace.as_str()).collect();
        let taken = |namespace: &str, name: &str| {
            policies
                .iter()
                .any(|one| one.namespace == namespace && one.name == name)
        };
        let mut denials = Vec::new();
        for namespace in namespaces {
            let mut name = "default-deny".to_owned();
            while taken(namespace, &name) {
                name.push_str("-all");
            }
            denials.push(Policy {
                kind: PolicyKind::NetworkPolicy,
                namespace: namespace.to_owned(),
                name,
                subject: Selector::everything(),
                notes: vec!["everything that no other policy of this namespace allows".to_owned()],
                ingress: Some(Vec::new()),
                egress: Some(Vec::new()),
                source: None,
            });
            for workload in self.unseen_workloads(namespace, policies) {
                let message = format!("{workload} is denied everything; nothing was seen of it");
                findings.report(Code::WorkloadNotRecorded, message);
            }
        }
        denials
    }

    fn unseen_workloads(&self, namespace: &str, policies: &[Policy]) -> BTreeSet<String> {
        let covered = |labels: &Labels| {
            policies
                .iter()
                .any(|policy| policy.namespace == namespace && policy.subject.matches(labels))
        };
        let pods = self.cluster.pods_in(namespace).filter(|pod| !pod.host_network);
        let of_pods = pods
            .filter(|pod| !covered(&pod.labels))
            .map(|pod| pod.workload.to_string());
        let rows = self
            .cluster
            .owners
            .templates_in(namespace)
            .filter(|(workload, _)| !workload.host_network);
        let of_rows = rows
            .filter(|(_, row)| !covered(&row.template_labels))
            .map(|(workload, _)| workload.to_string());
        of_pods.chain(of_rows).collect()
    }
}

/// What is added for several peers of a rule is one finding.
fn report_additions(additions: &BTreeSet<Addition>, findings: &mut Findings) {
    let code = |addition: &Addition| match addition.beyond {
        Some(_) => Code::Widening,
        None => Code::Addition,
    };
    let said: BTreeSet<(Code, String)> = additions.iter().map(|one| (code(one), one.to_string())).collect();
    for (code, addition) in said {
        findings.report(code, addition);
    }
}
