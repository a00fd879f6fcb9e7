//! What came in at the port of a proxy: which port of its pod it was sent to.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{HBONE, ISTIO_INBOUND, MeshPorts, Proxies, is_at_inlet, named, pod_and_cgroup, who};
use crate::findings::{Code, Findings};
use crate::flow::sighting::{Sighting, server_endpoint};
use crate::identity::resolve::Resolver;
use crate::identity::timeline::Span;

/// To which ports a connection was sent that ended at the proxy's.
struct Sent {
    ports: BTreeSet<u16>,
    /// Whether that is supposed, because nobody saw it being sent.
    supposed: bool,
}

impl Proxies<'_> {
    /// The views of servers, those of proxies at the ports that clients had addressed.
    pub(super) fn incoming<'a>(
        &self,
        sightings: &[Sighting<'a>],
        resolver: &Resolver<'_>,
        mesh: &mut MeshPorts,
        findings: &mut Findings,
    ) -> Vec<Sighting<'a>> {
        let mut seen = Vec::new();
        for sighting in sightings.iter().filter(|sighting| sighting.is_server()) {
            let uid = pod_and_cgroup(sighting).filter(|(uid, cgroup)| self.is_proxy(uid, *cgroup));
            match uid {
                Some((uid, _)) if is_at_inlet(sighting) => {
                    self.arrived(sighting, (uid, resolver), mesh, findings, &mut seen);
                }
                _ => seen.push(sighting.clone()),
            }
        }
        seen
    }

    fn arrived<'a>(
        &self,
        sighting: &Sighting<'a>,
        (uid, resolver): (&str, &Resolver<'_>),
        mesh: &mut MeshPorts,
        findings: &mut Findings,
        seen: &mut Vec<Sighting<'a>>,
    ) {
        let Sent { ports, supposed } = self.sent_to(sighting, uid);
        let [client, server] = [sighting.remote, sighting.local].map(|party| named(party, resolver));
        let count = sighting.row.count;
        if ports.is_empty() {
            let message = format!(
                "{client} -> {server}: the port behind the proxy's {} is not known",
                sighting.port
            );
            sighting.report(Code::ProxyPortUnknown, message, findings);
            seen.push(Sighting {
                redirected: true,
                ..sighting.clone()
            });
            return;
        }
        if supposed {
            let message = format!(
                "{client} -> {server}: nobody saw to which port it was sent; all that its proxy handed on to are supposed"
            );
            sighting.report(Code::ProxySupposed, message, findings);
        }
        if ports.contains(&sighting.port) {
            mesh.extend(
                resolver
                    .identity(sighting.local)
                    .map(|identity| (identity, sighting.port)),
            );
        }
        let share = if ports.len() == 1 { count } else { 0 };
        for port in ports {
            let mut row = sighting.row.clone().into_owned();
            row.count = share;
            row.service_port = Some(port);
            seen.push(Sighting {
                row: Cow::Owned(row),
                port,
                supposed,
                ..sighting.clone()
            });
        }
    }

    /// As its client's sockets say; where there is no word of them, as the proxy handed on.
    fn sent_to(&self, sighting: &Sighting<'_>, uid: &str) -> Sent {
        if sighting.port == HBONE {
            return Sent {
                ports: BTreeSet::from([HBONE]),
                supposed: false,
            };
        }
        let (client, server) = (who(sighting.remote, sighting, false), server_endpoint(sighting));
        let at = sighting.presence().tolerant();
        let overlapping = |spans: &Vec<Span>| spans.iter().any(|span| span.overlaps(at));
        let own_view = self.served.get(&client).and_then(|reached| reached.get(&server));
        let straight = |port: &u16| *port != sighting.port && own_view.is_some_and(|ports| ports.contains_key(port));
        for ways in [&self.sent, &self.asked] {
            let ports = ways.get(&client).and_then(|reached| reached.get(&server));
            let ports = ports.into_iter().flatten().filter(|(_, spans)| overlapping(spans));
            let ports: BTreeSet<u16> = ports.map(|(port, _)| *port).filter(|port| !straight(port)).collect();
            if !ports.is_empty() {
                return Sent { ports, supposed: false };
            }
        }
        let ports = self.handed.get(uid).cloned().unwrap_or_default();
        // To a port that is addressed as well, nobody can tell what was.
        let supposed = ports.len() > 1 || sighting.port != ISTIO_INBOUND;
        Sent {
            supposed: supposed && !ports.is_empty(),
            ports,
        }
    }
}
