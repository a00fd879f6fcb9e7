//! Services and the backends behind them at a given time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::{Bound, EndpointSliceRow, ServicePort, ServiceRow};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::time::Time;

use super::timeline::{Span, Timeline};

/// A Service as an address and port lead to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceHit {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// The Service's own port.
    pub port: u16,
    /// Name of that port, which its EndpointSlices repeat.
    pub port_name: Option<String>,
}

impl ServiceHit {
    /// One of a Service's ports.
    #[must_use]
    pub fn of(service: &ServiceRow, port: &ServicePort) -> Self {
        Self {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            port: port.port,
            port_name: port.name.clone(),
        }
    }
}

/// A backend: where a connection to a Service may have gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// Its address.
    pub address: Address,
    /// Its own port.
    pub port: u16,
    /// UID of the pod behind it, if the slice names one.
    pub pod_uid: Option<String>,
}

/// Every Service of a tape.
#[derive(Clone, Debug)]
pub struct Services {
    rows: Vec<ServiceRow>,
    /// Places in `rows`, by namespace and name.
    by_name: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
    by_address: Timeline<Address, usize>,
    by_node_port: Timeline<u16, usize>,
    slices: Timeline<(String, String), Arc<EndpointSliceRow>>,
    /// Versions that were found at some time and may have begun before: from when on they are known.
    found: BTreeMap<(String, String), Vec<(Time, EndpointSliceRow)>>,
}

impl Services {
    /// The versions of one Service.
    pub fn named(&self, namespace: &str, name: &str) -> impl Iterator<Item = &ServiceRow> {
        let places = self.by_name.get(namespace).and_then(|beside| beside.get(name));
        places.into_iter().flatten().map(|place| &self.rows[*place])
    }

    /// Collects the Services of a tape.
    #[must_use]
    pub fn new(rows: &ClusterRows) -> Self {
        let services = || rows.services.iter().enumerate();
        let span = |row: &ServiceRow| Span::of_validity(row.valid_from, row.valid_to);
        let by_address = services().flat_map(|(index, row)| {
            // What is sent to a proxy leaves for it, and comes back as its own.
            let is_proxy = |address: &&Address| row.load_balancer_proxies.contains(address);
            let balanced = row.load_balancer_ips.iter().filter(move |address| !is_proxy(address));
            let addresses = row.cluster_ips.iter().chain(&row.external_ips).chain(balanced);
            addresses.map(move |address| (*address, span(row), index))
        });
        let by_node_port = services().flat_map(|(index, row)| {
            let ports = row.ports.iter().filter_map(|port| port.node_port);
            ports.map(move |port| (port, span(row), index))
        });
        let of_services = || {
            let slices = rows.endpoint_slices.iter();
            slices.filter_map(|slice| Some(((slice.namespace.clone(), slice.service.clone()?), slice)))
        };
        let mut found: BTreeMap<(String, String), Vec<(Time, EndpointSliceRow)>> = BTreeMap::new();
        for (service, slice) in of_services().filter(|(_, slice)| slice.from_bound == Bound::Assumed) {
            if let Some(from) = slice.valid_from {
                found.entry(service).or_default().push((from, slice.clone()));
            }
        }
        let slices = of_services().map(|(service, slice)| {
            (
                service,
                Span::of_validity(slice.valid_from, slice.valid_to),
                Arc::new(slice.clone()),
            )
        });
        let mut by_name: BTreeMap<String, BTreeMap<String, Vec<usize>>> = BTreeMap::new();
        for (index, row) in services() {
            let beside = by_name.entry(row.namespace.clone()).or_default();
            beside.entry(row.name.clone()).or_default().push(index);
        }
        Self {
            by_name,
            by_address: Timeline::new(by_address),
            by_node_port: Timeline::new(by_node_port),
            slices: Timeline::new(slices),
            found,
            rows: rows.services.clone(),
        }
    }

