//! The body of `flowtape.generate/v1`.

use serde::Serialize;

/// Body of `flowtape.generate/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Generate {
    /// The policies as Kubernetes objects, by namespace and name.
    pub policies: Vec<serde_json::Value>,
    /// What the policies allow beyond what was recorded, and why.
    pub additions: Vec<Addition>,
}

/// A rule that allows more than was recorded, on purpose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Addition {
    /// Name of the kind of addition, such as `dns` or `published`.
    pub name: String,
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// The rule, such as `egress/1`.
    pub rule: String,
    /// What it allows beyond what was recorded.
    pub message: String,
}
