//! Labels and label selectors.
//!
//! Semantics: Kubernetes API `meta/v1 LabelSelector`: all requirements hold at once; a selector without requirements
//! matches everything. `NotIn` and `DoesNotExist` hold for objects that lack the key.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::one_or_more::OneOrMore;
use crate::sorted::Sorted;

/// The labels of a pod or a namespace.
pub type Labels = BTreeMap<String, String>;

/// What a requirement asks of the value of its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// The key is present and its value is one of these. One value is what `matchLabels` says.
    In(OneOrMore<String>),
    /// The key is absent, or its value is none of these.
    NotIn(OneOrMore<String>),
    /// The key is present, with any value.
    Exists,
    /// The key is absent.
    DoesNotExist,
}

/// One condition on one label key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// The label key.
    pub key: String,
    /// What is asked of it.
    pub test: Test,
}

impl Requirement {
    /// `key` has exactly `value`, as in `matchLabels`.
    pub fn equals(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            test: Test::In(OneOrMore::one(value.into())),
        }
    }

    /// Whether an object with these labels meets the requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
        }
    }
}

/// A label selector in canonical form: a sorted set of requirements, `matchLabels` entries being `In` with one value. Clones
/// share it: the selector of a workload stands in the rules of all its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    requirements: Arc<[Requirement]>,
}

impl Selector {
    /// The selector `{}`: matches every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// The selector that all `requirements` together make.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let requirements: Sorted<Requirement> = requirements.into_iter().collect();
        Self {
            requirements: requirements.into_iter().collect(),
        }
    }

    /// The selector whose `matchLabels` are `labels`. Empty labels select everything, as in the API.
    pub fn from_labels<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::new(labels.into_iter().map(|(key, value)| Requirement::equals(key, value)))
    }

    /// The requirements in ascending order.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether this is `{}`.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}