    /// The Services that had this address and port during `span`.
    #[must_use]
    pub fn at_address(&self, address: Address, port: u16, protocol: &str, span: Span) -> Vec<ServiceHit> {
        let found = self.by_address.during(&address, span);
        self.hits(&found, protocol, |candidate| candidate.port == port)
    }

    /// The Services that had this port on every node during `span`.
    #[must_use]
    pub fn at_node_port(&self, port: u16, protocol: &str, span: Span) -> Vec<ServiceHit> {
        let found = self.by_node_port.during(&port, span);
        self.hits(&found, protocol, |candidate| candidate.node_port == Some(port))
    }

    /// Whether any Service ever had this address.
    #[must_use]
    pub fn has_address(&self, address: Address) -> bool {
        self.by_address.knows(&address)
    }

    fn hits(&self, found: &[usize], protocol: &str, matches: impl Fn(&ServicePort) -> bool) -> Vec<ServiceHit> {
        let hit = |index: &usize| {
            let row = &self.rows[*index];
            let mut ports = row.ports.iter();
            let port = ports.find(|candidate| candidate.protocol == protocol && matches(candidate))?;
            Some(ServiceHit::of(row, port))
        };
        let hits: BTreeSet<ServiceHit> = found.iter().filter_map(hit).collect();
        hits.into_iter().collect()
    }

    /// The backends of a Service port during `span`, from its EndpointSlices. Endpoints that are not ready count too:
    /// established connections outlive readiness.
    #[must_use]
    pub fn backends(&self, hit: &ServiceHit, protocol: &str, span: Span) -> BTreeSet<Backend> {
        let key = (hit.namespace.clone(), hit.name.clone());
        let slices = self.slices.during(&key, span);
        backends_of(slices.iter().map(AsRef::as_ref), hit, protocol)
    }

    /// The addresses of the API server: every endpoint that Service `default/kubernetes` ever had.
    #[must_use]
    pub fn api_server(&self) -> BTreeSet<Address> {
        let hit = |port_name: Option<&str>| ServiceHit {
            namespace: "default".to_owned(),
            name: "kubernetes".to_owned(),
            port: 443,
            port_name: port_name.map(str::to_owned),
        };
        let always = Span::of_validity(None, None);
        let hits = [hit(None), hit(Some("https"))];
        let backends = hits.iter().flat_map(|hit| self.backends(hit, "TCP", always));
        backends.map(|backend| backend.address).collect()
    }

    /// Whether the backends of a Service may have been others at the end of `span` than at its beginning.
    #[must_use]
    pub fn changed_during(&self, hit: &ServiceHit, span: Span) -> bool {
        self.slices
            .changed_during(&(hit.namespace.clone(), hit.name.clone()), span)
    }

    /// The backends that were found between `after` and `until`, and may have been there before.
    #[must_use]
    pub fn backends_found(&self, hit: &ServiceHit, protocol: &str, after: Time, until: Time) -> BTreeSet<Backend> {
        let key = (hit.namespace.clone(), hit.name.clone());
        let found = self.found.get(&key).into_iter().flatten();
        let between = found.filter(|(from, _)| after < *from && *from <= until);
        backends_of(between.map(|(_, slice)| slice), hit, protocol)
    }

    /// Every version of every Service.
    #[must_use]
    pub fn rows(&self) -> &[ServiceRow] {
        &self.rows
    }
}

fn backends_of<'a>(
    slices: impl Iterator<Item = &'a EndpointSliceRow>,
    hit: &ServiceHit,
    protocol: &str,
) -> BTreeSet<Backend> {
    let mut backends = BTreeSet::new();
    for slice in slices {
        let ports = slice
            .ports
            .iter()
            .filter(|port| port.protocol == protocol && port.name == hit.port_name);
        for port in ports.filter_map(|port| port.port) {
            for endpoint in &slice.endpoints {
                let backend = |address: &Address| Backend {
                    address: *address,
                    port,
                    pod_uid: endpoint.pod_uid.clone(),
                };
                backends.extend(endpoint.addresses.iter().map(backend));
            }
        }
    }
    backends
}
