//! What objects of all kinds have in common.
//!
//! Source: Kubernetes `apimachinery/pkg/apis/meta/v1` (v1.36): ObjectMeta, LabelSelector, LabelSelectorRequirement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::policy::model::Policy;
use crate::policy::select::{Requirement, Selector, Test};

/// An object of the API with its spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Object<S> {
    /// `group/version`.
    pub api_version: String,
    /// The kind as that group calls it.
    pub kind: String,
    /// Name, namespace and labels.
    pub metadata: Metadata,
    /// What it says.
    pub spec: S,
}

/// The part of ObjectMeta that we write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `None` for kinds without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// Of an object in a namespace.
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            namespace: Some(policy.namespace.clone()),
            ..Self::of_cluster(policy.name.clone())
        }
    }

    /// Of an object that is in no namespace.
    pub(super) fn of_cluster(name: String) -> Self {
        let managed = ("app.kubernetes.io/managed-by".to_owned(), "flowtape".to_owned());
        Self {
            name,
            namespace: None,
            labels: BTreeMap::from([managed]),
            annotations: BTreeMap::new(),
        }
    }
}

/// LabelSelector. `{}` selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Keys with the one value that they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Everything else that is required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
}

/// LabelSelectorRequirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// The label key.
    pub key: String,
    /// What is asked of it.
    pub operator: Operator,
    /// The values of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// LabelSelectorOperator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// The value is one of these.
    In,
    /// The key is absent, or the value none of these.
    NotIn,
    /// The key is there.
    Exists,
    /// The key is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Adds the requirements of `selector`, with each key as `key` has it. One value for a key is a label; a second
    /// requirement on the same key needs an expression.
    pub(super) fn require(&mut self, selector: &Selector, key: impl Fn(&str) -> String) {
        for Requirement { key: name, test } in selector.requirements() {
            let name = key(name);
            let (operator, values) = match test {
                Test::In(values) => match values.only() {
                    Some(value) if !self.match_labels.contains_key(&name) => {
                        self.match_labels.insert(name, value.clone());
                        continue;
                    }
                    Some(_) | None => (Operator::In, values.iter().cloned().collect()),
                },
                Test::NotIn(values) => (Operator::NotIn, values.iter().cloned().collect()),
                Test::Exists => (Operator::Exists, Vec::new()),
                Test::DoesNotExist => (Operator::DoesNotExist, Vec::new()),
            };
            self.match_expressions.push(Expression {
                key: name,
                operator,
                values,
            });
        }
    }
}

impl From<&Selector> for LabelSelector {
    fn from(selector: &Selector) -> Self {
        let mut labels = Self::default();
        labels.require(selector, str::to_owned);
        labels
    }
}
