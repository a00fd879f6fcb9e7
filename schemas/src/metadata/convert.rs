//! One Kubernetes object to the rows it becomes, without validity.

use std::net::IpAddr;

use serde::Deserialize as _;
use serde_json::Value;

use super::object::{
    AnyObject, Balanced, Container, ContainerStatus, EndpointSlice, Ip, Metadata, NodeSpec, NodeStatus, Object,
    OwnerReference, PodSpec, PodStatus, Policy, Port, PortReference, ProbeSpec, Selector, ServiceSpec, ServiceStatus,
    Template, WorkloadSpec,
};
use super::{ALLOWED_ANNOTATIONS, ObjectError, Reduced};
use crate::address::Address;
use crate::cluster::{
    Bound, ContainerKind, ContainerPort, ContainerRow, EndpointPort, EndpointSliceRow, NamespaceRow, NetworkPolicyRow,
    NodeAddress, NodeRow, PodRow, Probe, SelectorRequirement, ServicePort, ServiceRow, SliceEndpoint, WorkloadRow,
};

const OPEN: Bound = Bound::Assumed;

/// Reduces one object; `None` for a kind that no table holds.
pub(super) fn reduce(index: usize, item: Value) -> Result<Option<Reduced>, ObjectError> {
    let text = |field: &str| {
        item.pointer(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, name) = (
        text("/kind"),
        format!("{}/{}", text("/metadata/namespace"), text("/metadata/name")),
    );
    let name = name.trim_start_matches('/').to_owned();
    reduce_kind(item).map_err(|error| ObjectError {
        index,
        kind,
        name,
        error,
    })
}

fn reduce_kind(item: Value) -> Result<Option<Reduced>, serde_json::Error> {
    let AnyObject {
        api_version,
        kind,
        metadata,
    } = AnyObject::deserialize(&item)?;
    let mut reduced = Reduced {
        // UIDs are unique in a cluster, but nothing makes them so in a text.
        id: format!("{kind}/{}", uid(&kind, &metadata)),
        resource_version: metadata.resource_version.clone(),
        ..Reduced::default()
    };
    let into = &mut reduced;
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind.as_str()) {
        ("", "Pod") => pod(into, Object::deserialize(with_defaults(item))?),
        ("", "Service") => service(into, Object::deserialize(with_defaults(item))?),
        ("discovery.k8s.io", "EndpointSlice") => endpoint_slice(into, EndpointSlice::deserialize(item)?),
        ("", "Namespace") => namespace(into, metadata),
        ("", "Node") => node(into, Object::deserialize(with_defaults(item))?),
        ("apps" | "batch", _) | ("argoproj.io", "Rollout") | ("", "ReplicationController") => {
            let Object::<_, Value> { metadata, spec, .. } = Object::deserialize(with_defaults(item))?;
            workload(into, api_version, kind, metadata, spec);
        }
        ("networking.k8s.io", "NetworkPolicy")
        | ("policy.networking.k8s.io" | "cilium.io" | "crd.projectcalico.org" | "projectcalico.org", _) => {
            network_policy(into, api_version, kind, Policy::deserialize(item)?);
        }
        _ if has_pod_template(&item) => {
            // Nothing says that another's kind means by a field what those of Kubernetes do: what has another shape is
            // none of ours.
            let Ok(Object::<_, Value> { metadata, spec, .. }) = Object::deserialize(with_defaults(item)) else {
                return Ok(None);
            };
            workload(into, api_version, kind, metadata, spec);
        }
        _ => return Ok(None),
    }
    Ok(Some(reduced))
}

/// Whether an object makes pods from a template, as the kinds of OpenKruise or OpenShift do, whatever it is called.
fn has_pod_template(item: &Value) -> bool {
    let containers = |path: &str| item.pointer(path).and_then(Value::as_array);
    [
        "/spec/template/spec/containers",
        "/spec/jobTemplate/spec/template/spec/containers",
    ]
    .into_iter()
    .filter_map(containers)
    .any(|containers| !containers.is_empty())
}

/// `spec` and `status` may be absent from hand-written manifests, or null.
fn with_defaults(mut item: Value) -> Value {
    if let Some(object) = item.as_object_mut() {
        for field in ["spec", "status"] {
            let value = object.entry(field).or_insert(Value::Null);
            if value.is_null() {
                *value = Value::Object(serde_json::Map::default());
            }
        }
    }
    item
}

/// Objects of manifests have no UID; their name identifies them as well within a reduced.
fn uid(kind: &str, metadata: &Metadata) -> String {
    if metadata.uid.is_empty() {
        return format!("{kind}/{}/{}", metadata.namespace, metadata.name);
    }
    metadata.uid.clone()
}

