//! Which pods and ports stand behind a Service at an instant, as the endpoint controller and kube-proxy see it.

use std::net::IpAddr;

use crate::layout::{Layout, Pod};
use crate::model::{Offset, Scenario, Service, ServicePort};

/// One backend of one port of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Its pod: place in [`Layout::pods`]; none for endpoints that the text lists.
    pub pod: Option<usize>,
}

/// The pods that a Service selects at an instant, as places in [`Layout::pods`].
pub(crate) fn selected<'l>(
    layout: &'l Layout,
    service: &'l Service,
    instant: Offset,
) -> impl Iterator<Item = (usize, &'l Pod)> {
    layout.pods.iter().enumerate().filter(move |(_, pod)| {
        pod.namespace == service.name.namespace
            && pod.lives_at(instant)
            && service.selects.as_ref().is_some_and(|selects| {
                !selects.is_empty() && selects.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
            })
    })
}

/// The backends of one port of a Service at an instant; none where a pod lacks the named port.
#[must_use]
pub fn backends(
    scenario: &Scenario,
    layout: &Layout,
    service: &Service,
    port: &ServicePort,
    instant: Offset,
    ipv6: bool,
) -> Vec<Backend> {
    let by_selector = selected(layout, service, instant).filter_map(|(place, pod)| {
        let workload = scenario.workloads.get(pod.workload)?;
        Some(Backend {
            address: pod.address(ipv6)?,
            port: workload.port(&port.target, port.protocol)?,
            pod: Some(place),
        })
    });
    let by_hand = service
        .endpoints
        .iter()
        .filter(|address| address.is_ipv6() == ipv6)
        .filter_map(|address| {
            let crate::model::PortRef::Number(target) = port.target else {
                return None;
            };
            Some(Backend {
                address: *address,
                port: target,
                pod: None,
            })
        });
    by_selector.chain(by_hand).collect()
}
