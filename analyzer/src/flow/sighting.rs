//! One counted flow with both of its ends resolved.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flowtape_schemas::address::Address;
use flowtape_schemas::node::{Direction, FlowRow, Hook, Outcome};
use flowtape_schemas::time::Time;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::edge::Transport;
use super::end::{EndpointRef, IdentityRef};
use super::host::{host_of, node_of};
use super::join::Met;
use crate::findings::{Code, Findings, Samples};
use crate::identity::cluster::Cluster;
use crate::identity::resolve::{Party, Resolver, span_of};
use crate::identity::service::ServiceHit;
use crate::identity::timeline::Span;
use crate::tape::{NodeTape, RowAt, Tape};

/// A flow as one side saw it.
#[derive(Clone, Debug)]
pub(super) struct Sighting<'a> {
    /// Node whose recorder saw it.
    pub(super) node: &'a str,
    /// Which row of the tape it is; `None` for one that was made of samples.
    pub(super) at: Option<RowAt>,
    /// The row of the tape.
    pub(super) recorded: &'a FlowRow,
    /// What was counted, without proxies in the way.
    pub(super) row: Cow<'a, FlowRow>,
    /// Whose socket it was.
    pub(super) local: Party<'a>,
    /// Who was at the other end.
    pub(super) remote: Party<'a>,
    /// Services that the client addressed; empty for a direct connection and for the server's view.
    pub(super) services: Vec<ServiceHit<'a>>,
    /// The port of a node through which it did.
    pub(super) node_port: Option<u16>,
    /// Whether `remote` is the server itself although a Service was addressed: a load balancer in the client's own socket
    /// put the backend in place, or the client's node itself answers at the address.
    pub(super) met_server: bool,
    /// The other side of the same connections, where single ones were paired.
    pub(super) met: Option<Met<'a>>,
    /// Whether it is supposed, not seen.
    pub(super) supposed: bool,
    /// Whether `port` is that of a proxy in the server's pod, and nothing tells to which port it was sent.
    pub(super) redirected: bool,
    /// The server's port as this side saw it.
    pub(super) port: u16,
    /// When it was, by the clock that those of all nodes are aligned with.
    pub(super) aligned: Span,
    /// When it was, by the clock of the metadata; longer where that is not known exactly.
    pub(super) when: Span,
}

impl<'a> Sighting<'a> {
    pub(super) fn protocol(&self) -> Transport {
        Transport(self.row.protocol)
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.row.outcome
    }

    pub(super) fn is_server(&self) -> bool {
        self.row.direction == Direction::In
    }

    /// Whether a server may have counted it too.
    pub(super) fn may_be_accepted(&self) -> bool {
        matches!(self.outcome(), Outcome::Established | Outcome::Unknown)
    }

    /// Whether these are datagrams of connected sockets, which the kernel would have told of an error.
    pub(super) fn is_of_connected_sockets(&self) -> bool {
        self.protocol() == Transport::UDP && self.row.hook == Hook::SendLength
    }

    /// The address of the socket: where the socket has none of its own, any of its pod.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> {
        let of_pod = match (self.row.local_ip, &self.local) {
            (None, Party::Pod(pod)) => Some(&pod.addresses),
            (Some(_), _)
            | (None, Party::Node(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..)) => {
                None
            }
        };
        let own = self.row.local_ip.into_iter();
        own.chain(of_pod.into_iter().flatten().copied())
    }

    /// Whether this is such an address.
    pub(super) fn is_at(&self, address: Option<Address>) -> bool {
        address.is_some_and(|address| self.addresses().any(|own| own == address))
    }

    /// The address at which a server on the network of a node answered, if it is not one of the node's own.
    pub(super) fn answered_at(&self) -> Option<Address> {
        let Party::Pod(pod) = &self.local else { return None };
        let address = self.row.local_ip.filter(|_| pod.host_network && self.is_server())?;
        let elsewhere = !address.ip().is_unspecified() && !address.ip().is_loopback();
        (elsewhere && !pod.addresses.contains(&address)).then_some(address)
    }

    /// Who answers on the client's own node at the address that it sent to, where exactly one does.
    fn answered_by(&self, answering: &Answering<'a>) -> Option<Party<'a>> {
        let key = (node_of(self.local)?, self.row.remote_ip?, self.protocol(), self.port);
        match answering.get(&key)?.as_slice() {
            [only] => Some(*only),
            [] | [_, _, ..] => None,
        }
    }

    /// Whether its operations went to a Service that changed meanwhile, so that single ones may tell more.
    pub(super) fn spans_a_change(&self, cluster: &Cluster) -> bool {
        let mut names = self.services.iter().map(|hit| (hit.namespace, hit.name));
        let first = names.next();
        let others = names.any(|name| Some(name) != first);
        let changed = |hit: &ServiceHit<'_>| cluster.services.changed_during(*hit, self.when);
        self.row.count > 1 && (others || self.services.iter().any(changed))
    }

    /// Reports something of every operation of it.
    pub(super) fn report(&self, code: Code, message: String, findings: &mut Findings) {
        findings.report_rows(code, message, self.row.count, &Samples::of(self.node, self.recorded));
    }

    /// From when to when this was there: a connection that is older than the window was there all the time before it was
    /// found, and recorders do not begin at the same instant.
    pub(super) fn presence(&self) -> Span {
        let span = self.aligned;
        if self.row.predates_window {
            Span {
                first: Time::MIN,
                ..span
            }
        } else {
            span
        }
    }
}

