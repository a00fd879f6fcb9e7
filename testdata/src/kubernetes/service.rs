//! Services and EndpointSlices.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{Cluster, set_labels, set_meta};
use crate::endpoint::selected;
use crate::identity;
use crate::layout::{Owner, pod::object_uid};
use crate::model::{Labels, PortRef, Protocol, Service, ServiceTraffic};

pub(super) fn services(cluster: &Cluster<'_>) -> Vec<Map<String, Value>> {
    cluster
        .scenario
        .services
        .iter()
        .map(|service| {
            let mut object = cluster.meta("v1", "Service", &service.name.namespace, &service.name.name);
            object.insert("spec".to_owned(), Value::Object(spec(cluster, service)));
            let mode = if service.balanced_by_proxy { "Proxy" } else { "VIP" };
            let ingress: Vec<Value> = service
                .load_balancer
                .iter()
                .map(|address| json!({ "ip": address, "ipMode": mode }))
                .collect();
            let balancer = if ingress.is_empty() {
                json!({})
            } else {
                json!({ "ingress": ingress })
            };
            object.insert("status".to_owned(), json!({ "loadBalancer": balancer }));
            object
        })
        .collect()
}

/// `spec.type`.
fn service_type(service: &Service) -> &'static str {
    if service.external_name.is_some() {
        "ExternalName"
    } else if !service.load_balancer.is_empty() {
        "LoadBalancer"
    } else if service.ports.iter().any(|port| port.node_port.is_some()) {
        "NodePort"
    } else {
        "ClusterIP"
    }
}

fn spec(cluster: &Cluster<'_>, service: &Service) -> Map<String, Value> {
    let mut spec = Map::new();
    let kind = service_type(service);
    spec.insert("type".to_owned(), json!(kind));
    let affinity = if service.affinity { "ClientIP" } else { "None" };
    spec.insert("sessionAffinity".to_owned(), json!(affinity));
    if let Some(name) = &service.external_name {
        spec.insert("externalName".to_owned(), json!(name));
    } else {
        let addresses: Vec<String> = match service.addresses.as_slice() {
            [] => vec!["None".to_owned()],
            some => some.iter().map(ToString::to_string).collect(),
        };
        spec.insert("clusterIP".to_owned(), json!(addresses.first()));
        spec.insert("clusterIPs".to_owned(), json!(addresses));
        let families: Vec<&str> = families(cluster, service).into_iter().map(family).collect();
        let policy = if families.len() > 1 {
            "PreferDualStack"
        } else {
            "SingleStack"
        };
        spec.insert("ipFamilies".to_owned(), json!(families));
        spec.insert("ipFamilyPolicy".to_owned(), json!(policy));
        spec.insert("internalTrafficPolicy".to_owned(), json!("Cluster"));
    }
    if let Some(selects) = &service.selects {
        spec.insert("selector".to_owned(), json!(selects));
    }
    if !service.external_ips.is_empty() {
        spec.insert("externalIPs".to_owned(), json!(service.external_ips));
    }
    if !service.source_ranges.is_empty() {
        let ranges: Vec<String> = service.source_ranges.iter().map(ToString::to_string).collect();
        spec.insert("loadBalancerSourceRanges".to_owned(), json!(ranges));
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        let policy = match service.external_traffic {
            ServiceTraffic::Cluster => "Cluster",
            ServiceTraffic::Local => "Local",
        };
        spec.insert("externalTrafficPolicy".to_owned(), json!(policy));
    }
    if !service.ports.is_empty() {
        spec.insert("ports".to_owned(), service.ports.iter().map(port).collect());
    }
    spec
}

fn port(port: &crate::model::ServicePort) -> Value {
    let mut value = Map::new();
    if let Some(name) = &port.name {
        value.insert("name".to_owned(), json!(name));
    }
    if let Some(node_port) = port.node_port {
        value.insert("nodePort".to_owned(), json!(node_port));
    }
    value.insert("port".to_owned(), json!(port.port));
    value.insert("protocol".to_owned(), json!(port.protocol.to_string()));
    let target = match &port.target {
        PortRef::Number(number) => json!(number),
        PortRef::Name(name) => json!(name),
    };
    value.insert("targetPort".to_owned(), target);
    Value::Object(value)
}

/// The address families of a Service (`true`: IPv6); of a headless one those of its endpoints.
fn families(cluster: &Cluster<'_>, service: &Service) -> Vec<bool> {
    let own: Vec<bool> = service.addresses.iter().map(IpAddr::is_ipv6).collect();
    if !own.is_empty() {
        return own;
    }
    let pods = selected(cluster.layout, service, cluster.instant).flat_map(|(_, pod)| pod.addresses.iter());
    let all: Vec<bool> = pods.chain(&service.endpoints).map(IpAddr::is_ipv6).collect();
    let found: Vec<bool> = [false, true]
        .into_iter()
        .filter(|family| all.contains(family))
        .collect();
    if found.is_empty() { vec![false] } else { found }
}

