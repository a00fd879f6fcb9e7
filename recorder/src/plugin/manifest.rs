//! Everything that stands in a cluster while it is recorded. The one source of what the plugin creates, of what
//! `--print-manifests` prints, and of the kustomize base in `recorder/deploy`.

mod pod;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, Deployment, DeploymentSpec, DeploymentStrategy,
};
use k8s_openapi::api::core::v1::{Namespace, PodTemplateSpec, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::Value;

use crate::watch::{VERBS, WATCHED};

/// Label of everything that belongs to one run; its value is the run's id.
pub const RUN_LABEL: &str = "flowtape.run";

/// Label that tells the recorders of nodes from the watcher.
pub const ROLE_LABEL: &str = "app.kubernetes.io/component";

/// Value of [`ROLE_LABEL`] on the pod of a node.
pub const NODE_ROLE: &str = "node";

/// Value of [`ROLE_LABEL`] on the pod that follows the API.
pub const WATCHER_ROLE: &str = "watcher";

/// Label and value of everything of ours, the namespace included.
pub const OURS: (&str, &str) = ("app.kubernetes.io/managed-by", "flowtape");

/// Label and value of everything that runs create, less the namespace.
pub const APP: (&str, &str) = ("app.kubernetes.io/name", "flowtape-recorder");

/// Where a pod keeps its tape.
pub const TAPE: &str = "/tape";

/// The program in the image.
pub const PROGRAM: &str = "/flowtape-recorder";

/// Name of the container of either pod.
pub const CONTAINER: &str = "recorder";

/// An image, named by the hash of its content: every node runs the same bytes, and what ran can be said later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(String);

/// A text that names no image by its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name an image by its content; expected NAME@sha256:DIGEST with 64 hexadecimal digits")]
pub struct ImageError(String);

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_named = text.split_once("@sha256:").is_some_and(|(name, digest)| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./:-_".contains(&byte);
            !name.is_empty() && name.bytes().all(plain) && digest.len() == 64 && digest.bytes().all(is_hexadecimal)
        });
        if is_named {
            Ok(Self(text.to_owned()))
        } else {
            Err(ImageError(text.to_owned()))
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What differs from one run to the next.
#[derive(Clone, Debug)]
pub struct Run {
    /// Tells this run's objects from those of another at the same time.
    pub id: String,
    /// Namespace of everything that stands in one.
    pub namespace: String,
    /// The image of both pods, as it stands in the manifest.
    pub image: String,
    /// When a recorder ends by itself, if nobody ends it; none for a run that somebody always ends.
    pub limit: Option<Duration>,
    /// Size of a node's tape at most, in bytes.
    pub max_size: u64,
    /// Namespaces that the watcher is limited to; none for all.
    pub namespaces: Vec<String>,
    /// Further arguments of `flowtape-recorder record`.
    pub arguments: Vec<String>,
}

impl Run {
    /// Selects the run's objects.
    #[must_use]
    pub fn selector(&self) -> String {
        format!("{RUN_LABEL}={}", self.id)
    }

    /// Name of the objects of a role.
    #[must_use]
    pub fn name(&self, role: &str) -> String {
        format!("flowtape-{role}-{}", self.id)
    }

    fn metadata(&self, role: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name(role)),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels(role)),
            ..ObjectMeta::default()
        }
    }

    /// For what stands in no namespace.
    fn cluster_metadata(&self, role: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: None,
            ..self.metadata(role)
        }
    }

    fn labels(&self, role: &str) -> BTreeMap<String, String> {
        labels(&[OURS, APP, (ROLE_LABEL, role), (RUN_LABEL, &self.id)])
    }

    fn template(&self, role: &str, spec: k8s_openapi::api::core::v1::PodSpec) -> (LabelSelector, PodTemplateSpec) {
        let selector = LabelSelector {
            match_labels: Some(labels(&[(ROLE_LABEL, role), (RUN_LABEL, &self.id)])),
            ..LabelSelector::default()
        };
        let metadata = ObjectMeta {
            labels: Some(self.labels(role)),
            ..ObjectMeta::default()
        };
        let template = PodTemplateSpec {
            metadata: Some(metadata),
            spec: Some(spec),
        };
        (selector, template)
    }
}