/// Resolves every flow of a tape that has a direction and a port, in the order of nodes and rows; the caller reports the
/// others.
pub(super) fn sightings<'a>(tape: &'a Tape, resolver: &Resolver<'a>, cluster: &'a Cluster) -> Vec<Sighting<'a>> {
    let of_node = |(number, node): (usize, &'a NodeTape)| {
        let rows = node.flows.par_iter().enumerate();
        let of_row = move |(place, row): (usize, &'a FlowRow)| {
            let sighting = sighting(&node.name, row, resolver, cluster)?;
            let at = RowAt {
                node: number,
                row: place,
            };
            Some(Sighting {
                at: Some(at),
                ..sighting
            })
        };
        rows.filter_map(of_row)
    };
    let nodes = tape.nodes.par_iter().enumerate();
    let mut sightings: Vec<Sighting<'a>> = nodes.flat_map(of_node).collect();
    let answering = answering(&sightings);
    if answering.is_empty() {
        return sightings;
    }
    for sighting in sightings.iter_mut().filter(|sighting| !sighting.is_server()) {
        if let Some(server) = sighting.answered_by(&answering) {
            sighting.remote = server;
            sighting.met_server = true;
        }
    }
    sightings
}

/// Who answers on the network of a node at an address that is not the node's, by node, address, protocol and port.
type Answering<'a> = BTreeMap<(&'a str, Address, Transport, u16), Vec<Party<'a>>>;

/// A DNS cache of a node answers there at a link-local address, and at that of the Service it stands before: both mean
/// another server on every node, and neither is in the metadata of the node.
fn answering<'a>(sightings: &[Sighting<'a>]) -> Answering<'a> {
    let mut answering: Answering<'a> = BTreeMap::new();
    for sighting in sightings.iter().filter(|sighting| sighting.is_server()) {
        if let (Some(node), Some(address)) = (host_of(sighting.local), sighting.answered_at()) {
            let key = (node, address, sighting.protocol(), sighting.port);
            let parties = answering.entry(key).or_default();
            let own = IdentityRef::of(sighting.local);
            if !parties.iter().any(|known| IdentityRef::of(*known) == own) {
                parties.push(sighting.local);
            }
        }
    }
    answering
}

/// Resolves one row; `None` if it can be no edge.
pub(super) fn sighting<'a>(
    node: &'a str,
    row: &'a FlowRow,
    resolver: &Resolver<'a>,
    cluster: &'a Cluster,
) -> Option<Sighting<'a>> {
    if !matches!(row.direction, Direction::In | Direction::Out) {
        return None;
    }
    let port = row.service_port?;
    let remote = resolver.remote(node, row);
    let when = resolver.clocks().in_metadata(node, span_of(row));
    let (services, node_port) = match (row.direction, row.asked_ip) {
        (Direction::Out, Some(asked)) => {
            let party = resolver.by_address(node, Some(asked), span_of(row));
            services(row, when, (asked, row.asked_port.unwrap_or(port)), party, cluster)
        }
        (Direction::Out, None) => match row.remote_ip {
            Some(address) => services(row, when, (address, port), remote, cluster),
            None => (Vec::new(), None),
        },
        (Direction::In | Direction::None | Direction::Unknown, _) => (Vec::new(), None),
    };
    Some(Sighting {
        node,
        at: None,
        recorded: row,
        row: Cow::Borrowed(row),
        local: resolver.local(node, row),
        remote,
        services,
        node_port,
        met_server: row.asked_ip.is_some(),
        met: None,
        supposed: false,
        redirected: false,
        port,
        aligned: resolver.clocks().aligned(node, span_of(row)),
        when,
    })
}

/// The Services behind the address and port that a client addressed, and that port if it is one of every node.
fn services<'a>(
    row: &FlowRow,
    when: Span,
    (address, port): (Address, u16),
    party: Party<'_>,
    cluster: &'a Cluster,
) -> (Vec<ServiceHit<'a>>, Option<u16>) {
    let protocol = Transport(row.protocol).name();
    let found = cluster.services.at_address(address, port, &protocol, when);
    if found.is_empty() && matches!(party, Party::Node(_)) {
        let found = cluster.services.at_node_port(port, &protocol, when);
        let node_port = (!found.is_empty()).then_some(port);
        return (found, node_port);
    }
    (found, None)
}

/// The server of a sighting: of a pod on the network of its node the address at which it answers, where that is not one
/// of the node's own, because the pod's name would stand for the node's addresses.
pub(super) fn server_endpoint<'a>(sighting: &Sighting<'a>) -> EndpointRef<'a> {
    let local = sighting.is_server();
    let party = if local { sighting.local } else { sighting.remote };
    let address = if local {
        sighting.answered_at()
    } else {
        sighting.row.remote_ip
    };
    match (party, address) {
        (Party::Pod(pod), Some(address)) if pod.host_network && !pod.addresses.contains(&address) => {
            EndpointRef::Address(address)
        }
        _ => endpoint(party, &sighting.row, local),
    }
}

/// The single pod or address behind a party.
pub(super) fn endpoint<'a>(party: Party<'a>, row: &FlowRow, local: bool) -> EndpointRef<'a> {
    let address = if local { row.local_ip } else { row.remote_ip };
    match party {
        Party::Pod(pod) => EndpointRef::of_pod(pod),
        Party::Node(_) | Party::External(_) | Party::Loopback | Party::Group | Party::Unknown(..) => {
            address.map_or(EndpointRef::Unknown, EndpointRef::Address)
        }
    }
}
