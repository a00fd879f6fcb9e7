//! Pods that do not exist yet: for every selector of a policy set one that it selects, so that what a set allows, and how
//! two sets differ, is more than what today's pods show.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::cluster::{ClusterPeer, Subject};
use crate::policy::model::{Direction, Peer, Peers, PolicySet};
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

/// How many pods are made up that two policies select at once.
const COMBINED: usize = 4_096;

/// Of how many pairs of selectors, one of which stands in a policy of the cluster, pods are made up that both select.
const SHARED: usize = 4_096;

/// A selector of pods, with the namespace of its policy, or with the selector of namespaces if there is one.
type Shared<'a> = (&'a str, Option<Selector>, Selector);

/// The world with a pod for every selector of these sets that selects some pod which no policy could tell from it. For
/// selectors of namespaces there are namespaces, where they do not name one.
#[must_use]
pub fn with_representatives(world: &World, sets: &[&PolicySet]) -> World {
    let mentioned = Mentioned::new(sets);
    let mut grown = Grown::new(world, &mentioned);
    grown.selected(sets);
    grown.into_world(world)
}

/// The world in which two sets are compared, and how many pairs of policies there are beyond what it has pods for.
///
/// Besides those of [`with_representatives`] there are pods that a selector only just leaves out, since leaving fewer out may be
/// all that changed; and where only one set isolates the pods of a selector, pods that another policy of the namespace isolates
/// as well: what closes an open pod may open one that was closed. Pods that three policies isolate show nothing that those of
/// two of them do not, because each policy only adds to what the others allow. Policies of the cluster have an order and deny, so
/// that of each of their selectors there are pods that any other one selects as well.
#[must_use]
pub fn for_comparison(world: &World, before: &PolicySet, after: &PolicySet) -> (World, usize) {
    let sets = [before, after];
    let mentioned = Mentioned::new(&sets);
    let mut grown = Grown::new(world, &mentioned);
    grown.selected(&sets);
    grown.left_out(&sets);
    let unshared = grown.selected_in_common(&sets);
    let uncombined = grown.selected_twice(sets);
    (grown.into_world(world), uncombined + unshared)
}

/// Whether a pod was made up, by its name.
#[must_use]
pub fn is_made_up(name: &str) -> bool {
    name.starts_with(['*', '['])
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
                    Peer::Block { cidr: _, except: _ } | Peer::Entity(_) => {}
                }
            }
        }
        for policy in set.of_cluster() {
            let Subject { namespaces, pods } = &policy.subject;
            selectors.insert(("", Some(namespaces), pods));
        }
        for (_, rule) in set.rules_of_cluster() {
            for peer in &rule.peers {
                match peer {
                    ClusterPeer::Plain(Peer::Pods { namespaces, pods }) => {
                        selectors.insert(("", namespaces.as_ref(), pods));
                    }
                    ClusterPeer::Plain(Peer::Block { .. } | Peer::Entity(_))
                    | ClusterPeer::Nodes(_)
                    | ClusterPeer::Domains(_) => {}
                }
            }
        }
    }
    selectors
}

/// Selectors of what two selectors have in common, where one stands in a policy of the cluster: rules in an order, and rules that
/// deny, tell such pods from those that either selects. Of how many pairs there is none, because there were too many.
fn shared<'a>(sets: &[&'a PolicySet]) -> (Vec<Shared<'a>>, usize) {
    let mut of_cluster = BTreeSet::new();
    for set in sets {
        let subjects = set.of_cluster().iter().map(|policy| &policy.subject);
        of_cluster.extend(subjects.map(|Subject { namespaces, pods }| (namespaces, pods)));
        for peer in set.rules_of_cluster().flat_map(|(_, rule)| &rule.peers) {
            if let ClusterPeer::Plain(Peer::Pods {
                namespaces: Some(namespaces),
                pods,
            }) = peer
            {
                of_cluster.insert((namespaces, pods));
            }
        }
    }
    of_cluster.retain(|(namespaces, pods)| !(namespaces.is_everything() && pods.is_everything()));
    let all = selectors(sets);
    let (mut shared, mut left) = (Vec::new(), 0);
    for (namespaces, pods) in of_cluster {
        for (namespace, others, other_pods) in &all {
            if shared.len() == SHARED {
                left += 1;
                continue;
            }
            let both = others.map(|others| common(namespaces, others));
            shared.push((*namespace, both, common(pods, other_pods)));
        }
    }
    (shared, left)
}

