//! Ports of rules, in the form of `v1alpha1` and in that of `v1alpha2`.

use crate::parse::network_policy::reader::Reader;
use crate::parse::report::{Path, ProblemKind};
use crate::policy::cluster::ClusterKind;
use crate::policy::model::{PortMatch, PortRule, Ports};
use crate::policy::one_or_more::OneOrMore;
use crate::policy::ports::{PortRange, Protocol};

use super::fields::{Number, Port, Protocol as Read, Range, Transport, TransportPort};
use super::most;

impl Reader<'_> {
    /// `ports` of an AdminNetworkPolicy or BaselineAdminNetworkPolicy.
    pub(super) fn admin_ports(&mut self, ports: Option<Vec<Port>>, path: &Path) -> Option<Ports> {
        let Some(ports) = ports else {
            return Some(Ports::Any);
        };
        self.count(ports.len(), 1, most(ClusterKind::Admin), path);
        let read = ports
            .into_iter()
            .enumerate()
            .map(|(at, port)| self.admin_port(port, &path.index(at)))
            .collect();
        of(read)
    }

    fn admin_port(&mut self, port: Port, path: &Path) -> Option<Vec<PortRule>> {
        let Port {
            port_number,
            named_port,
            port_range,
        } = port;
        match (port_number, named_port, port_range) {
            (Some(Number { protocol, port }), None, None) => {
                let path = path.field("portNumber");
                let protocol = self.protocol(protocol, &path.field("protocol"));
                let number = self.required_port(port, &path.field("port"));
                Some(vec![numbers(protocol?, PortRange::single(number?)?)])
            }
            (None, Some(name), None) => self.named(&name, &path.field("namedPort")),
            (None, None, Some(Range { protocol, start, end })) => {
                let path = path.field("portRange");
                let protocol = self.protocol(protocol, &path.field("protocol"));
                let (first, last) = self.bounds(start, end, &path);
                if let (Some(start), Some(end)) = (first, last)
                    && start > end
                {
                    self.invalid(&path, ProblemKind::RangeBackwards { start, end });
                }
                Some(vec![numbers(protocol?, PortRange::new(first?, last?)?)])
            }
            _ => {
                let fields = "`portNumber`, `namedPort`, `portRange`";
                self.invalid(path, ProblemKind::ExactlyOne { fields });
                None
            }
        }
    }

    /// `protocols` of a ClusterNetworkPolicy.
    pub(super) fn protocols(&mut self, protocols: Option<Vec<Read>>, path: &Path) -> Option<Ports> {
        let Some(protocols) = protocols else {
            return Some(Ports::Any);
        };
        self.count(protocols.len(), 1, most(ClusterKind::Cluster), path);
        let read = protocols
            .into_iter()
            .enumerate()
            .map(|(at, protocol)| self.protocol_form(protocol, &path.index(at)))
            .collect();
        of(read)
    }

    fn protocol_form(&mut self, protocol: Read, path: &Path) -> Option<Vec<PortRule>> {
        let Read {
            tcp,
            udp,
            sctp,
            destination_named_port,
        } = protocol;
        match (tcp, udp, sctp, destination_named_port) {
            (Some(tcp), None, None, None) => self.transport(Protocol::Tcp, tcp, &path.field("tcp")),
            (None, Some(udp), None, None) => self.transport(Protocol::Udp, udp, &path.field("udp")),
            (None, None, Some(sctp), None) => self.transport(Protocol::Sctp, sctp, &path.field("sctp")),
            (None, None, None, Some(name)) => self.named(&name, &path.field("destinationNamedPort")),
            _ => {
                let fields = "`tcp`, `udp`, `sctp`, `destinationNamedPort`";
                self.invalid(path, ProblemKind::ExactlyOne { fields });
                None
            }
        }
    }

    fn transport(&mut self, protocol: Protocol, transport: Transport, path: &Path) -> Option<Vec<PortRule>> {
        let path = path.field("destinationPort");
        let Some(TransportPort { number, range }) = transport.destination_port else {
            self.invalid(&path, ProblemKind::Required);
            return None;
        };
        let range = match (number, range) {
            (Some(number), None) => PortRange::single(self.port_number(number, &path.field("number"))?)?,
            (None, Some(range)) => {
                let path = path.field("range");
                let (first, last) = self.bounds(range.start, range.end, &path);
                let (start, end) = (first?, last?);
                if start >= end {
                    self.invalid(&path, ProblemKind::RangeBackwards { start, end });
                }
                PortRange::new(start, end)?
            }
            (None, None) | (Some(_), Some(_)) => {
                let fields = "`number`, `range`";
                self.invalid(&path, ProblemKind::ExactlyOne { fields });
                return None;
            }
        };
        Some(vec![numbers(protocol, range)])
    }

    fn bounds(&mut self, start: Option<i32>, end: Option<i32>, path: &Path) -> (Option<u16>, Option<u16>) {
        (
            self.required_port(start, &path.field("start")),
            self.required_port(end, &path.field("end")),
        )
    }

    fn required_port(&mut self, port: Option<i32>, path: &Path) -> Option<u16> {
        let Some(port) = port else {
            self.invalid(path, ProblemKind::Required);
            return None;
        };
        self.port_number(port, path)
    }

    /// TCP where nothing is written.
    fn protocol(&mut self, name: Option<String>, path: &Path) -> Option<Protocol> {
        let Some(name) = name else {
            return Some(Protocol::Tcp);
        };
        let known = Protocol::from_name(&name);
        if known.is_none() {
            self.choice(path, &name, "`TCP`, `UDP`, `SCTP`");
        }
        known
    }

    /// A name has no protocol here, so that it is that of any.
    fn named(&mut self, name: &str, path: &Path) -> Option<Vec<PortRule>> {
        if name.is_empty() {
            self.invalid(path, ProblemKind::Required);
            return None;
        }
        let named = |protocol| PortRule {
            protocol,
            port: PortMatch::Named(name.to_owned()),
        };
        Some(Protocol::ALL.map(named).to_vec())
    }
}

const fn numbers(protocol: Protocol, range: PortRange) -> PortRule {
    PortRule {
        protocol,
        port: PortMatch::Range(range),
    }
}

fn of(read: Vec<Option<Vec<PortRule>>>) -> Option<Ports> {
    let read: Vec<Vec<PortRule>> = read.into_iter().collect::<Option<_>>()?;
    OneOrMore::new(read.into_iter().flatten()).map(Ports::Of)
}
