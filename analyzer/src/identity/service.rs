//! Services and the backends behind them at a given time.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::{Bound, EndpointSliceRow, ServicePort, ServiceRow};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::time::Time;

use super::timeline::{History, Span, Timeline};

/// A Service as an address and port lead to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceHit<'a> {
    /// Namespace of the Service.
    pub namespace: &'a str,
    /// Name of the Service.
    pub name: &'a str,
    /// The Service's own port.
    pub port: u16,
    /// Name of that port, which its EndpointSlices repeat.
    pub port_name: Option<&'a str>,
}

impl<'a> ServiceHit<'a> {
    /// One of a Service's ports.
    #[must_use]
    pub fn of(service: &'a ServiceRow, port: &'a ServicePort) -> Self {
        Self {
            namespace: &service.namespace,
            name: &service.name,
            port: port.port,
            port_name: port.name.as_deref(),
        }
    }
}

/// A backend: where a connection to a Service may have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend<'a> {
    /// Its address.
    pub address: Address,
    /// Its own port.
    pub port: u16,
    /// UID of the pod behind it, if the slice names one.
    pub pod_uid: Option<&'a str>,
}

/// Every Service of a tape.
#[derive(Clone, Debug)]
pub struct Services {
    rows: Vec<ServiceRow>,
    by_name: ByName<Named>,
    by_address: Timeline<Address, usize>,
    by_node_port: Timeline<u16, usize>,
}

/// What Services have, by namespace and name.
type ByName<V> = BTreeMap<String, BTreeMap<String, V>>;

/// What there is of one Service.
#[derive(Clone, Debug, Default)]
struct Named {
    /// Places of its versions in the rows.
    rows: Vec<usize>,
    slices: History<EndpointSliceRow>,
    /// Slices that were found at some time and may have begun before: from when on they are known.
    found: Vec<(Time, EndpointSliceRow)>,
}

impl Services {
    /// The versions of one Service.
    pub fn named(&self, namespace: &str, name: &str) -> impl Iterator<Item = &ServiceRow> {
        let places = self.of(namespace, name).map(|named| &named.rows);
        places.into_iter().flatten().map(|place| &self.rows[*place])
    }

    fn of(&self, namespace: &str, name: &str) -> Option<&Named> {
        self.by_name.get(namespace)?.get(name)
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
        Self {
            by_name: by_name(rows),
            by_address: Timeline::new(by_address),
            by_node_port: Timeline::new(by_node_port),
            rows: rows.services.clone(),
        }
    }

