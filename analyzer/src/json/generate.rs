//! The body of `flowtape.generate/v1`.

use serde::Serialize;

use super::proof::Proof;
use crate::enforcer::Difference;

/// Body of `flowtape.generate/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Generate {
    /// The policies as Kubernetes objects, by namespace and name.
    pub policies: Vec<serde_json::Value>,
    /// What the policies allow beyond what was recorded, and why.
    pub additions: Vec<Addition>,
    /// What is proved of the policies.
    pub proof: Proof,
    /// Rules that network plugins read differently from the API's text.
    pub enforcers: Vec<Enforcer>,
    /// What changed in the directory that they were merged into, with `--into`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
}

/// One thing that a merge changed, or found and left alone.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// `created`, `renamed`, `selector`, `direction`, `added`, `marked`, `still-marked`, `unmarked`, `pruned` or `partly`.
    pub change: String,
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// The rule as it stood before, such as `ingress/0`, or the direction of a new one.
    pub rule: Option<String>,
    /// The file below the directory.
    pub file: String,
    /// The line in it before the merge; 0 for a new file.
    pub line: usize,
    /// What it is about.
    pub message: String,
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
    /// Which of its peers, in words.
    pub peer: String,
    /// Which of its ports, such as `53/TCP`.
    pub port: String,
    /// What it allows beyond what was recorded.
    pub message: String,
}

/// Rules that a network plugin reads differently, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enforcer {
    /// The plugin, as `--cni` takes it.
    pub cni: &'static str,
    /// A stable word for what it reads differently.
    pub aspect: &'static str,
    /// What that means for the rules.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// The rules, such as `shop/web egress/0`.
    pub rules: Vec<String>,
}

impl From<&Difference> for Enforcer {
    fn from(difference: &Difference) -> Self {
        let Difference { profile, aspect, rules } = difference;
        Self {
            cni: profile.word(),
            aspect: aspect.word(),
            meaning: aspect.meaning(),
            remedy: aspect.remedy(*profile),
            rules: rules.clone(),
        }
    }
}
