//! What an application opened and its proxy took: for which Service the proxy reached whom.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flowtape_schemas::node::Outcome;

use super::{HBONE, Proxies, REDIRECTED, is_established_tcp, named, pod_and_cgroup, stays_inside, who};
use crate::findings::{Code, Findings};
use crate::flow::backend::ResolvedBackend;
use crate::flow::end::EndpointRef;
use crate::flow::sighting::{Sighting, server_endpoint};
use crate::identity::cluster::Cluster;
use crate::identity::resolve::{Party, Resolver};

/// What became of connections that nothing but the application's own sockets tells of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// None was taken: they left the pod.
    Left,
    /// Each was taken, and the proxy reached nobody of those that were asked for.
    Ended,
    /// Some were taken, and nobody can say which.
    Unclear,
}

/// Of a pod, the connections that its application opened.
#[derive(Default)]
struct Opened<'s, 'a> {
    /// How many of them its proxy carried on.
    carried: u64,
    /// Those of which nothing else tells.
    untold: Vec<&'s Sighting<'a>>,
}

impl Proxies<'_> {
    /// The views of clients, those of applications where their proxy went.
    pub(super) fn outgoing<'a>(
        &self,
        sightings: &[Sighting<'a>],
        resolver: &Resolver<'a>,
        cluster: &'a Cluster,
        findings: &mut Findings,
    ) -> Vec<Sighting<'a>> {
        let mut seen = Vec::new();
        let mut opened: BTreeMap<&str, Opened<'_, 'a>> = BTreeMap::new();
        for sighting in sightings.iter().filter(|sighting| !sighting.is_server()) {
            let takeable = self.is_application(sighting) && is_established_tcp(sighting) && !stays_inside(sighting);
            let Some((uid, _)) = pod_and_cgroup(sighting).filter(|_| takeable && is_somewhere(sighting.remote)) else {
                seen.push(sighting.clone());
                continue;
            };
            let of_pod = opened.entry(uid).or_default();
            let backends = if sighting.met_server {
                Vec::new()
            } else {
                sighting.backends(resolver, cluster)
            };
            let fate = |server: EndpointRef<'a>, port: u16| self.carried(uid, server, port);
            let onward: Vec<Sighting<'a>> = backends
                .iter()
                .filter_map(|one| Some(asked_for(sighting, *one, fate(one.endpoint(), one.port)?)))
                .collect();
            if !onward.is_empty() || fate(server_endpoint(sighting), sighting.port).is_some() {
                of_pod.carried = of_pod.carried.saturating_add(sighting.row.count);
                seen.extend(onward);
            } else if self.was_served(sighting, &backends) {
                seen.push(sighting.clone());
            } else {
                of_pod.untold.push(sighting);
            }
        }
        for (uid, of_pod) in opened {
            self.untold((uid, resolver), &of_pod, findings, &mut seen);
        }
        seen
    }

    /// How it ended where the proxy of a pod went to this server: at its port, or at that of the server's own proxy.
    fn carried(&self, uid: &str, server: EndpointRef<'_>, port: u16) -> Option<Outcome> {
        let ports = self.reached.get(uid).and_then(|reached| reached.get(&server));
        let at = |reached: &u16| *reached == port || *reached == HBONE || REDIRECTED.contains(reached);
        if ports.is_some_and(|ports| ports.keys().any(at)) {
            return Some(Outcome::Established);
        }
        self.failed.get(uid)?.get(&(server, port)).copied()
    }

    /// Whether a server saw this client itself, so that no proxy took it.
    fn was_served(&self, sighting: &Sighting<'_>, backends: &[ResolvedBackend<'_>]) -> bool {
        let Some(served) = self.served.get(&who(sighting.local, sighting, true)) else {
            return false;
        };
        let at =
            |server: EndpointRef<'_>, port: u16| served.get(&server).is_some_and(|ports| ports.contains_key(&port));
        at(server_endpoint(sighting), sighting.port) || backends.iter().any(|one| at(one.endpoint(), one.port))
    }

    /// What the numbers say of connections of which nothing else tells: a proxy counts each that it takes.
    fn fate(&self, uid: &str, of_pod: &Opened<'_, '_>) -> Fate {
        let taken = self.taken.get(uid).copied().unwrap_or_default();
        let untold = of_pod.untold.iter().map(|sighting| sighting.row.count);
        let untold = untold.fold(0, u64::saturating_add);
        if taken <= of_pod.carried {
            Fate::Left
        } else if taken >= of_pod.carried.saturating_add(untold) {
            Fate::Ended
        } else {
            Fate::Unclear
        }
    }

    fn untold<'a>(
        &self,
        (uid, resolver): (&str, &Resolver<'_>),
        of_pod: &Opened<'_, 'a>,
        findings: &mut Findings,
        seen: &mut Vec<Sighting<'a>>,
    ) {
        let fate = self.fate(uid, of_pod);
        for sighting in &of_pod.untold {
            let place = format!("{} -> {}", named(sighting.local, resolver), asked(sighting, resolver));
            let mut left = (*sighting).clone();
            match fate {
                Fate::Left => {}
                Fate::Ended => {
                    let message = format!("{place}: ended at the proxy of its own pod, which reached no such server");
                    sighting.report(Code::ProxyEnded, message, findings);
                    left.row.to_mut().outcome = Outcome::Unknown;
                }
                Fate::Unclear => {
                    let message =
                        format!("{place}: its proxy may have taken this elsewhere; it is supposed to have left");
                    sighting.report(Code::ProxySupposed, message, findings);
                    left.supposed = true;
                }
            }
            seen.push(left);
        }
    }
}

/// Whether a party is somewhere a packet goes.
fn is_somewhere(party: Party<'_>) -> bool {
    match party {
        Party::Loopback | Party::Group => false,
        Party::Pod(_) | Party::Node(_) | Party::External(..) | Party::Unknown(..) => true,
    }
}

/// The application's view of what its proxy reached for it: the Service it asked for. The proxy's own sockets count.
fn asked_for<'a>(sighting: &Sighting<'a>, backend: ResolvedBackend<'a>, outcome: Outcome) -> Sighting<'a> {
    let mut row = sighting.row.clone().into_owned();
    row.count = 0;
    row.outcome = outcome;
    row.remote_ip = Some(backend.address);
    Sighting {
        row: Cow::Owned(row),
        remote: backend.party,
        port: backend.port,
        services: vec![backend.service],
        node_port: None,
        met_server: true,
        ..sighting.clone()
    }
}

/// What a client asked for, for a message.
fn asked(sighting: &Sighting<'_>, resolver: &Resolver<'_>) -> String {
    match sighting.services.first() {
        Some(hit) => format!("Service {}/{}:{}", hit.namespace, hit.name, hit.port),
        None => format!(
            "{} {}/{}",
            named(sighting.remote, resolver),
            sighting.port,
            sighting.protocol()
        ),
    }
}
