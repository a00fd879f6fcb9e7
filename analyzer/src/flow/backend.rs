//! Which backends a Service had when a client addressed it.

use std::collections::BTreeSet;

use flowtape_schemas::address::Address;

use super::end::EndpointRef;
use super::sighting::Sighting;
use crate::identity::cluster::Cluster;
use crate::identity::resolve::{Party, Resolver, span_of};
use crate::identity::service::{Backend, ServiceHit};
use crate::identity::timeline::Span;

/// A backend of a Service that a client addressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResolvedBackend<'a> {
    /// Who it was.
    pub(super) party: Party<'a>,
    /// Its address.
    pub(super) address: Address,
    /// Its own port.
    pub(super) port: u16,
    /// The Service before it, whatever the name of its port.
    pub(super) service: ServiceHit<'a>,
}

impl<'a> ResolvedBackend<'a> {
    /// The single pod or address that it is.
    pub(super) fn endpoint(&self) -> EndpointRef<'a> {
        match self.party {
            Party::Pod(pod) => EndpointRef::of_pod(pod),
            Party::Node(_) | Party::External(_) | Party::Loopback | Party::Group | Party::Unknown(..) => {
                EndpointRef::Address(self.address)
            }
        }
    }
}

impl<'a> Sighting<'a> {
    /// The backends of the Services behind what the client addressed, each once: a port that was renamed leads to the
    /// same ones under both names.
    pub(super) fn backends(&self, resolver: &Resolver<'a>, cluster: &'a Cluster) -> Vec<ResolvedBackend<'a>> {
        self.backends_during(self.when, resolver, cluster)
    }

    /// The backends of another time, such as that around it.
    pub(super) fn backends_during(
        &self,
        when: Span,
        resolver: &Resolver<'a>,
        cluster: &'a Cluster,
    ) -> Vec<ResolvedBackend<'a>> {
        let protocol = self.protocol().name();
        // A client reaches backends of its own family: a Service of two families has slices of both.
        let same_family = |address: Address| {
            let remote = self.row.remote_ip;
            remote.is_none_or(|remote| remote.ip().is_ipv4() == address.ip().is_ipv4())
        };
        let mut found = BTreeSet::new();
        for hit in &self.services {
            let backends = unseen_too(resolver, cluster, *hit, &protocol, when).into_iter();
            let of_family = backends.filter(|backend| same_family(backend.address));
            let service = ServiceHit {
                port_name: None,
                ..*hit
            };
            found.extend(of_family.map(|backend| (service, backend)));
        }
        let with_party = |(service, backend): (ServiceHit<'a>, Backend<'a>)| ResolvedBackend {
            party: resolver.backend(self.node, backend.pod_uid, backend.address, span_of(self.recorded)),
            address: backend.address,
            port: backend.port,
            service,
        };
        found.into_iter().map(with_party).collect()
    }
}

/// In a time that nobody watched, the backends may already have been those that the next look found; of both, those
/// whose pods lived then.
fn unseen_too<'a>(
    resolver: &Resolver<'_>,
    cluster: &'a Cluster,
    hit: ServiceHit<'_>,
    protocol: &str,
    span: Span,
) -> BTreeSet<Backend<'a>> {
    let known = cluster.services.backends(hit, protocol, span);
    let until = resolver.unseen_until(span.last);
    if until == span.last {
        return known;
    }
    let found = cluster.services.backends_found(hit, protocol, span.last, until);
    let all: BTreeSet<Backend<'a>> = known.into_iter().chain(found).collect();
    let lived = |backend: &Backend<'a>| {
        let uid = backend.pod_uid;
        uid.is_none_or(|uid| resolver.may_have_held(uid, backend.address, span))
    };
    let living: BTreeSet<Backend<'a>> = all.iter().filter(|backend| lived(backend)).copied().collect();
    if living.is_empty() { all } else { living }
}