/// The namespace, and after it everything else in the order of its creation.
#[must_use]
pub fn objects(run: &Run) -> Vec<Value> {
    vec![
        document(&namespace(run)),
        document(&service_account(run, NODE_ROLE)),
        document(&service_account(run, WATCHER_ROLE)),
        document(&cluster_role(run)),
        document(&cluster_role_binding(run)),
        document(&deployment(run)),
        document(&daemon_set(run)),
    ]
}

fn document(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).expect("an object of the API has text keys only")
}

/// The recorder of a node needs what only the level `privileged` admits: its three capabilities, the node's processes,
/// and two directories of the node (Kubernetes "Pod Security Standards").
fn namespace(run: &Run) -> Namespace {
    let levels = ["enforce", "audit", "warn"].map(|mode| (format!("pod-security.kubernetes.io/{mode}"), "privileged"));
    let mut all = labels(&[OURS]);
    all.extend(levels.map(|(label, level)| (label, level.to_owned())));
    Namespace {
        metadata: ObjectMeta {
            name: Some(run.namespace.clone()),
            labels: Some(all),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

fn service_account(run: &Run, role: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: run.metadata(role),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// What the watcher follows and how, and nothing else: never Secrets or ConfigMaps.
fn cluster_role(run: &Run) -> ClusterRole {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in &WATCHED {
        groups.entry(resource.group).or_default().push(resource.plural);
    }
    let rules = groups.into_iter().map(|(group, mut resources)| {
        resources.sort_unstable();
        PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(texts(&resources)),
            verbs: texts(&VERBS),
            ..PolicyRule::default()
        }
    });
    ClusterRole {
        metadata: run.cluster_metadata(WATCHER_ROLE),
        rules: Some(rules.collect()),
        ..ClusterRole::default()
    }
}

fn cluster_role_binding(run: &Run) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: run.cluster_metadata(WATCHER_ROLE),
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "ClusterRole".to_owned(),
            name: run.name(WATCHER_ROLE),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: run.name(WATCHER_ROLE),
            namespace: Some(run.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

fn daemon_set(run: &Run) -> DaemonSet {
    let (selector, template) = run.template(NODE_ROLE, pod::of_node(run));
    DaemonSet {
        metadata: run.metadata(NODE_ROLE),
        spec: Some(DaemonSetSpec {
            selector,
            template,
            // A pod that was replaced would take its half of the window with it.
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..DaemonSetUpdateStrategy::default()
            }),
            ..DaemonSetSpec::default()
        }),
        ..DaemonSet::default()
    }
}

fn deployment(run: &Run) -> Deployment {
    let (selector, template) = run.template(WATCHER_ROLE, pod::of_watcher(run));
    Deployment {
        metadata: run.metadata(WATCHER_ROLE),
        spec: Some(DeploymentSpec {
            replicas: Some(1),
            selector,
            template,
            strategy: Some(DeploymentStrategy {
                type_: Some("Recreate".to_owned()),
                ..DeploymentStrategy::default()
            }),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn an_image_is_named_by_its_content() {
        let digest = "0123456789abcdef".repeat(4);
        for name in ["flowtape", "example.test:5000/a/flowtape-recorder", "flowtape:0.1"] {
            let text = format!("{name}@sha256:{digest}");
            assert_eq!(text.parse::<Image>().unwrap().to_string(), text);
        }
        for text in [
            "flowtape:latest".to_owned(),
            format!("@sha256:{digest}"),
            format!("a b@sha256:{digest}"),
            format!("a@sha256:{}", &digest[1..]),
            format!("a@sha256:{}", digest.to_uppercase()),
            String::new(),
        ] {
            assert!(text.parse::<Image>().is_err(), "{text}");
        }
    }
}
