//! What is watched.

/// A resource of the Kubernetes API that becomes metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Name in paths and in RBAC rules.
    pub plural: &'static str,
    /// `kind` of its objects.
    pub kind: &'static str,
    /// Whether its objects stand in namespaces.
    pub namespaced: bool,
}

const fn resource(group: &'static str, plural: &'static str, kind: &'static str) -> Resource {
    Resource {
        group,
        version: "v1",
        plural,
        kind,
        namespaced: true,
    }
}

const fn of_cluster(plural: &'static str, kind: &'static str) -> Resource {
    Resource {
        namespaced: false,
        ..resource("", plural, kind)
    }
}

/// Every resource that is watched. The watcher needs the verbs of [`VERBS`] on exactly these, and no other right.
pub const WATCHED: [Resource; 12] = [
    of_cluster("namespaces", "Namespace"),
    of_cluster("nodes", "Node"),
    resource("", "pods", "Pod"),
    resource("", "services", "Service"),
    resource("discovery.k8s.io", "endpointslices", "EndpointSlice"),
    resource("apps", "daemonsets", "DaemonSet"),
    resource("apps", "deployments", "Deployment"),
    resource("apps", "replicasets", "ReplicaSet"),
    resource("apps", "statefulsets", "StatefulSet"),
    resource("batch", "cronjobs", "CronJob"),
    resource("batch", "jobs", "Job"),
    resource("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
];

/// What the watcher does with them.
pub const VERBS: [&str; 2] = ["list", "watch"];

impl Resource {
    /// `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            return self.version.to_owned();
        }
        format!("{}/{}", self.group, self.version)
    }
}

/// The objects that one watch covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) resource: &'static Resource,
    /// The namespace they stand in, or that they are.
    namespace: Option<String>,
}

impl Scope {
    /// What has to be watched for these namespaces; for all of them if none is named.
    pub(super) fn all(namespaces: &[String]) -> Vec<Self> {
        let scopes = |resource: &'static Resource| {
            let everywhere = namespaces.is_empty() || resource.plural == "nodes";
            let wanted: Vec<Option<String>> = if everywhere {
                vec![None]
            } else {
                namespaces.iter().cloned().map(Some).collect()
            };
            wanted.into_iter().map(move |namespace| Self { resource, namespace })
        };
        WATCHED.iter().flat_map(scopes).collect()
    }

    /// Path and first parameters of every request.
    pub(super) fn path(&self) -> String {
        let Resource {
            group, version, plural, ..
        } = *self.resource;
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        match &self.namespace {
            None => format!("{root}/{plural}?"),
            Some(name) if self.resource.namespaced => format!("{root}/namespaces/{name}/{plural}?"),
            Some(name) => format!("{root}/{plural}?fieldSelector=metadata.name%3D{name}&"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, WATCHED};

    #[test]
    fn a_scope_is_a_path() {
        let paths = |namespaces: &[&str]| -> Vec<String> {
            let names: Vec<String> = namespaces.iter().map(|&name| name.to_owned()).collect();
            Scope::all(&names).iter().map(Scope::path).collect()
        };
        let all = paths(&[]);
        assert_eq!(all.len(), WATCHED.len());
        assert_eq!(all[2], "/api/v1/pods?");
        assert_eq!(all[4], "/apis/discovery.k8s.io/v1/endpointslices?");
        let two = paths(&["a", "b"]);
        assert_eq!(two.len(), 2 * WATCHED.len() - 1, "nodes stand in no namespace");
        assert_eq!(two[0], "/api/v1/namespaces?fieldSelector=metadata.name%3Da&");
        assert_eq!(two[4], "/api/v1/namespaces/b/pods?");
    }
}
