//! Proxies that stand in the way of their own pod's connections, as the sidecars of a service mesh do.
//!
//! The network namespace of such a pod redirects (`REDIRECT`, `net/netfilter/nf_nat_redirect.c` in Linux 6.12). What the
//! application opens ends at a socket of the proxy on loopback, though the application's own socket still has the address
//! it asked for; what comes in ends at the proxy's port, though the packets had the application's. Policies are enforced
//! outside of the namespace: on what the proxy sends, and on what comes in before it is redirected. So the proxy's
//! sockets say whom the pod reached, those of the client which port it was sent to, and those of the application for which
//! Service.

mod incoming;
mod outgoing;

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::node::Outcome;

use super::edge::{Edge, EdgeKey, Peer, Transport};
use super::end::EndpointRef;
use super::host::host_of;
use super::sighting::{Sighting, endpoint, server_endpoint};
use crate::findings::{Code, Findings};
use crate::identity::cluster::{Cluster, Pod};
use crate::identity::resolve::{Party, Resolver};
use crate::identity::timeline::Span;
use crate::identity::{Identity, Role};

/// Ports at which proxies take what is redirected into them: Istio and Kuma, Linkerd, Consul. To those of Linkerd and
/// Consul other proxies also connect directly.
const REDIRECTED: [u16; 3] = [ISTIO_INBOUND, 4143, 20_000];

/// Istio's and Kuma's port for redirected connections, which nobody addresses.
const ISTIO_INBOUND: u16 = 15_006;

/// The port of tunnels between the proxies of Istio (HBONE), which is never redirected.
const HBONE: u16 = 15_008;

/// A workload and a port of its proxy that others address.
pub(super) type MeshPorts = BTreeSet<(Identity, u16)>;

/// Who a client is to servers: the node whose network it is on, or itself.
type Who<'a> = (Option<&'a str>, EndpointRef<'a>);

/// When whom somebody reached at which port.
type Reached<'a> = BTreeMap<EndpointRef<'a>, BTreeMap<u16, Vec<Span>>>;

/// What is known of the proxies of a tape.
struct Proxies<'s> {
    /// Control groups of each pod whose sockets took connections that its other sockets opened, by UID.
    takers: BTreeMap<&'s str, BTreeSet<u64>>,
    /// How many connections they took.
    taken: BTreeMap<&'s str, u64>,
    /// Control groups of each pod whose sockets take what comes in, and hand it on.
    inlets: BTreeMap<&'s str, BTreeSet<u64>>,
    /// Ports of the application to which each pod's proxy handed on.
    handed: BTreeMap<&'s str, BTreeSet<u16>>,
    /// Whom each pod's proxy reached outside of it.
    reached: BTreeMap<&'s str, Reached<'s>>,
    /// Whom it tried to reach, and how that ended.
    failed: BTreeMap<&'s str, BTreeMap<(EndpointRef<'s>, u16), Outcome>>,
    /// Whom each client reached, as its packets left: by its proxy where it has one.
    sent: BTreeMap<Who<'s>, Reached<'s>>,
    /// Whom the applications of pods with a proxy asked for.
    asked: BTreeMap<Who<'s>, Reached<'s>>,
    /// Whom servers say they served.
    served: BTreeMap<Who<'s>, Reached<'s>>,
}

/// Takes proxies out of what was seen: what is left are sightings of what policies are enforced on.
pub(super) fn unfold<'a>(
    sightings: Vec<Sighting<'a>>,
    resolver: &Resolver<'a>,
    cluster: &'a Cluster,
    findings: &mut Findings,
) -> (Vec<Sighting<'a>>, MeshPorts) {
    let proxies = Proxies::find(&sightings, resolver, cluster);
    if proxies.takers.is_empty() && proxies.inlets.is_empty() {
        return (sightings, MeshPorts::new());
    }
    let mut ports = MeshPorts::new();
    let incoming = proxies.incoming(&sightings, resolver, &mut ports, findings);
    let outgoing = proxies.outgoing(&sightings, resolver, cluster, findings);
    (incoming.into_iter().chain(outgoing).collect(), ports)
}