fn addresses<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Address> {
    texts
        .into_iter()
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .map(Address::from)
        .collect()
}

/// The plural field, or the singular one of old API servers.
fn addresses_of(many: &[Ip], one: Option<&str>) -> Vec<Address> {
    if many.is_empty() {
        return addresses(one);
    }
    addresses(many.iter().map(|entry| entry.ip.as_str()))
}

fn controller(owners: &[OwnerReference]) -> Option<&OwnerReference> {
    owners.iter().find(|owner| owner.controller)
}

fn pod(reduced: &mut Reduced, object: Object<PodSpec, PodStatus>) {
    let Object { metadata, spec, status } = object;
    let uid = uid("Pod", &metadata);
    let ended = matches!(status.phase.as_str(), "Succeeded" | "Failed");
    let statuses = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let finish = |status: &ContainerStatus| status.state.as_ref()?.terminated.as_ref()?.finished_at;
    let finished = statuses
        .iter()
        .copied()
        .flatten()
        .filter_map(finish)
        .max()
        .filter(|_| ended);
    reduced.declared.pod(status.start_time, finished);
    for (kind, container) in containers(&spec) {
        let row = container_row(&uid, kind, container, statuses.iter().copied().flatten());
        reduced.rows.containers.push(row);
    }
    let owner = controller(&metadata.owner_references);
    let mut annotations = metadata.annotations;
    annotations.retain(|key, _| ALLOWED_ANNOTATIONS.contains(&key.as_str()));
    let holds_addresses = !ended || finished.is_some();
    reduced.rows.pods.push(PodRow {
        uid,
        namespace: metadata.namespace,
        name: metadata.name,
        node: spec.node_name,
        host_network: spec.host_network,
        pod_ips: if holds_addresses {
            addresses_of(&status.pod_ips, status.pod_ip.as_deref())
        } else {
            Vec::new()
        },
        host_ips: addresses_of(&status.host_ips, status.host_ip.as_deref()),
        labels: metadata.labels,
        annotations,
        service_account: spec.service_account_name,
        phase: status.phase,
        owner_api_version: owner.map(|owner| owner.api_version.clone()),
        owner_kind: owner.map(|owner| owner.kind.clone()),
        owner_name: owner.map(|owner| owner.name.clone()),
        owner_uid: owner.map(|owner| owner.uid.clone()),
        runtime_class: spec.runtime_class_name,
        resource_version: metadata.resource_version,
        valid_from: None,
        from_bound: OPEN,
        valid_to: None,
        to_bound: OPEN,
    });
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = (ContainerKind, &Container)> {
    let init = |container: &Container| match container.restart_policy.as_deref() {
        Some("Always") => ContainerKind::Sidecar,
        Some(_) | None => ContainerKind::Init,
    };
    let apps = spec.containers.iter().map(|container| (ContainerKind::App, container));
    let inits = spec
        .init_containers
        .iter()
        .map(move |container| (init(container), container));
    let ephemeral = spec
        .ephemeral_containers
        .iter()
        .map(|container| (ContainerKind::Ephemeral, container));
    apps.chain(inits).chain(ephemeral)
}

fn container_row<'a>(
    pod_uid: &str,
    kind: ContainerKind,
    container: &Container,
    mut statuses: impl Iterator<Item = &'a ContainerStatus>,
) -> ContainerRow {
    let status = statuses.find(|status| status.name == container.name);
    let id = status
        .and_then(|status| status.container_id.as_deref())
        .filter(|id| !id.is_empty());
    ContainerRow {
        pod_uid: pod_uid.to_owned(),
        name: container.name.clone(),
        kind,
        container_id: id.map(|id| id.rsplit_once("://").map_or(id, |(_, id)| id).to_owned()),
        image: container.image.clone(),
        ports: container.ports.iter().map(container_port).collect(),
        probes: probes(container),
        valid_from: None,
        from_bound: OPEN,
        valid_to: None,
        to_bound: OPEN,
    }
}

fn container_port(port: &Port) -> ContainerPort {
    ContainerPort {
        name: port.name.clone(),
        port: port.container_port,
        protocol: port.protocol.clone(),
        host_port: port.host_port,
    }
}

