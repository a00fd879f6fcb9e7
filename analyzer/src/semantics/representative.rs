//! Pods that do not exist yet: for every selector of a policy set one that it selects, so that what a set allows, and how
//! two sets differ, is more than what today's pods show.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::model::{Peer, Peers, PolicySet};
use crate::policy::select::{Labels, Selector, Test};

use super::mentioned::{Mentioned, Told};
use super::world::{NAMESPACE_NAME_LABEL, Pod, World};

/// The name of a pod, or of a namespace, that stands for those with these labels. Nothing can be called so.
#[must_use]
pub fn name(labels: &Labels) -> String {
    if labels.is_empty() {
        return "*".to_owned();
    }
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("[{}]", labels.join(","))
}

/// The world with a pod for every selector of these sets that selects some pod which no policy could tell from it. For
/// selectors of namespaces there are namespaces, where they do not name one.
#[must_use]
pub fn with_representatives(world: &World, sets: &[&PolicySet]) -> World {
    let mentioned = Mentioned::new(sets);
    let mut grown = Grown {
        known: world
            .pods()
            .map(|pod| (pod.namespace.clone(), owned(mentioned.told(&pod.labels))))
            .collect(),
        namespaces: world.namespaces().clone(),
        pods: world.pods().cloned().collect(),
        mentioned: &mentioned,
    };
    for (namespace, namespaces, pods) in selectors(sets) {
        let within = match namespaces {
            None => vec![namespace.to_owned()],
            Some(selector) => grown.namespaces_of(selector),
        };
        for namespace in within {
            for labels in grown.examples(pods) {
                grown.add(&namespace, labels);
            }
        }
    }
    // In a namespace that is not there yet there can be pods that nothing selects.
    let new: Vec<String> = grown
        .namespaces
        .keys()
        .filter(|name| !world.namespaces().contains_key(*name))
        .cloned()
        .collect();
    for namespace in new {
        grown.add(&namespace, Labels::new());
    }
    World::new(grown.namespaces, grown.pods, world.nodes().clone())
        .expect("pods are added once, and with their namespace")
}

/// The selectors of pods, each with the namespace of its policy and the selector of namespaces, if there is one.
fn selectors<'a>(sets: &[&'a PolicySet]) -> BTreeSet<(&'a str, Option<&'a Selector>, &'a Selector)> {
    let mut selectors = BTreeSet::new();
    for set in sets {
        for policy in *set {
            selectors.insert((policy.namespace.as_str(), None, &policy.subject));
        }
        for (policy, rule) in set.rules() {
            let Peers::Of(peers) = &rule.peers else { continue };
            for peer in peers {
                match peer {
                    Peer::Pods { namespaces: None, pods } => {
                        selectors.insert((policy.namespace.as_str(), None, pods));
                    }
                    // Whose policy it is does not matter to whom it means.
                    Peer::Pods { namespaces, pods } => {
                        selectors.insert(("", namespaces.as_ref(), pods));
                    }
                    Peer::Block { cidr: _, except: _ } => {}
                }
            }
        }
    }
    selectors
}

/// What policies see of labels.
type OwnedTold = Vec<(String, Option<String>)>;

struct Grown<'m> {
    /// Of every pod its namespace, and what policies see of its labels.
    known: BTreeSet<(String, OwnedTold)>,
    namespaces: BTreeMap<String, Labels>,
    pods: Vec<Pod>,
    mentioned: &'m Mentioned<'m>,
}

impl Grown<'_> {
    fn add(&mut self, namespace: &str, labels: Labels) {
        let told = owned(self.mentioned.told(&labels));
        if !self.known.insert((namespace.to_owned(), told)) {
            return;
        }
        self.namespaces.entry(namespace.to_owned()).or_default();
        self.pods.push(Pod {
            namespace: namespace.to_owned(),
            name: name(&labels),
            labels,
            addresses: Vec::new(),
            host_network: false,
            node: None,
            ports: Vec::new(),
        });
    }

    /// The namespace that a selector names, or one that is not there yet for each way to meet it.
    fn namespaces_of(&mut self, selector: &Selector) -> Vec<String> {
        let mut names = Vec::new();
        for mut labels in self.examples(selector) {
            // A name that no selector names is no name that a namespace should have for that.
            let any = self.mentioned.other_value(NAMESPACE_NAME_LABEL);
            let called = labels.remove(NAMESPACE_NAME_LABEL);
            let called = called.filter(|name| !name.is_empty() && *name != any);
            let name = called.unwrap_or_else(|| name(&labels));
            let known = self.namespaces.entry(name.clone()).or_insert(labels);
            known.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
            if selector.matches(known) {
                names.push(name);
            }
        }
        names
    }

    /// Labels that a selector selects: one that meets it, and for each of its keys what else meets it there.
    fn examples(&self, selector: &Selector) -> Vec<Labels> {
        let mut choices: BTreeMap<&str, Vec<Option<String>>> = BTreeMap::new();
        for requirement in selector.requirements() {
            choices
                .entry(&requirement.key)
                .or_insert_with(|| self.choices(&requirement.key, selector));
        }
        let first: Option<BTreeMap<&str, Option<String>>> = choices
            .iter()
            .map(|(key, values)| Some((*key, values.first()?.clone())))
            .collect();
        let Some(first) = first else { return Vec::new() };
        let labels = |values: &BTreeMap<&str, Option<String>>| -> Labels {
            let present = values
                .iter()
                .filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)));
            present.collect()
        };
        let mut examples = vec![labels(&first)];
        for (key, values) in &choices {
            for value in values.iter().skip(1) {
                let mut other = first.clone();
                other.insert(key, value.clone());
                examples.push(labels(&other));
            }
        }
        examples
    }

    /// The values of a key, or its absence, that a selector takes: all that it names, or an absent key and a value that
    /// nothing names.
    fn choices(&self, key: &str, selector: &Selector) -> Vec<Option<String>> {
        let tests: Vec<&Test> = selector
            .requirements()
            .iter()
            .filter(|one| one.key == key)
            .map(|one| &one.test)
            .collect();
        let mut candidates: Vec<Option<String>> = vec![None, Some(self.mentioned.other_value(key))];
        for test in &tests {
            match test {
                Test::In(values) => candidates.extend(values.iter().cloned().map(Some)),
                Test::NotIn(_) | Test::Exists | Test::DoesNotExist => {}
            }
        }
        candidates.retain(|candidate| {
            tests.iter().all(|test| match (test, candidate) {
                (Test::In(values), Some(value)) => values.contains(value),
                (Test::NotIn(values), Some(value)) => !values.contains(value),
                (Test::Exists, Some(_)) | (Test::NotIn(_) | Test::DoesNotExist, None) => true,
                (Test::In(_) | Test::Exists, None) | (Test::DoesNotExist, Some(_)) => false,
            })
        });
        candidates
    }
}

fn owned(told: Told<'_>) -> OwnedTold {
    let owned = |(key, value): (&str, Option<&str>)| (key.to_owned(), value.map(str::to_owned));
    told.into_iter().map(owned).collect()
}