    /// The Services that had this address and port during `span`.
    #[must_use]
    pub fn at_address(&self, address: Address, port: u16, protocol: &str, span: Span) -> Vec<ServiceHit<'_>> {
        let found = self.by_address.during(&address, span);
        self.hits(&found, protocol, |candidate| candidate.port == port)
    }

    /// The Services that had this port on every node during `span`.
    #[must_use]
    pub fn at_node_port(&self, port: u16, protocol: &str, span: Span) -> Vec<ServiceHit<'_>> {
        let found = self.by_node_port.during(&port, span);
        self.hits(&found, protocol, |candidate| candidate.node_port == Some(port))
    }

    /// Whether any Service ever had this address.
    #[must_use]
    pub fn has_address(&self, address: Address) -> bool {
        self.by_address.knows(&address)
    }

    fn hits(&self, found: &[&usize], protocol: &str, matches: impl Fn(&ServicePort) -> bool) -> Vec<ServiceHit<'_>> {
        let hit = |index: &&usize| {
            let row = &self.rows[**index];
            let mut ports = row.ports.iter();
            let port = ports.find(|candidate| candidate.protocol == protocol && matches(candidate))?;
            Some(ServiceHit::of(row, port))
        };
        let mut hits: Vec<ServiceHit<'_>> = found.iter().filter_map(hit).collect();
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    /// The backends of a Service port during `span`, from its EndpointSlices. Endpoints that are not ready count too:
    /// established connections outlive readiness.
    #[must_use]
    pub fn backends(&self, hit: ServiceHit<'_>, protocol: &str, span: Span) -> BTreeSet<Backend<'_>> {
        let named = self.of(hit.namespace, hit.name);
        let slices = named.map_or_else(Vec::new, |named| named.slices.during(span));
        backends_of(slices.into_iter(), hit, protocol)
    }

    /// The addresses of the API server: every one that it ever answered at.
    #[must_use]
    pub fn api_server(&self) -> BTreeSet<Address> {
        let endpoints = self.api_endpoints().into_iter();
        endpoints.map(|(address, _)| address).collect()
    }

    /// Whether the backends of a Service may have been others at the end of `span` than at its beginning.
    #[must_use]
    pub fn changed_during(&self, hit: ServiceHit<'_>, span: Span) -> bool {
        let named = self.of(hit.namespace, hit.name);
        named.is_some_and(|named| named.slices.changed_during(span))
    }

    /// The backends that were found between `after` and `until`, and may have been there before.
    #[must_use]
    pub fn backends_found(
        &self,
        hit: ServiceHit<'_>,
        protocol: &str,
        after: Time,
        until: Time,
    ) -> BTreeSet<Backend<'_>> {
        let found = self.of(hit.namespace, hit.name).map(|named| &named.found);
        let between = found
            .into_iter()
            .flatten()
            .filter(|(from, _)| after < *from && *from <= until);
        backends_of(between.map(|(_, slice)| slice), hit, protocol)
    }

    /// Where the API server answers: the endpoints that Service `default/kubernetes` ever had at its port, without a name or
    /// called `https`.
    #[must_use]
    pub fn api_endpoints(&self) -> BTreeSet<(Address, u16)> {
        let always = Span::of_validity(None, None);
        let hit = |port_name| ServiceHit {
            namespace: "default",
            name: "kubernetes",
            port: 443,
            port_name,
        };
        let names = [None, Some("https")].into_iter();
        let backends = names.flat_map(|name| self.backends(hit(name), "TCP", always));
        backends.map(|backend| (backend.address, backend.port)).collect()
    }

    /// Every version of every Service.
    #[must_use]
    pub fn rows(&self) -> &[ServiceRow] {
        &self.rows
    }
}

/// What there is of each Service.
fn by_name(rows: &ClusterRows) -> ByName<Named> {
    let mut by_name: ByName<Named> = ByName::new();
    for (index, row) in rows.services.iter().enumerate() {
        let beside = by_name.entry(row.namespace.clone()).or_default();
        beside.entry(row.name.clone()).or_default().rows.push(index);
    }
    let mut slices: BTreeMap<(&str, &str), Vec<&EndpointSliceRow>> = BTreeMap::new();
    for slice in &rows.endpoint_slices {
        if let Some(service) = &slice.service {
            slices.entry((&slice.namespace, service)).or_default().push(slice);
        }
    }
    for ((namespace, name), slices) in slices {
        let named = by_name.entry(namespace.to_owned()).or_default();
        let named = named.entry(name.to_owned()).or_default();
        let found = slices.iter().filter(|slice| slice.from_bound == Bound::Assumed);
        let found = found.filter_map(|slice| Some((slice.valid_from?, (*slice).clone())));
        named.found = found.collect();
        let spans = slices.into_iter().map(|slice| {
            let span = Span::of_validity(slice.valid_from, slice.valid_to);
            (span, slice.clone())
        });
        named.slices = History::new(spans);
    }
    by_name
}

fn backends_of<'a>(
    slices: impl Iterator<Item = &'a EndpointSliceRow>,
    hit: ServiceHit<'_>,
    protocol: &str,
) -> BTreeSet<Backend<'a>> {
    let mut backends = BTreeSet::new();
    for slice in slices {
        let ports = slice
            .ports
            .iter()
            .filter(|port| port.protocol == protocol && port.name.as_deref() == hit.port_name);
        for port in ports.filter_map(|port| port.port) {
            for endpoint in &slice.endpoints {
                let backend = |address: &Address| Backend {
                    address: *address,
                    port,
                    pod_uid: endpoint.pod_uid.as_deref(),
                };
                backends.extend(endpoint.addresses.iter().map(backend));
            }
        }
    }
    backends
}