fn probes(container: &Container) -> Vec<Probe> {
    let Container {
        liveness_probe,
        readiness_probe,
        startup_probe,
        ..
    } = container;
    let kinds = [
        ("liveness", liveness_probe),
        ("readiness", readiness_probe),
        ("startup", startup_probe),
    ];
    let probe = |(kind, spec): (&str, &Option<ProbeSpec>)| {
        let spec = spec.as_ref()?;
        let handlers = [
            ("httpGet", &spec.http_get),
            ("tcpSocket", &spec.tcp_socket),
            ("grpc", &spec.grpc),
        ];
        let (handler, port) = handlers
            .into_iter()
            .find_map(|(name, port)| Some((name, port.as_ref()?)))?;
        let (port, port_name) = number_or_name(Some(&port.port));
        Some(Probe {
            kind: kind.to_owned(),
            handler: handler.to_owned(),
            port,
            port_name,
        })
    };
    kinds.into_iter().filter_map(probe).collect()
}

fn number_or_name(reference: Option<&PortReference>) -> (Option<u16>, Option<String>) {
    match reference {
        // Zero and the empty text are how the API spells "not set".
        Some(PortReference::Number(0)) | None => (None, None),
        Some(PortReference::Number(number)) => (Some(*number), None),
        Some(PortReference::Name(name)) => match name.parse() {
            Ok(number) => (Some(number), None),
            Err(_) => (None, Some(name.clone()).filter(|name| !name.is_empty())),
        },
    }
}

fn service(reduced: &mut Reduced, object: Object<ServiceSpec, ServiceStatus>) {
    let Object { metadata, spec, status } = object;
    reduced.declared.created(metadata.creation_timestamp);
    let port = |port: &super::object::ServicePortSpec| {
        let (target_port, target_port_name) = number_or_name(port.target_port.as_ref());
        let (name, protocol) = (port.name.clone().filter(|name| !name.is_empty()), port.protocol.clone());
        ServicePort {
            name,
            protocol,
            port: port.port,
            target_port,
            target_port_name,
            node_port: port.node_port,
        }
    };
    let cluster_ips = if spec.cluster_ips.is_empty() {
        addresses(spec.cluster_ip.as_deref())
    } else {
        addresses(spec.cluster_ips.iter().map(String::as_str))
    };
    let balanced = &status.load_balancer.ingress;
    let is_proxy = |entry: &&Balanced| entry.ip_mode.as_deref() == Some("Proxy");
    let proxies = balanced.iter().filter(is_proxy).map(|entry| entry.ip.as_str());
    // A range may have blanks around it, as the validation of the API admits.
    let source_ranges = spec.load_balancer_source_ranges.iter();
    reduced.rows.services.push(ServiceRow {
        uid: uid("Service", &metadata),
        namespace: metadata.namespace,
        name: metadata.name,
        service_type: spec.service_type.unwrap_or_else(|| "ClusterIP".to_owned()),
        cluster_ips,
        external_ips: addresses(spec.external_ips.iter().map(String::as_str)),
        load_balancer_ips: addresses(balanced.iter().map(|entry| entry.ip.as_str())),
        load_balancer_proxies: addresses(proxies),
        load_balancer_source_ranges: source_ranges.map(|range| range.trim().to_owned()).collect(),
        health_check_node_port: spec.health_check_node_port,
        selector: Some(spec.selector).filter(|selector| !selector.is_empty()),
        ports: spec.ports.iter().map(port).collect(),
        headless: spec.cluster_ip.as_deref() == Some("None"),
        external_name: spec.external_name,
        internal_traffic_policy: spec.internal_traffic_policy,
        external_traffic_policy: spec.external_traffic_policy,
        session_affinity: spec.session_affinity,
        resource_version: metadata.resource_version,
        valid_from: None,
        from_bound: OPEN,
        valid_to: None,
        to_bound: OPEN,
    });
}

fn endpoint_slice(reduced: &mut Reduced, slice: EndpointSlice) {
    let EndpointSlice {
        metadata,
        address_type,
        ports,
        endpoints,
    } = slice;
    reduced.declared.created(metadata.creation_timestamp);
    let endpoint = |backend: super::object::SliceBackend| {
        let pod = backend
            .target_ref
            .filter(|target| target.kind.as_deref() == Some("Pod"));
        let (pod_uid, pod_name) = pod.map_or((None, None), |pod| (pod.uid, pod.name));
        SliceEndpoint {
            addresses: addresses(backend.addresses.iter().map(String::as_str)),
            ready: backend.conditions.ready,
            serving: backend.conditions.serving,
            terminating: backend.conditions.terminating,
            pod_uid,
            pod_name,
            node: backend.node_name,
        }
    };
    let port = |port: super::object::SlicePort| EndpointPort {
        name: port.name.filter(|name| !name.is_empty()),
        port: port.port,
        protocol: port.protocol,
    };
    reduced.rows.endpoint_slices.push(EndpointSliceRow {
        uid: uid("EndpointSlice", &metadata),
        service: metadata.labels.get("kubernetes.io/service-name").cloned(),
        namespace: metadata.namespace,
        name: metadata.name,
        address_type,
        ports: ports.into_iter().map(port).collect(),
        endpoints: endpoints.into_iter().map(endpoint).collect(),
        resource_version: metadata.resource_version,
        valid_from: None,
        from_bound: OPEN,
        valid_to: None,
        to_bound: OPEN,
    });
}