/// Marks edges to the ports that proxies speak to each other on.
pub(super) fn with_mesh(edges: Vec<Edge>, ports: &MeshPorts, findings: &mut Findings) -> Vec<Edge> {
    if ports.is_empty() {
        return edges;
    }
    let mut marked: BTreeMap<EdgeKey, Edge> = BTreeMap::new();
    for mut edge in edges {
        let tunnel = edge.key.protocol == Transport::TCP
            && edge.key.to.role.is_none()
            && ports.contains(&(edge.key.to.identity.clone(), edge.key.port));
        if tunnel {
            edge.key.to.role = Some(Role::MeshProxy);
            let (message, samples) = (edge.to_string(), &edge.evidence.samples);
            findings.report_rows(Code::MeshTunnel, message, edge.evidence.count, samples);
        }
        marked.insert(edge.key.clone(), edge);
    }
    marked.into_values().collect()
}

impl<'s> Proxies<'s> {
    fn find<'a: 's>(sightings: &[Sighting<'a>], resolver: &Resolver<'a>, cluster: &'a Cluster) -> Self {
        let mut found = Self {
            takers: BTreeMap::new(),
            taken: BTreeMap::new(),
            inlets: BTreeMap::new(),
            handed: BTreeMap::new(),
            reached: BTreeMap::new(),
            failed: BTreeMap::new(),
            sent: BTreeMap::new(),
            asked: BTreeMap::new(),
            served: BTreeMap::new(),
        };
        for sighting in sightings.iter().filter(|sighting| sighting.is_server()) {
            if let Some((pod, cgroup)) = taker(sighting) {
                found.takers.entry(&pod.uid).or_default().insert(cgroup);
                let taken = found.taken.entry(&pod.uid).or_default();
                *taken = taken.saturating_add(sighting.row.count);
            }
        }
        found.find_inlets(sightings);
        if !found.takers.is_empty() || !found.inlets.is_empty() {
            found.find_ways(sightings, resolver, cluster);
            found.find_failed(sightings, resolver, cluster);
        }
        found
    }

    /// A proxy takes what comes in at a port of a mesh, and takes what goes out or hands on what came in.
    fn find_inlets(&mut self, sightings: &[Sighting<'s>]) {
        let inlets = sightings.iter().filter(|sighting| is_at_inlet(sighting));
        let candidates: BTreeSet<(&str, u64)> = inlets.filter_map(pod_and_cgroup).collect();
        let hands_on = |sighting: &&Sighting<'s>| !sighting.is_server() && stays_inside(sighting);
        let handing: BTreeSet<(&str, u64)> = sightings.iter().filter(hands_on).filter_map(pod_and_cgroup).collect();
        for (uid, cgroup) in candidates {
            let takes = self.takers.get(uid).is_some_and(|takers| takers.contains(&cgroup));
            if takes || handing.contains(&(uid, cgroup)) {
                self.inlets.entry(uid).or_default().insert(cgroup);
            }
        }
    }

    fn find_ways<'a: 's>(&mut self, sightings: &[Sighting<'a>], resolver: &Resolver<'a>, cluster: &'a Cluster) {
        let mut own: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
        for sighting in sightings.iter().filter(|sighting| is_established_tcp(sighting)) {
            let of_proxy = pod_and_cgroup(sighting).filter(|(uid, cgroup)| self.is_proxy(uid, *cgroup));
            let port = sighting.port;
            if sighting.is_server() {
                let (who, server) = (who(sighting.remote, sighting, false), server_endpoint(sighting));
                note(self.served.entry(who).or_default(), server, port, sighting.presence());
                if let Some((uid, _)) = of_proxy {
                    own.entry(uid).or_default().insert(port);
                }
                continue;
            }
            if stays_inside(sighting) {
                if let Some((uid, _)) = of_proxy {
                    self.handed.entry(uid).or_default().insert(port);
                }
                continue;
            }
            let who = who(sighting.local, sighting, true);
            for (server, port) in ways(sighting, resolver, cluster) {
                let span = sighting.presence();
                if let Some((uid, _)) = of_proxy {
                    note(self.reached.entry(uid).or_default(), server, port, span);
                }
                let by_application = self.is_application(sighting);
                let ways = if by_application {
                    &mut self.asked
                } else {
                    &mut self.sent
                };
                note(ways.entry(who).or_default(), server, port, span);
            }
        }
        for (uid, ports) in &mut self.handed {
            ports.retain(|port| !own.get(uid).is_some_and(|own| own.contains(port)));
        }
    }

    fn find_failed<'a: 's>(&mut self, sightings: &[Sighting<'a>], resolver: &Resolver<'a>, cluster: &'a Cluster) {
        let failing = |sighting: &&Sighting<'a>| {
            let tcp = sighting.protocol() == Transport::TCP && !sighting.is_server();
            tcp && !is_established_tcp(sighting) && !stays_inside(sighting)
        };
        for sighting in sightings.iter().filter(failing) {
            let Some((uid, _)) = pod_and_cgroup(sighting).filter(|(uid, cgroup)| self.is_proxy(uid, *cgroup)) else {
                continue;
            };
            for way in ways(sighting, resolver, cluster) {
                let ended = self.failed.entry(uid).or_default();
                let outcome = sighting.outcome();
                let known = ended.get(&way).copied().unwrap_or(outcome);
                ended.insert(way, known.min(outcome));
            }
        }
    }

    fn is_proxy(&self, uid: &str, cgroup: u64) -> bool {
        let among = |groups: Option<&BTreeSet<u64>>| groups.is_some_and(|groups| groups.contains(&cgroup));
        among(self.takers.get(uid)) || among(self.inlets.get(uid))
    }

    /// Whether a socket is of a pod whose proxy takes what its other sockets open, and is one of those.
    fn is_application(&self, sighting: &Sighting<'_>) -> bool {
        pod_and_cgroup(sighting).is_some_and(|(uid, cgroup)| {
            self.takers.get(uid).is_some_and(|takers| !takers.contains(&cgroup)) && !self.is_proxy(uid, cgroup)
        })
    }
}

/// The pod and control group of a socket that took a connection of its own pod: it is at a loopback address, and its peer
/// at the pod's own, which is what redirecting leaves and nothing else makes.
fn taker<'a>(sighting: &Sighting<'a>) -> Option<(&'a Pod, u64)> {
    let Party::Pod(pod) = sighting.local else { return None };
    let (local, remote) = (sighting.row.local_ip?, sighting.row.remote_ip?);
    let redirected = local.ip().is_loopback() && pod.addresses.contains(&remote) && !pod.host_network;
    (redirected && sighting.protocol() == Transport::TCP).then_some((pod, sighting.row.cgroup_id?))
}

/// Whether a socket took a connection from elsewhere at a port of a mesh.
fn is_at_inlet(sighting: &Sighting<'_>) -> bool {
    let port = REDIRECTED.contains(&sighting.port) || sighting.port == HBONE;
    let pod = matches!(sighting.local, Party::Pod(pod) if !pod.host_network);
    sighting.is_server() && sighting.protocol() == Transport::TCP && pod && port && !stays_inside(sighting)
}

/// Whether both ends are in one pod.
fn stays_inside(sighting: &Sighting<'_>) -> bool {
    match (sighting.local, sighting.row.remote_ip) {
        (Party::Pod(pod), Some(remote)) if !pod.host_network => {
            remote.ip().is_loopback() || pod.addresses.contains(&remote)
        }
        _ => false,
    }
}

fn is_established_tcp(sighting: &Sighting<'_>) -> bool {
    sighting.protocol() == Transport::TCP && sighting.outcome() == Outcome::Established
}

fn pod_and_cgroup<'a>(sighting: &Sighting<'a>) -> Option<(&'a str, u64)> {
    let Party::Pod(pod) = sighting.local else { return None };
    (!pod.host_network).then_some((pod.uid.as_str(), sighting.row.cgroup_id?))
}

fn who<'a>(party: Party<'a>, sighting: &Sighting<'_>, local: bool) -> Who<'a> {
    match host_of(party) {
        Some(node) => (Some(node), EndpointRef::Unknown),
        None => (None, endpoint(party, &sighting.row, local)),
    }
}

fn note<'a>(reached: &mut Reached<'a>, server: EndpointRef<'a>, port: u16, span: Span) {
    reached.entry(server).or_default().entry(port).or_default().push(span);
}

/// Where what a client sent may have led: to what it addressed, and to each backend of the Services it addressed.
fn ways<'a>(sighting: &Sighting<'a>, resolver: &Resolver<'a>, cluster: &'a Cluster) -> Vec<(EndpointRef<'a>, u16)> {
    let mut ways = vec![(server_endpoint(sighting), sighting.port)];
    if !sighting.met_server {
        let backends = sighting.backends(resolver, cluster).into_iter();
        ways.extend(backends.map(|backend| (backend.endpoint(), backend.port)));
    }
    ways
}

/// A party, for a message.
fn named(party: Party<'_>, resolver: &Resolver<'_>) -> String {
    let peer = resolver.identity(party).map(|identity| Peer { identity, role: None });
    peer.map_or_else(|| "loopback".to_owned(), |peer| peer.to_string())
}