fn common(one: &Selector, other: &Selector) -> Selector {
    let requirements = one.requirements().iter().chain(other.requirements());
    Selector::new(requirements.cloned())
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

impl<'m> Grown<'m> {
    /// The pods that there are. Those on the network of their node stand for no others: policies do not select them.
    fn new(world: &World, mentioned: &'m Mentioned<'m>) -> Self {
        let selectable = world.pods().filter(|pod| !pod.host_network);
        Self {
            known: selectable
                .map(|pod| (pod.namespace.clone(), owned(mentioned.told(&pod.labels))))
                .collect(),
            namespaces: world.namespaces().clone(),
            pods: world.pods().cloned().collect(),
            mentioned,
        }
    }

    fn into_world(mut self, world: &World) -> World {
        // In a namespace that is not there yet there can be pods that nothing selects.
        let is_new = |name: &&String| !world.namespaces().contains_key(*name);
        let new: Vec<String> = self.namespaces.keys().filter(is_new).cloned().collect();
        for namespace in new {
            self.add(&namespace, Labels::new());
        }
        world
            .with_pods(self.namespaces, self.pods)
            .expect("pods are added once, and with their namespace")
    }

    /// Adds pods that selectors select.
    fn selected(&mut self, sets: &[&PolicySet]) {
        for (namespace, namespaces, pods) in selectors(sets) {
            for namespace in self.within(namespace, namespaces) {
                for labels in self.examples(pods) {
                    self.add(&namespace, labels);
                }
            }
        }
    }

    /// Adds pods that selectors would select but for one label, and such as they would select in another namespace.
    fn left_out(&mut self, sets: &[&PolicySet]) {
        for (namespace, namespaces, pods) in selectors(sets) {
            for namespace in self.within(namespace, namespaces) {
                for labels in self.beside(pods) {
                    self.add(&namespace, labels);
                }
            }
            for labels in namespaces.map(|selector| self.beside(selector)).unwrap_or_default() {
                let namespace = self.namespace(labels);
                for labels in self.examples(pods) {
                    self.add(&namespace, labels);
                }
            }
        }
    }

    /// Adds pods that two selectors select, one of them of a policy of the cluster; of how many pairs there is none.
    fn selected_in_common(&mut self, sets: &[&PolicySet]) -> usize {
        let (shared, left) = shared(sets);
        for (namespace, namespaces, pods) in shared {
            for namespace in self.within(namespace, namespaces.as_ref()) {
                // One is enough: what else meets either selector alone is there already.
                if let Some(labels) = self.examples(&pods).into_iter().next() {
                    self.add(&namespace, labels);
                }
            }
        }
        left
    }

    /// Adds pods that two policies of a namespace isolate in a direction, one of them on one side only; of how many pairs there
    /// is none, because there were too many.
    fn selected_twice(&mut self, sets: [&PolicySet; 2]) -> usize {
        let (mut combined, mut left) = (0, 0);
        for direction in [Direction::Ingress, Direction::Egress] {
            let [before, after] = sets.map(|set| isolated(set, direction));
            let mut by_namespace: BTreeMap<&str, Vec<(&Selector, Labels, bool)>> = BTreeMap::new();
            for (namespace, subject) in before.union(&after) {
                let flips = before.contains(&(*namespace, *subject)) != after.contains(&(*namespace, *subject));
                let of = by_namespace.entry(namespace).or_default();
                of.push((subject, fixed(subject), flips));
            }
            for (namespace, isolated) in by_namespace {
                for (at, (one, fixed, flips)) in isolated.iter().enumerate() {
                    let may_meet = |other: &Labels| {
                        let mut keys = fixed.iter();
                        keys.all(|(key, value)| other.get(key).is_none_or(|others| others == value))
                    };
                    let others = isolated[at + 1..].iter();
                    for (other, ..) in others.filter(|(_, other, too)| (*flips || *too) && may_meet(other)) {
                        if combined == COMBINED {
                            left += 1;
                            continue;
                        }
                        let labels = self.examples(&common(one, other)).into_iter().next();
                        if labels.is_some_and(|labels| self.add(namespace, labels)) {
                            combined += 1;
                        }
                    }
                }
            }
        }
        left
    }

    /// Adds a pod, unless there is one that no policy can tell from it.
    fn add(&mut self, namespace: &str, labels: Labels) -> bool {
        let told = owned(self.mentioned.told(&labels));
        if !self.known.insert((namespace.to_owned(), told)) {
            return false;
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
        true
    }

    /// The namespace that a selector of pods is for: that of its policy, those that a selector names, or one that is not there
    /// yet for each way to meet it.
    fn within(&mut self, own: &str, selector: Option<&Selector>) -> Vec<String> {
        let Some(selector) = selector else {
            return vec![own.to_owned()];
        };
        let named: Vec<String> = self
            .examples(selector)
            .into_iter()
            .map(|labels| self.namespace(labels))
            .collect();
        let meets = |name: &String| selector.matches(&self.namespaces[name]);
        named.into_iter().filter(meets).collect()
    }

    /// The namespace that is called so in these labels, or else one that has them.
    fn namespace(&mut self, mut labels: Labels) -> String {
        // A name that no selector names is no name that a namespace should have for that.
        let any = self.mentioned.other_value(NAMESPACE_NAME_LABEL);
        let called = labels.remove(NAMESPACE_NAME_LABEL);
        let called = called.filter(|name| !name.is_empty() && *name != any);
        let name = called.unwrap_or_else(|| name(&labels));
        let known = self.namespaces.entry(name.clone()).or_insert(labels);
        known.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
        name
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

    /// Labels that a selector leaves out for one of them: of each key that may not have a value, or may not be there, with that value
    /// or there.
    fn beside(&self, selector: &Selector) -> Vec<Labels> {
        let Some(selected) = self.examples(selector).into_iter().next() else {
            return Vec::new();
        };
        let mut beside = Vec::new();
        for requirement in selector.requirements() {
            let with = |value: String| {
                let mut labels = selected.clone();
                labels.insert(requirement.key.clone(), value);
                labels
            };
            match &requirement.test {
                Test::NotIn(values) => beside.extend(values.iter().cloned().map(with)),
                Test::DoesNotExist => beside.push(with(self.mentioned.other_value(&requirement.key))),
                Test::In(_) | Test::Exists => {}
            }
        }
        beside
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

/// The pods that policies isolate in a direction, by namespace and selector.
fn isolated(set: &PolicySet, direction: Direction) -> BTreeSet<(&str, &Selector)> {
    let isolating = set.iter().filter(|policy| policy.rules(direction).is_some());
    isolating
        .map(|policy| (policy.namespace.as_str(), &policy.subject))
        .collect()
}

/// The labels that every pod of a selector has.
fn fixed(selector: &Selector) -> Labels {
    let fixed = selector.requirements().iter().filter_map(|one| match &one.test {
        Test::In(values) => Some((one.key.clone(), values.only()?.clone())),
        Test::NotIn(_) | Test::Exists | Test::DoesNotExist => None,
    });
    fixed.collect()
}

fn owned(told: Told<'_>) -> OwnedTold {
    let owned = |(key, value): (&str, Option<&str>)| (key.to_owned(), value.map(str::to_owned));
    told.into_iter().map(owned).collect()
}
