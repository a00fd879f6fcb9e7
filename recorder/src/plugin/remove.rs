//! Takes back what was created. Everything has the label of its run, so nothing has to be remembered.

use std::time::Duration;

use anyhow::Context as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};

use super::cluster::{Cluster, answered, is_code};
use super::manifest::{APP, OURS, RUN_LABEL};
use crate::output;

/// Everything a run creates but the namespace, what starts pods first.
const KINDS: [(&str, &str); 6] = [
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("v1", "Pod"),
    ("v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
];

/// How long pods and the namespace may take to go, and how often they are looked for.
const PATIENCE: Duration = Duration::from_mins(2);
const PACE: Duration = Duration::from_millis(500);

/// When pods that are still there are taken from the API without waiting for their node, which may be gone.
const FORCE_AFTER: Duration = Duration::from_secs(30);

/// Removes what one run created, or every run, and the namespace if no other run needs it. Goes on after an error, and
/// then gives the first.
pub(super) async fn remove(cluster: &Cluster, run: Option<&str>) -> anyhow::Result<()> {
    let selector = run.map_or_else(every_run, |run| format!("{RUN_LABEL}={run}"));
    let mut first = Ok(());
    for (api_version, kind) in KINDS {
        let removed = remove_kind(&cluster.objects(api_version, kind), kind, &selector).await;
        if first.is_ok() {
            first = removed.with_context(|| format!("cannot remove every {kind} with label {selector}"));
        }
    }
    // Each of these is tried, whatever became of the one before.
    let (pods, namespace) = (wait_for_pods(cluster, &selector).await, remove_namespace(cluster).await);
    first.and(pods).and(namespace)
}

/// Selects what any run created, less the namespace.
fn every_run() -> String {
    format!("{}={}", APP.0, APP.1)
}

/// What is left and how to remove it, for somebody who cannot wait.
pub(super) fn say_what_is_left(cluster: &Cluster, run: &str) {
    output::say(format_args!(
        "left in the cluster: what has the label {RUN_LABEL}={run}. Remove it with\n  kubectl flowtape remove --run {run}\nor with\n  \
         {kubectl} delete daemonsets,deployments,pods,serviceaccounts -n {namespace} -l {RUN_LABEL}={run}\n  \
         {kubectl} delete clusterrolebindings,clusterroles -l {RUN_LABEL}={run}\n  {kubectl} delete namespace {namespace}",
        kubectl = cluster.kubectl,
        namespace = cluster.namespace,
    ));
}

async fn remove_kind(api: &Api<DynamicObject>, kind: &str, selector: &str) -> anyhow::Result<()> {
    let list = ListParams::default().labels(selector);
    if kind == "Pod" {
        // Their grace period is for being collected, which is over.
        let parameters = DeleteParams::default().grace_period(1);
        return answered(api.delete_collection(&parameters, &list)).await.map(drop);
    }
    for object in answered(api.list(&list)).await?.items {
        let name = object.metadata.name.unwrap_or_default();
        match answered(api.delete(&name, &DeleteParams::background())).await {
            Err(error) if !is_code(&error, 404) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Waits until no pod of the run is left, so that "removed" is true when it is said.
async fn wait_for_pods(cluster: &Cluster, selector: &str) -> anyhow::Result<()> {
    let pods = cluster.objects("v1", "Pod");
    let list = ListParams::default().labels(selector);
    let begun = tokio::time::Instant::now();
    let mut is_forced = false;
    loop {
        let left = answered(pods.list(&list))
            .await
            .context("cannot see whether the pods are gone")?
            .items;
        let Some(pod) = left.first() else { return Ok(()) };
        if begun.elapsed() > PATIENCE {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            anyhow::bail!("{} pods are not gone after {PATIENCE:?}, such as `{name}`", left.len());
        }
        if !is_forced && begun.elapsed() > FORCE_AFTER {
            is_forced = true;
            let now = DeleteParams::default().grace_period(0);
            answered(pods.delete_collection(&now, &list)).await?;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Removes the namespace, unless it is not ours or another run is at work in it.
async fn remove_namespace(cluster: &Cluster) -> anyhow::Result<()> {
    let sets = cluster.objects("apps/v1", "DaemonSet");
    let others = answered(sets.list(&ListParams::default().labels(&every_run()))).await;
    if !others
        .context("cannot see whether another run needs the namespace")?
        .items
        .is_empty()
    {
        return Ok(());
    }
    let (namespaces, name) = (cluster.objects("v1", "Namespace"), &cluster.namespace);
    let begun = tokio::time::Instant::now();
    while let Some(found) = answered(namespaces.get_opt(name)).await? {
        let labels = found.metadata.labels.unwrap_or_default();
        if labels.get(OURS.0).map(String::as_str) != Some(OURS.1) {
            return Ok(());
        }
        if found.metadata.deletion_timestamp.is_none() {
            match answered(namespaces.delete(name, &DeleteParams::default())).await {
                Err(error) if !is_code(&error, 404) => {
                    return Err(error).with_context(|| format!("cannot remove namespace `{name}`"));
                }
                Ok(_) | Err(_) => {}
            }
        }
        if begun.elapsed() > PATIENCE {
            anyhow::bail!("namespace `{name}` is being deleted, and not gone after {PATIENCE:?}");
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}
