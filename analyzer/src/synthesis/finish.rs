//! The collected rules as policies, with names, and what is denied besides.

use std::collections::BTreeSet;

use super::additions::Addition;
use super::draft::{Draft, Synthesis};
use super::names;
use super::rules::{Added, Grouped, RuleMap};
use super::settings::{DefaultDeny, Grouping};
use super::widen::Widen;
use super::{Generated, RuleEvidence};
use crate::findings::{Code, Findings};
use crate::identity::Workload;
use crate::policy::model::{Direction, Policy, PolicySet, PolicySetError, Rule};
use crate::policy::select::{Labels, Selector};

impl Synthesis<'_> {
    pub(super) fn finish(mut self, findings: &mut Findings) -> Result<Generated, PolicySetError> {
        let names = names::of_workloads(self.drafts.keys());
        let mut policies = Vec::new();
        for (workload, draft) in std::mem::take(&mut self.drafts) {
            let name = names.get(&workload).cloned().unwrap_or_else(|| workload.name.clone());
            policies.extend(self.policies(&workload, &name, draft, findings));
        }
        if self.settings.default_deny == DefaultDeny::Namespace {
            policies.extend(self.namespace_denials(&policies, findings));
        }
        // What is added for several peers of a rule is one finding.
        let code = |addition: &Addition| match addition.beyond {
            Some(_) => Code::Widening,
            None => Code::Addition,
        };
        let said: BTreeSet<(Code, String)> = self.additions.iter().map(|one| (code(one), one.to_string())).collect();
        for (code, addition) in said {
            findings.report(code, addition);
        }
        let Self {
            additions,
            left_out,
            mut evidence,
            peers,
            ..
        } = self;
        evidence.sort();
        Ok(Generated {
            set: PolicySet::new(policies)?,
            additions,
            left_out,
            overlaps: peers.into_overlaps(),
            evidence,
        })
    }

    /// One policy for both directions of a workload, or one for each.
    fn policies(&mut self, workload: &Workload, name: &str, draft: Draft, findings: &mut Findings) -> Vec<Policy> {
        let Draft {
            subject,
            ingress,
            egress,
            seen,
        } = draft;
        let names = if self.settings.split_directions {
            [Direction::Ingress, Direction::Egress].map(|side| format!("{name}-{}", side.name()))
        } else {
            [name, name].map(str::to_owned)
        };
        let ingress = self.rules(workload, &names[0], Direction::Ingress, ingress);
        let egress = self.rules(workload, &names[1], Direction::Egress, egress);
        let isolates = |rules: &Vec<_>| !rules.is_empty() || self.settings.default_deny != DefaultDeny::None;
        for (side, rules) in [(Direction::Ingress, &ingress), (Direction::Egress, &egress)] {
            if rules.is_empty() && isolates(rules) {
                let why = if seen.contains(&side) {
                    "what was seen no rule allows"
                } else {
                    "nothing was seen"
                };
                let message = format!("denies all {} of {workload}; {why}", side.name());
                findings.report(Code::EmptyDirection, message);
            }
        }
        let [of_ingress, of_egress] = names;
        let policy = |name, ingress, egress| Policy {
            namespace: workload.namespace.clone(),
            name,
            subject: subject.clone(),
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
        policies.into_iter().filter(says_something).collect()
    }

    /// The rules of one direction; what they add to the recording, and what they rest on, is kept by name.
    fn rules(&mut self, workload: &Workload, policy: &str, side: Direction, rules: RuleMap) -> Vec<Rule> {
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
            self.additions.extend(additions.into_iter().map(addition));
            self.evidence.push(RuleEvidence {
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