fn namespace(reduced: &mut Reduced, metadata: Metadata) {
    reduced.declared.created(metadata.creation_timestamp);
    reduced.rows.namespaces.push(NamespaceRow {
        uid: uid("Namespace", &metadata),
        name: metadata.name,
        labels: metadata.labels,
        resource_version: metadata.resource_version,
        valid_from: None,
        from_bound: OPEN,
        valid_to: None,
        to_bound: OPEN,
    });
}

fn node(reduced: &mut Reduced, object: Object<NodeSpec, NodeStatus>) {
    let Object { metadata, spec, status } = object;
    reduced.declared.created(metadata.creation_timestamp);
    let address = |entry: super::object::AddressOfNode| {
        let ip: IpAddr = entry.address.parse().ok()?;
        Some(NodeAddress {
            kind: entry.kind,
            ip: Address::from(ip),
        })
    };
    reduced.rows.nodes.push(NodeRow {
        uid: uid("Node", &metadata),
        name: metadata.name,
        addresses: status.addresses.into_iter().filter_map(address).collect(),
        pod_cidrs: spec.pod_cidrs,
        labels: metadata.labels,
        operating_system: status.node_info.operating_system,
        kernel_version: status.node_info.kernel_version,
        container_runtime: status.node_info.container_runtime_version,
        kubelet_version: status.node_info.kubelet_version,
        resource_version: metadata.resource_version,
        valid_from: None,
        from_bound: OPEN,
        valid_to: None,
        to_bound: OPEN,
    });
}

fn workload(reduced: &mut Reduced, api_version: String, kind: String, metadata: Metadata, spec: WorkloadSpec) {
    reduced.declared.created(metadata.creation_timestamp);
    let template = spec
        .template
        .or_else(|| spec.job_template.map(|job| job.spec.template))
        .unwrap_or_default();
    let Template {
        metadata: template_metadata,
        spec: template_spec,
    } = template;
    let owner = controller(&metadata.owner_references);
    let requirement = |entry: super::object::Requirement| SelectorRequirement {
        key: entry.key,
        operator: entry.operator,
        values: entry.values,
    };
    let (match_labels, match_expressions) = match spec.selector {
        Some(Selector::Full(selector)) => (Some(selector.match_labels), selector.match_expressions),
        Some(Selector::Plain(labels)) => (Some(labels), Vec::new()),
        None => (None, Vec::new()),
    };
    reduced.rows.workloads.push(WorkloadRow {
        uid: uid(&kind, &metadata),
        owner_api_version: owner.map(|owner| owner.api_version.clone()),
        owner_kind: owner.map(|owner| owner.kind.clone()),
        owner_name: owner.map(|owner| owner.name.clone()),
        owner_uid: owner.map(|owner| owner.uid.clone()),
        api_version,
        kind,
        namespace: metadata.namespace,
        name: metadata.name,
        match_labels,
        match_expressions: match_expressions.into_iter().map(requirement).collect(),
        template_labels: template_metadata.labels,
        template_host_network: template_spec.host_network,
        template_ports: template_spec
            .containers
            .iter()
            .flat_map(|one| one.ports.iter().map(container_port))
            .collect(),
        replicas: spec.replicas,
        resource_version: metadata.resource_version,
        valid_from: None,
        from_bound: OPEN,
        valid_to: None,
        to_bound: OPEN,
    });
}

fn network_policy(reduced: &mut Reduced, api_version: String, kind: String, policy: Policy) {
    let Policy { metadata, spec } = policy;
    reduced.declared.created(metadata.creation_timestamp);
    reduced.rows.network_policies.push(NetworkPolicyRow {
        uid: uid(&kind, &metadata),
        api_version,
        kind,
        namespace: metadata.namespace,
        name: metadata.name,
        spec: spec.to_string(),
        resource_version: metadata.resource_version,
        valid_from: None,
        from_bound: OPEN,
        valid_to: None,
        to_bound: OPEN,
    });
}
