//! Labels that do not stay, so that no selector may rest on them.

/// Keys that controllers put on the pods of one revision, run or pod, each with who does.
const CONTROLLED: [&str; 29] = [
    // Kubernetes 1.36, Deployment controller: `apps/v1` DefaultDeploymentUniqueLabelKey.
    "pod-template-hash",
    // StatefulSet and DaemonSet controllers: `apps/v1` ControllerRevisionHashLabelKey, and its predecessor.
    "controller-revision-hash",
    "pod-template-generation",
    // StatefulSet controller: `apps/v1` StatefulSetPodNameLabel, PodIndexLabel.
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    // Job controller: `batch/v1` ControllerUidLabel, JobNameLabel and their predecessors, JobCompletionIndexAnnotation.
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/job-completion-index",
    "controller-uid",
    "job-name",
    // Argo Rollouts, `pkg/apis/rollouts/v1alpha1`: DefaultRolloutUniqueLabelKey.
    "rollouts-pod-template-hash",
    // Argo Workflows, `workflow/common`: the name of one run, and whether it ended.
    "workflows.argoproj.io/workflow",
    "workflows.argoproj.io/completed",
    // OpenKruise, `apis/apps`: CloneSetInstanceID, LifecycleStateKey.
    "apps.kruise.io/cloneset-instance-id",
    "lifecycle.apps.kruise.io/state",
    // Tekton Pipelines, `pkg/apis/pipeline/register.go`: one run of a task or of a pipeline.
    "tekton.dev/taskRun",
    "tekton.dev/taskRunUID",
    "tekton.dev/pipelineRun",
    "tekton.dev/pipelineRunUID",
    // Knative Serving, `pkg/apis/serving/register.go`: one revision of a Service.
    "serving.knative.dev/revision",
    "serving.knative.dev/revisionUID",
    // Spark, `deploy/k8s/Constants.scala`: the identifier of one run, and of one executor in it.
    "spark-app-selector",
    "spark-exec-id",
    // CloudNativePG, `pkg/utils/labels_annotations.go`: one instance, and what it is until the next failover.
    "cnpg.io/instanceName",
    "cnpg.io/instanceRole",
    // JobSet, `api/jobset/v1alpha2`: how often it was started anew, and the identifier of one Job.
    "jobset.sigs.k8s.io/restart-attempt",
    "jobset.sigs.k8s.io/job-key",
    // Kubeflow Training Operator, `pkg/apis/kubeflow.org/v1`: the place of one pod.
    "training.kubeflow.org/replica-index",
    // OpenShift builds, `build/v1` BuildLabel: the name of one build.
    "openshift.io/build.name",
];

/// Keys that people and their tools set to something else with each release. Whoever selects by one of them chose it, and
/// knows.
const RELEASED: [&str; 4] = [
    // Kubernetes, recommended labels: the current version of the application.
    "app.kubernetes.io/version",
    // Helm, chart best practices: name and version of the chart, and the key that charts before Helm 3 use for it.
    "helm.sh/chart",
    "chart",
    // OpenShift deployment configurations, `apps/v1` DeploymentLabel: the name of one revision. On what `oc new-app` makes
    // it is the name of the application, and the Deployment selects by it.
    "deployment",
];

/// Whether a label of pods changes with a revision, run, pod or release.
#[must_use]
pub fn is_volatile(key: &str) -> bool {
    is_controlled(key) || RELEASED.contains(&key)
}

/// Whether a controller put a key there, be it into a selector, for one revision, run or pod.
pub(super) fn is_controlled(key: &str) -> bool {
    CONTROLLED.contains(&key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{CONTROLLED, RELEASED};
    use crate::policy::names;

    #[test]
    fn every_key_is_one_that_an_api_server_takes_and_is_there_once() {
        let keys: BTreeSet<&str> = CONTROLLED.into_iter().chain(RELEASED).collect();
        assert_eq!(keys.len(), CONTROLLED.len() + RELEASED.len());
        for key in keys {
            assert_eq!(names::label_key_fault(key), None, "{key}");
        }
    }
}