const fn family(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}

/// Port name, number and protocol, as one slice lists them.
type SlicePorts = Vec<(String, u16, Protocol)>;

/// EndpointSlices: one per Service, family and set of port numbers, as the endpoint slice controller groups them.
pub(super) fn slices(cluster: &Cluster<'_>) -> Vec<Map<String, Value>> {
    let mut objects = Vec::new();
    for service in &cluster.scenario.services {
        if service.external_name.is_some() || (service.selects.is_none() && service.endpoints.is_empty()) {
            continue;
        }
        for ipv6 in families(cluster, service) {
            for (ports, endpoints) in grouped(cluster, service, ipv6) {
                objects.push(slice(cluster, service, ipv6, &ports, endpoints));
            }
        }
    }
    objects
}

/// The endpoints of one family by the ports they have.
fn grouped(cluster: &Cluster<'_>, service: &Service, ipv6: bool) -> BTreeMap<SlicePorts, Vec<Value>> {
    let mut groups: BTreeMap<SlicePorts, Vec<Value>> = BTreeMap::new();
    let ports = |number: &dyn Fn(&crate::model::ServicePort) -> Option<u16>| -> SlicePorts {
        let named = |port: &crate::model::ServicePort| {
            Some((port.name.clone().unwrap_or_default(), number(port)?, port.protocol))
        };
        service.ports.iter().filter_map(named).collect()
    };
    for (_, pod) in selected(cluster.layout, service, cluster.instant) {
        let workload = cluster.scenario.workloads.get(pod.workload);
        let node = cluster.scenario.nodes.get(pod.node).map(|node| node.name.as_str());
        let (Some(workload), Some(address)) = (workload, pod.address(ipv6)) else {
            continue;
        };
        let endpoint = json!({
            "addresses": [address],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "nodeName": node,
            "targetRef": { "kind": "Pod", "name": pod.name, "namespace": pod.namespace, "uid": pod.uid },
        });
        groups
            .entry(ports(&|port| workload.port(&port.target, port.protocol)))
            .or_default()
            .push(endpoint);
    }
    for address in service.endpoints.iter().filter(|address| address.is_ipv6() == ipv6) {
        let target = |port: &crate::model::ServicePort| match port.target {
            PortRef::Number(number) => Some(number),
            PortRef::Name(_) => None,
        };
        let endpoint = json!({ "addresses": [address], "conditions": { "ready": true } });
        groups.entry(ports(&target)).or_default().push(endpoint);
    }
    groups
}

fn slice(
    cluster: &Cluster<'_>,
    service: &Service,
    ipv6: bool,
    ports: &SlicePorts,
    endpoints: Vec<Value>,
) -> Map<String, Value> {
    let (namespace, name) = (&service.name.namespace, &service.name.name);
    let group = format!("{ports:?}");
    // The API server writes its own slice under its own name.
    let own = namespace == "default" && name == "kubernetes";
    let slice_name = if own {
        name.clone()
    } else {
        format!(
            "{name}-{}",
            identity::suffix(&["slice", namespace, name, family(ipv6), &group], 5)
        )
    };
    let uid = object_uid("EndpointSlice", namespace, &slice_name);
    let mut object = cluster.meta_with_uid("discovery.k8s.io/v1", "EndpointSlice", namespace, &slice_name, &uid);
    let mut labels = Labels::new();
    labels.insert("kubernetes.io/service-name".to_owned(), name.clone());
    if service.selects.is_some() {
        let controller = "endpointslice-controller.k8s.io";
        labels.insert(
            "endpointslice.kubernetes.io/managed-by".to_owned(),
            controller.to_owned(),
        );
        super::set_owner(
            &mut object,
            &Owner {
                api_version: "v1".to_owned(),
                kind: "Service".to_owned(),
                name: name.clone(),
                uid: object_uid("Service", namespace, name),
            },
        );
    }
    set_labels(&mut object, &labels);
    set_meta(&mut object, "generateName", json!(format!("{name}-")));
    object.insert("addressType".to_owned(), json!(family(ipv6)));
    object.insert("endpoints".to_owned(), Value::Array(endpoints));
    let listed = ports
        .iter()
        .map(|(name, port, protocol)| json!({ "name": name, "port": port, "protocol": protocol.to_string() }));
    object.insert("ports".to_owned(), listed.collect());
    object
}
