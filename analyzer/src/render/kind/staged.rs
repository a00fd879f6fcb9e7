//! `projectcalico.org/v3 StagedKubernetesNetworkPolicy`: a NetworkPolicy that Calico evaluates and reports, and does not
//! enforce.
//!
//! Source: projectcalico/calico `api/pkg/apis/projectcalico/v3/stagedkubernetesnetworkpolicy.go` (v3.31): the spec is that of
//! `networking.k8s.io/v1 NetworkPolicy` with `stagedAction` beside it, so it can say everything that a policy set says.

use super::{KindError, Manifest, Rendered};
use crate::policy::model::Policy;
use crate::render::kubernetes;
use crate::render::yaml::{self, Tree};

pub(super) fn render(policy: &Policy) -> Result<Rendered, KindError> {
    let mut tree = kubernetes::tree(policy)?;
    if let Tree::Map(fields) = &mut tree {
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("apiVersion", value) => *value = Tree::Text("projectcalico.org/v3".to_owned()),
                ("kind", value) => *value = Tree::Text("StagedKubernetesNetworkPolicy".to_owned()),
                ("spec", Tree::Map(spec)) => {
                    spec.insert(0, ("stagedAction".to_owned(), Tree::Text("Set".to_owned())));
                }
                _ => {}
            }
        }
    }
    let manifest = Manifest {
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        notes: policy.notes.clone(),
        tree,
        read_back: yaml::json,
    };
    Ok(Rendered {
        manifests: vec![manifest],
        shortfalls: Vec::new(),
    })
}
