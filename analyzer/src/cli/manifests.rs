//! Policies as the objects that were asked for: rendered, read back, and with what their kind cannot say.

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::args::generate::Evidence;
use super::failure::Failure;
use crate::findings::{Code, Findings};
use crate::parse::kubernetes::parse;
use crate::policy::landmark::Landmarks;
use crate::policy::model::{Policy, PolicySet};
use crate::render::annotation::annotations;
use crate::render::kind::{self, Effect, Kind, Manifest, Shortfall};

/// How objects are written.
#[derive(Clone, Copy)]
pub(super) struct Writing {
    /// Which kind.
    pub(super) kind: Kind,
    /// How what each rule is for is said.
    pub(super) evidence: Evidence,
    /// Whether the objects are wanted as JSON, too.
    pub(super) json: bool,
}

/// One object as it is written.
pub(super) struct Written {
    /// Namespace of the policy it came from.
    pub(super) namespace: String,
    /// Name of the object.
    pub(super) name: String,
    /// The YAML document.
    pub(super) text: String,
    /// The object as the API has it, where it is wanted.
    pub(super) json: Option<serde_json::Value>,
}

/// The objects of a policy set, by namespace and name of the policies, with what each rule is for. What the kind cannot say is
/// found.
pub(super) fn manifests(
    writing: Writing,
    set: &PolicySet,
    landmarks: &Landmarks,
    findings: &mut Findings,
) -> Result<Vec<Written>, Failure> {
    // Collected in the order of the policies, whatever thread made which.
    let written: Vec<_> = set
        .policies()
        .par_iter()
        .map(|policy| write(writing, policy, landmarks))
        .collect();
    let mut manifests = Vec::new();
    for written in written {
        let (objects, shortfalls) = written?;
        for shortfall in shortfalls {
            let code = match shortfall.effect {
                Effect::Narrower => Code::KindNarrower,
                Effect::Wider => Code::KindWider,
            };
            findings.report(code, format!("{}: {shortfall}", writing.kind.name()));
        }
        manifests.extend(objects);
    }
    Ok(manifests)
}

/// The objects of one policy, and what they cannot say.
fn write(writing: Writing, policy: &Policy, landmarks: &Landmarks) -> Result<(Vec<Written>, Vec<Shortfall>), Failure> {
    let Writing { kind, evidence, json } = writing;
    let rendered = match evidence {
        Evidence::Comments => kind::render(kind, policy, landmarks),
        Evidence::None | Evidence::Annotations => kind::render(kind, &policy.bare(), landmarks),
    };
    let mut rendered = rendered.map_err(|error| Failure::of("cannot write a policy", &error))?;
    if evidence == Evidence::Annotations {
        let annotations = annotations(policy);
        for manifest in &mut rendered.manifests {
            manifest.annotate(&annotations);
        }
    }
    let mut objects = Vec::new();
    for manifest in rendered.manifests {
        let (text, object) = (manifest.text(), json.then(|| manifest.json()).transpose());
        check_reading_back(kind, policy, &manifest, &text);
        objects.push(Written {
            json: object.map_err(|error| Failure::of("cannot write a policy as JSON", &error))?,
            namespace: manifest.namespace,
            name: manifest.name,
            text,
        });
    }
    Ok((objects, rendered.shortfalls))
}

/// What was written must read back as what was meant; anything else is a bug of ours, and never reaches the user as a
/// policy. A NetworkPolicy is read by the parser of policies, objects of other kinds by their own types.
fn check_reading_back(kind: Kind, policy: &Policy, manifest: &Manifest, text: &str) {
    let same = if kind == Kind::NetworkPolicy {
        let read = parse([("generated", text)]);
        read.is_ok_and(|read| matches!(read.set.policies(), [only] if only.says_the_same(policy)))
    } else {
        manifest.reads_back()
    };
    let (namespace, name) = (&manifest.namespace, &manifest.name);
    assert!(same, "{namespace}/{name} does not read back as what was meant");
}

/// All objects as one text of several documents. None are the empty text.
pub(super) fn text(manifests: &[Written]) -> String {
    let documents: Vec<&str> = manifests.iter().map(|one| one.text.as_str()).collect();
    documents.join("---\n")
}

#[cfg(test)]
mod tests {
    use super::check_reading_back;
    use crate::parse::kubernetes::parse;
    use crate::policy::landmark::Landmarks;
    use crate::policy::model::Policy;
    use crate::render::kind::{Kind, render};

    fn policy(port: u16) -> Policy {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: db, namespace: shop}}\n\
             spec: {{podSelector: {{}}, ingress: [{{from: [{{podSelector: {{}}}}], ports: [{{port: {port}}}]}}]}}\n"
        );
        let parsed = parse([("p.yaml", text.as_str())]).unwrap_or_else(|problems| panic!("{problems}"));
        parsed.set.policies()[0].clone()
    }

    /// Checks what is written of one policy against another.
    fn check(written: &Policy, meant: &Policy) {
        let rendered = render(Kind::NetworkPolicy, written, &Landmarks::default()).expect("it can be written");
        let manifest = &rendered.manifests[0];
        check_reading_back(Kind::NetworkPolicy, meant, manifest, &manifest.text());
    }

    #[test]
    fn an_object_reads_as_the_policy_that_it_was_written_of() {
        check(&policy(80), &policy(80));
    }

    /// Which ends the process with 101, see `cli::panic`.
    #[test]
    #[should_panic(expected = "shop/db does not read back as what was meant")]
    fn an_object_that_reads_as_another_policy_is_a_bug() {
        check(&policy(80), &policy(81));
    }
}
