//! The API server, as far as a run needs it. Every answer has a time limit, and every text from the cluster is cleaned
//! before a terminal sees it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{
    Api, ApiResource, AttachParams, AttachedProcess, DynamicObject, GroupVersionKind, ListParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::cli::ClusterArgs;
use super::manifest::{CONTAINER, NODE_ROLE, OURS, Run};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a program that is executed in a pod may take.
const EXEC_PATIENCE: Duration = Duration::from_secs(90);

/// Room for what a pod sends before somebody reads it, in bytes.
const EXEC_ROOM: usize = 1 << 20;

/// What a run does to the cluster: group, resource, subresource, verbs, and whether that is within the namespace.
const NEEDED: [(&str, &str, &str, &[&str], bool); 9] = [
    ("", "namespaces", "", &["get", "create", "delete"], false),
    ("", "serviceaccounts", "", &["create", "delete", "list"], true),
    ("", "pods", "", &["list", "deletecollection"], true),
    ("", "pods", "exec", &["get", "create"], true),
    ("apps", "daemonsets", "", &["create", "delete", "get", "list"], true),
    ("apps", "deployments", "", &["create", "delete", "list"], true),
    (
        "rbac.authorization.k8s.io",
        "clusterroles",
        "",
        &["create", "delete", "list"],
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "clusterrolebindings",
        "",
        &["create", "delete", "list"],
        false,
    ),
    // Nobody may grant what they may not do; of what the watcher reads, this is what is refused most.
    ("", "nodes", "", &["list", "watch"], false),
];

/// A cluster and the namespace for what is created in it.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    pub(super) namespace: String,
    /// How `kubectl` is called for the same cluster.
    pub(super) kubectl: String,
}

impl Cluster {
    /// Finds the cluster that the arguments name; asks nothing of it yet.
    pub(super) async fn connect(arguments: &ClusterArgs) -> anyhow::Result<Self> {
        let options = KubeConfigOptions {
            context: arguments.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &arguments.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file)
                    .with_context(|| format!("cannot read the kubeconfig `{}`", file.display()))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let config = config.context("the kubeconfig leads to no cluster; see --kubeconfig and --context")?;
        let flag =
            |name: &str, value: Option<String>| value.map(|value| format!(" --{name} {value}")).unwrap_or_default();
        let kubectl = [
            "kubectl".to_owned(),
            flag(
                "kubeconfig",
                arguments.kubeconfig.as_ref().map(|file| file.display().to_string()),
            ),
            flag("context", arguments.context.clone()),
        ]
        .concat();
        Ok(Self {
            client: Client::try_from(config).context("cannot speak with the cluster")?,
            namespace: arguments.namespace.clone(),
            kubectl,
        })
    }

    /// What the user may not do, of all that a run does; asked before anything is created.
    pub(super) async fn missing_permissions(&self) -> anyhow::Result<Vec<String>> {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let mut missing = Vec::new();
        for (group, resource, subresource, verbs, in_namespace) in NEEDED {
            for verb in verbs {
                let attributes = ResourceAttributes {
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
                    verb: Some((*verb).to_owned()),
                    namespace: in_namespace.then(|| self.namespace.clone()),
                    ..ResourceAttributes::default()
                };
                let review = SelfSubjectAccessReview {
                    spec: SelfSubjectAccessReviewSpec {
                        resource_attributes: Some(attributes),
                        ..SelfSubjectAccessReviewSpec::default()
                    },
                    ..SelfSubjectAccessReview::default()
                };
                let parameters = PostParams::default();
                let answer = answered(reviews.create(&parameters, &review)).await;
                let answer = answer.context("cannot ask the API server what you may do")?;
                if !answer.status.is_some_and(|status| status.allowed) {
                    let part = if subresource.is_empty() {
                        String::new()
                    } else {
                        format!("/{subresource}")
                    };
                    missing.push(format!("{verb} {resource}{part}"));
                }
            }
        }
        Ok(missing)
    }

