//! The resources that the server knows, and how a path names one.

/// A resource of the Kubernetes API.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Name in paths.
    pub plural: &'static str,
    /// `kind` of its objects.
    pub kind: &'static str,
    /// Whether its objects stand in namespaces.
    pub namespaced: bool,
}

const fn resource(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
) -> Resource {
    Resource {
        group,
        version,
        plural,
        kind,
        namespaced,
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// Every resource there is.
pub const RESOURCES: &[Resource] = &[
    resource("", "v1", "configmaps", "ConfigMap", true),
    resource("", "v1", "events", "Event", true),
    resource("", "v1", "namespaces", "Namespace", false),
    resource("", "v1", "nodes", "Node", false),
    resource("", "v1", "pods", "Pod", true),
    resource("", "v1", "secrets", "Secret", true),
    resource("", "v1", "serviceaccounts", "ServiceAccount", true),
    resource("", "v1", "services", "Service", true),
    resource("apps", "v1", "daemonsets", "DaemonSet", true),
    resource("apps", "v1", "deployments", "Deployment", true),
    resource("apps", "v1", "replicasets", "ReplicaSet", true),
    resource("apps", "v1", "statefulsets", "StatefulSet", true),
    resource("batch", "v1", "cronjobs", "CronJob", true),
    resource("batch", "v1", "jobs", "Job", true),
    resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        false,
    ),
    resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
    resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true),
    resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", false),
    resource(RBAC, "v1", "clusterroles", "ClusterRole", false),
    resource(RBAC, "v1", "rolebindings", "RoleBinding", true),
    resource(RBAC, "v1", "roles", "Role", true),
];

impl Resource {
    /// `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            return self.version.to_owned();
        }
        format!("{}/{}", self.group, self.version)
    }

    /// The resource whose objects have this `apiVersion` and `kind`.
    #[must_use]
    pub fn of_object(api_version: &str, kind: &str) -> Option<&'static Self> {
        RESOURCES
            .iter()
            .find(|known| known.kind == kind && known.api_version() == api_version)
    }
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Of which resource.
    pub resource: &'static Resource,
    /// In which namespace; `None` for all of them, or for a resource that has none.
    pub namespace: Option<String>,
    /// Which object; `None` for the collection.
    pub name: Option<String>,
    /// Which part of it, such as `status`.
    pub subresource: Option<String>,
}

impl Target {
    /// Reads `/api/v1/...` and `/apis/GROUP/VERSION/...`.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let find = |plural: &str| {
            RESOURCES
                .iter()
                .find(|known| known.group == group && known.version == version && known.plural == plural)
        };
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, plural, rest @ ..] if find(plural).is_some_and(|known| known.namespaced) => {
                (Some((*namespace).to_owned()), [&[*plural], rest].concat())
            }
            rest => (None, rest.to_vec()),
        };
        let [plural, rest @ ..] = rest.as_slice() else {
            return None;
        };
        let text = |at: usize| rest.get(at).map(|part| (*part).to_owned());
        (rest.len() <= 2).then_some(Self {
            resource: find(plural)?,
            namespace,
            name: text(0),
            subresource: text(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    fn parsed(path: &str) -> Option<(&'static str, [Option<String>; 3])> {
        let Target {
            resource,
            namespace,
            name,
            subresource,
        } = Target::parse(path)?;
        Some((resource.kind, [namespace, name, subresource]))
    }

    #[test]
    fn paths_name_collections_objects_and_parts() {
        let some = |text: &str| Some(text.to_owned());
        for (path, kind, parts) in [
            ("/api/v1/pods", "Pod", [None, None, None]),
            (
                "/api/v1/namespaces/shop/pods/web/exec",
                "Pod",
                [some("shop"), some("web"), some("exec")],
            ),
            ("/api/v1/namespaces/shop", "Namespace", [None, some("shop"), None]),
            (
                "/api/v1/namespaces/shop/status",
                "Namespace",
                [None, some("shop"), some("status")],
            ),
            (
                "/apis/apps/v1/namespaces/shop/daemonsets",
                "DaemonSet",
                [some("shop"), None, None],
            ),
        ] {
            assert_eq!(parsed(path), Some((kind, parts)), "{path}");
        }
        for path in [
            "/",
            "/apis/apps/v2/daemonsets",
            "/api/v1/daemonsets",
            "/version",
            "/api/v1/pods/a/b/c",
        ] {
            assert_eq!(parsed(path), None, "{path}");
        }
    }
}
