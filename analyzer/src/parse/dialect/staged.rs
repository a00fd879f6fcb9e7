//! `projectcalico.org/v3 StagedKubernetesNetworkPolicy`: a NetworkPolicy with `stagedAction` beside its fields.
//!
//! Source: projectcalico/calico `api/pkg/apis/projectcalico/v3/stagedkubernetesnetworkpolicy.go` (v3.31). Calico evaluates and
//! reports it, and enforces nothing of it.

use std::sync::Arc;

use crate::parse::marked::Node;
use crate::parse::network_policy;
use crate::policy::kind::PolicyKind;
use crate::policy::model::Policy;

use super::Outcome;

/// Reads the object `root`, whose `apiVersion` and `kind` have been checked.
#[must_use]
pub fn read(file: &Arc<str>, root: &Node) -> Outcome {
    let network_policy::Outcome {
        policy,
        problems,
        warnings,
    } = network_policy::staged(file, root);
    Outcome {
        policy: policy.map(|policy| Policy {
            kind: PolicyKind::StagedKubernetesNetworkPolicy,
            ..policy
        }),
        refusals: Vec::new(),
        problems,
        warnings,
    }
}
