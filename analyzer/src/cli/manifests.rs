//! Policies as the objects that were asked for: rendered, read back, and with what their kind cannot say.

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::args::generate::Evidence;
use super::failure::Failure;
use crate::findings::{Code, Findings};
use crate::policy::landmark::Landmarks;
use crate::policy::model::{Policy, PolicySet};
use crate::render::annotation::annotations;
use crate::render::kind::{self, Effect, Kind, Manifest};

/// The objects of a policy set, by namespace and name of the policies, with what each rule is for. What the kind cannot say is
/// found.
pub(super) fn manifests(
    kind: Kind,
    set: &PolicySet,
    landmarks: &Landmarks,
    evidence: Evidence,
    findings: &mut Findings,
) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    let bare = set.bare();
    let render = |policy: &Policy| {
        let shown = match evidence {
            Evidence::Comments => policy,
            Evidence::None | Evidence::Annotations => bare.get(&policy.namespace, &policy.name).unwrap_or(policy),
        };
        kind::render(kind, shown, landmarks)
    };
    // Collected in the order of the policies, whatever thread made which.
    let rendered: Vec<_> = set.policies().par_iter().map(render).collect();
    for (policy, rendered) in set.iter().zip(rendered) {
        let mut rendered = rendered.map_err(|error| Failure::of("cannot write a policy", &error))?;
        for shortfall in rendered.shortfalls {
            let code = match shortfall.effect {
                Effect::Narrower => Code::KindNarrower,
                Effect::Wider => Code::KindWider,
            };
            findings.report(code, format!("{}: {shortfall}", kind.name()));
        }
        if evidence == Evidence::Annotations {
            let annotations = annotations(policy);
            for manifest in &mut rendered.manifests {
                manifest.annotate(&annotations);
            }
        }
        manifests.extend(rendered.manifests);
    }
    // What was written must read back as what was meant; anything else is a bug of ours, and never reaches the user.
    manifests.par_iter().for_each(|manifest| {
        let (namespace, name) = (&manifest.namespace, &manifest.name);
        assert!(
            manifest.reads_back(),
            "{namespace}/{name} does not read back as what was meant"
        );
    });
    Ok(manifests)
}

/// All objects as one text of several documents. None are the empty text.
pub(super) fn text(manifests: &[Manifest]) -> String {
    let documents: Vec<String> = manifests.par_iter().map(Manifest::text).collect();
    documents.join("---\n")
}