    /// Refuses a namespace that somebody else made.
    pub(super) async fn check_namespace(&self) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = answered(namespaces.get_opt(&self.namespace)).await;
        let found = found.with_context(|| format!("cannot look for namespace `{}`", self.namespace))?;
        let Some(found) = found else { return Ok(()) };
        if found.metadata.deletion_timestamp.is_some() {
            bail!(
                "namespace `{}` is being deleted; try again when it is gone",
                self.namespace
            );
        }
        if found
            .metadata
            .labels
            .unwrap_or_default()
            .get(OURS.0)
            .map(String::as_str)
            != Some(OURS.1)
        {
            bail!(
                "namespace `{}` exists and lacks the label {}={}; name another one with --namespace",
                self.namespace,
                OURS.0,
                OURS.1
            );
        }
        Ok(())
    }

    /// The objects of a kind, in the namespace if they stand in one.
    pub(super) fn objects(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        if matches!(kind, "Namespace" | "ClusterRole" | "ClusterRoleBinding") {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        }
    }

    /// Creates an object. A namespace may be there already.
    pub(super) async fn create(&self, object: &Value) -> anyhow::Result<()> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let typed = serde_json::from_value(object.clone()).context("an object without a kind")?;
        let api = self.objects(api_version, kind);
        let parameters = PostParams::default();
        match answered(api.create(&parameters, &typed)).await {
            Err(error) if kind == "Namespace" && is_code(&error, 409) => Ok(()),
            created => created
                .map(drop)
                .with_context(|| format!("cannot create {kind} `{name}`")),
        }
    }

    /// The pods that a label selects.
    pub(super) async fn pods(&self, selector: &str) -> anyhow::Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let parameters = ListParams::default().labels(selector);
        Ok(answered(pods.list(&parameters))
            .await
            .context("cannot list the pods of the run")?
            .items)
    }

    /// How many nodes should have a pod; `None` until the cluster has decided.
    pub(super) async fn desired(&self, run: &Run) -> anyhow::Result<Option<usize>> {
        let sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = run.name(NODE_ROLE);
        let set = answered(sets.get(&name))
            .await
            .with_context(|| format!("cannot look at DaemonSet `{name}`"))?;
        let status = set.status.filter(|status| status.observed_generation.is_some());
        Ok(status.and_then(|status| usize::try_from(status.desired_number_scheduled).ok()))
    }

    /// Starts a program in a pod with its streams.
    pub(super) async fn attach(&self, pod: &str, command: &[&str], stdin: bool) -> anyhow::Result<AttachedProcess> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let parameters = AttachParams::default()
            .container(CONTAINER)
            .stdin(stdin)
            .stdout(true)
            .stderr(!stdin)
            .max_stdout_buf_size(EXEC_ROOM);
        answered(pods.exec(pod, command.iter().copied(), &parameters))
            .await
            .with_context(|| format!("cannot execute in pod `{pod}`"))
    }

    /// Runs a program in a pod and gives what it prints.
    pub(super) async fn output(&self, pod: &str, command: &[&str]) -> anyhow::Result<String> {
        let mut process = self.attach(pod, command, false).await?;
        let status = process.take_status().context("no status")?;
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let read = async {
            let (mut said, mut complained) = (String::new(), String::new());
            // One after the other: both fit into their room.
            if let Some(stdout) = stdout {
                stdout.take(EXEC_ROOM as u64).read_to_string(&mut said).await?;
            }
            if let Some(stderr) = stderr {
                stderr.take(1 << 10).read_to_string(&mut complained).await?;
            }
            Ok::<_, std::io::Error>((said, complained, status.await))
        };
        let read = tokio::time::timeout(EXEC_PATIENCE, read).await;
        let (said, complained, status) = read.context("no answer from the pod")?.context("the stream broke")?;
        match status.and_then(|status| status.status) {
            Some(word) if word == "Success" => Ok(said),
            _ => bail!(
                "`{}` failed in pod `{pod}`: {}",
                command.join(" "),
                clean(complained.trim())
            ),
        }
    }
}

/// An answer within the time limit.
pub(super) async fn answered<T>(asked: impl Future<Output = Result<T, kube::Error>>) -> anyhow::Result<T> {
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    match answer.with_context(|| format!("no answer within {PATIENCE:?}"))? {
        Err(kube::Error::Api(status)) => Err(Refusal {
            code: status.code,
            message: clean(&status.message),
        }
        .into()),
        other => Ok(other?),
    }
}

/// What the API server said instead of doing it.
#[derive(Debug, thiserror::Error)]
#[error("the API server answered {code}: {message}")]
struct Refusal {
    code: u16,
    message: String,
}

/// Whether the API server answered with this code.
pub(super) fn is_code(error: &anyhow::Error, code: u16) -> bool {
    error
        .downcast_ref::<Refusal>()
        .is_some_and(|refusal| refusal.code == code)
}

/// A text of the cluster without what moves a terminal, and not longer than a line or two.
pub(super) fn clean(text: &str) -> String {
    let visible = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().take(300).map(visible).collect()
}
