//! The allow-list: what is read of each kind, and nothing else.
//!
//! Shapes follow the Kubernetes API reference (core/v1, apps/v1, batch/v1, discovery.k8s.io/v1, v1.33). Unknown fields
//! are skipped by serde without being kept.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::time::Time;

type Labels = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) uid: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) labels: Labels,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) annotations: Labels,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) owner_references: Vec<OwnerReference>,
    pub(super) resource_version: Option<String>,
    pub(super) creation_timestamp: Option<Time>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerReference {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
    #[serde(default)]
    pub(super) controller: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object<Spec, Status> {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) status: Status,
}

/// An object of any kind, as far as every kind has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnyObject {
    #[serde(default)]
    pub(super) api_version: String,
    #[serde(default)]
    pub(super) kind: String,
    pub(super) metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
    pub(super) host_network: bool,
    pub(super) service_account_name: Option<String>,
    pub(super) runtime_class_name: Option<String>,
    pub(super) containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) init_containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) ephemeral_containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    #[serde(default)]
    pub(super) image: String,
    pub(super) restart_policy: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) ports: Vec<Port>,
    pub(super) liveness_probe: Option<ProbeSpec>,
    pub(super) readiness_probe: Option<ProbeSpec>,
    pub(super) startup_probe: Option<ProbeSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Port {
    pub(super) name: Option<String>,
    pub(super) container_port: u16,
    #[serde(default = "tcp")]
    pub(super) protocol: String,
    pub(super) host_port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProbeSpec {
    pub(super) http_get: Option<ProbePort>,
    pub(super) tcp_socket: Option<ProbePort>,
    pub(super) grpc: Option<ProbePort>,
}

#[derive(Deserialize)]
pub(super) struct ProbePort {
    pub(super) port: PortReference,
}

/// A number or the name of a container port (`IntOrString`).
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum PortReference {
    Number(u16),
    Name(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "null_is_empty")]
    pub(super) pod_ips: Vec<Ip>,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: Option<String>,
    #[serde(rename = "hostIPs", deserialize_with = "null_is_empty")]
    pub(super) host_ips: Vec<Ip>,
    pub(super) start_time: Option<Time>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
pub(super) struct Ip {
    #[serde(default)]
    pub(super) ip: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    #[serde(rename = "containerID")]
    pub(super) container_id: Option<String>,
    pub(super) state: Option<ContainerState>,
}

#[derive(Deserialize)]
pub(super) struct ContainerState {
    pub(super) terminated: Option<Terminated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) finished_at: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    pub(super) service_type: Option<String>,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "null_is_empty")]
    pub(super) cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "null_is_empty")]
    pub(super) external_ips: Vec<String>,
    pub(super) health_check_node_port: Option<u16>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) selector: Labels,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) ports: Vec<ServicePortSpec>,
    pub(super) external_name: Option<String>,
    pub(super) internal_traffic_policy: Option<String>,
    pub(super) external_traffic_policy: Option<String>,
    pub(super) session_affinity: Option<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) load_balancer_source_ranges: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServicePortSpec {
    pub(super) name: Option<String>,
    #[serde(default = "tcp")]
    pub(super) protocol: String,
    pub(super) port: u16,
    pub(super) target_port: Option<PortReference>,
    pub(super) node_port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceStatus {
    pub(super) load_balancer: LoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadBalancer {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) ingress: Vec<Balanced>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Balanced {
    #[serde(default)]
    pub(super) ip: String,
    pub(super) ip_mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSlice {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) address_type: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) ports: Vec<SlicePort>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) endpoints: Vec<SliceBackend>,
}

#[derive(Deserialize)]
pub(super) struct SlicePort {
    pub(super) name: Option<String>,
    pub(super) port: Option<u16>,
    #[serde(default = "tcp")]
    pub(super) protocol: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SliceBackend {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) addresses: Vec<String>,
    #[serde(default)]
    pub(super) conditions: Conditions,
    pub(super) target_ref: Option<TargetRef>,
    pub(super) node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Conditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct TargetRef {
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    pub(super) uid: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeSpec {
    #[serde(rename = "podCIDRs", deserialize_with = "null_is_empty")]
    pub(super) pod_cidrs: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeStatus {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) addresses: Vec<AddressOfNode>,
    pub(super) node_info: NodeInfo,
}

#[derive(Deserialize)]
pub(super) struct AddressOfNode {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) address: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeInfo {
    pub(super) operating_system: Option<String>,
    pub(super) kernel_version: Option<String>,
    pub(super) container_runtime_version: Option<String>,
    pub(super) kubelet_version: Option<String>,
}

/// What owns pods, of any kind: the pod template is `spec.template`, of a CronJob `spec.jobTemplate.spec.template`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkloadSpec {
    pub(super) replicas: Option<i32>,
    pub(super) selector: Option<Selector>,
    pub(super) template: Option<Template>,
    pub(super) job_template: Option<JobTemplate>,
}

/// A label selector, or the plain labels that kinds older than those have: ReplicationController, DeploymentConfig.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Selector {
    Full(LabelSelector),
    Plain(Labels),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LabelSelector {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) match_labels: Labels,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) match_expressions: Vec<Requirement>,
}

#[derive(Deserialize)]
pub(super) struct Requirement {
    pub(super) key: String,
    pub(super) operator: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) values: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Template {
    pub(super) metadata: TemplateMetadata,
    pub(super) spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TemplateMetadata {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) labels: Labels,
}

#[derive(Deserialize)]
pub(super) struct JobTemplate {
    pub(super) spec: JobSpec,
}

#[derive(Deserialize)]
pub(super) struct JobSpec {
    pub(super) template: Template,
}

/// Policies keep their whole `spec`: it is what a policy is, and holds no secret.
#[derive(Deserialize)]
pub(super) struct Policy {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) spec: Value,
}

fn tcp() -> String {
    "TCP".to_owned()
}

/// The API server prints an empty list or map as null in places.
fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(source: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(source)?.unwrap_or_default())
}
