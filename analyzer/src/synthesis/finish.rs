//! The collected rules as policies, with names, and what is denied besides.

use std::collections::BTreeSet;

use super::Generated;
use super::additions::{Addition, Kind};
use super::draft::{Draft, Side, Synthesis};
use super::names;
use super::rules::{Grouped, RuleMap};
use super::settings::DefaultDeny;
use crate::findings::{Code, Findings};
use crate::identity::Workload;
use crate::policy::model::{Peer, Policy, PolicySet, PolicySetError, PortRule, Rule};
use crate::policy::select::{Labels, Selector};

impl Synthesis<'_> {
    pub(super) fn finish(mut self, findings: &mut Findings) -> Result<Generated, PolicySetError> {
        let names = names::of_workloads(self.drafts.keys());
        let mut policies = Vec::new();
        for (workload, draft) in std::mem::take(&mut self.drafts) {
            let name = names.get(&workload).cloned().unwrap_or_else(|| workload.name.clone());
            policies.extend(self.policy(&workload, name, draft, findings));
        }
        if self.settings.default_deny == DefaultDeny::Namespace {
            policies.extend(self.namespace_denials(&policies, findings));
        }
        // What is added for several peers of a rule is one finding.
        let said: BTreeSet<String> = self.additions.iter().map(Addition::to_string).collect();
        for addition in said {
            findings.report(Code::Addition, addition);
        }
        let Self {
            additions,
            left_out,
            peers,
            ..
        } = self;
        Ok(Generated {
            set: PolicySet::new(policies)?,
            additions,
            left_out,
            overlaps: peers.into_overlaps(),
        })
    }

    fn policy(&mut self, workload: &Workload, name: String, draft: Draft, findings: &mut Findings) -> Option<Policy> {
        let Draft {
            subject,
            ingress,
            egress,
            seen,
        } = draft;
        let ingress = self.rules(workload, &name, Side::Ingress, ingress);
        let egress = self.rules(workload, &name, Side::Egress, egress);
        let isolates = |rules: &Vec<_>| !rules.is_empty() || self.settings.default_deny != DefaultDeny::None;
        if !isolates(&ingress) && !isolates(&egress) {
            return None;
        }
        for (side, rules) in [(Side::Ingress, &ingress), (Side::Egress, &egress)] {
            if rules.is_empty() && isolates(rules) {
                let why = if seen.contains(&side) {
                    "what was seen no rule allows"
                } else {
                    "nothing was seen"
                };
                let message = format!("denies all {} of {workload}; {why}", side.word());
                findings.report(Code::EmptyDirection, message);
            }
        }
        Some(Policy {
            namespace: workload.namespace.clone(),
            name,
            subject,
            notes: vec![format!("{} {}", workload.kind, workload.name)],
            ingress: Some(ingress).filter(isolates),
            egress: Some(egress).filter(isolates),
            source: None,
        })
    }

    /// The rules of one direction; what they add to the recording is kept by name.
    fn rules(&mut self, workload: &Workload, policy: &str, side: Side, rules: RuleMap) -> Vec<Rule> {
        let mut plain = Vec::new();
        for (index, Grouped { rule, additions }) in rules.into_rules().into_iter().enumerate() {
            let addition = |(kind, peer, port): (Kind, Peer, PortRule)| Addition {
                namespace: workload.namespace.clone(),
                policy: policy.to_owned(),
                direction: side.direction(),
                index,
                kind,
                peer,
                port,
            };
            self.additions.extend(additions.into_iter().map(addition));
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
