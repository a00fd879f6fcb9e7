//! Which labels of pods Cilium can select by.

/// What the key of a label that is no part of an identity begins with, unless configured otherwise.
const IGNORED: [&str; 12] = [
    "io.kubernetes",
    "kubernetes.io",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    "k8s.io",
    "pod-template-generation",
    "pod-template-hash",
    "controller-revision-hash",
    "annotation",
    "etcd_node",
];

/// Whether Cilium makes a label part of the identity of its pod where its label filter is the default one.
///
/// Source: cilium/cilium `pkg/labelsfilter/filter.go`, `defaultLabelPrefixCfg` (v1.18): patterns that match at the
/// beginning of a key.
#[must_use]
pub fn selects(key: &str) -> bool {
    let ignored = IGNORED.iter().any(|prefix| key.starts_with(prefix)) || key.contains("beta.kubernetes.io");
    !ignored
}

#[cfg(test)]
mod tests {
    use super::selects;

    #[test]
    fn what_changes_with_every_pod_is_no_part_of_an_identity() {
        for key in ["app", "app.kubernetes.io/name", "k8s-app", "example.com/k8s.io"] {
            assert!(selects(key), "{key}");
        }
        for key in [
            "pod-template-hash",
            "kubernetes.io/arch",
            "x.beta.kubernetes.io/y",
            "annotation.foo",
        ] {
            assert!(!selects(key), "{key}");
        }
    }
}
