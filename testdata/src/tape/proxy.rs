//! What the proxies in pods make of a connection: each is one the application sees, and one of the proxy's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flowtape_schemas::node::Direction;

use super::View;
use super::traffic::Sight;
use crate::connection::{Connection, Socket};
use crate::layout::Cgroup;
use crate::model::{ClientSocket, Outcome, Protocol, Proxy};

/// From where Istio's proxy hands on to the application in its pod (`127.0.0.6` and `::6`).
const HANDING: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(127, 0, 0, 6), Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// The proxies that a connection goes through.
pub(super) struct Proxies<'v> {
    client: Option<(&'v Proxy, &'v Cgroup)>,
    server: Option<(&'v Proxy, &'v Cgroup)>,
    way: ClientSocket,
}

impl<'v> Proxies<'v> {
    pub(super) fn of(view: &View<'v>, connection: &Connection) -> Self {
        let way = view
            .scenario
            .traffic
            .get(connection.traffic)
            .map(|traffic| traffic.socket);
        let way = way.unwrap_or(ClientSocket::Connected);
        let through = connection.protocol == Protocol::Tcp && way != ClientSocket::Past;
        let of = |socket: Option<Socket>| {
            let pod = view.layout.pods.get(socket.filter(|_| through)?.pod?)?;
            let proxy = view.scenario.workloads.get(pod.workload)?.proxy.as_ref()?;
            Some((proxy, pod.proxy_cgroup.as_ref()?))
        };
        Self {
            client: of(connection.client_socket),
            server: of(connection.server_socket),
            way,
        }
    }

    /// Redirected in the client's pod: the application's socket keeps the address it asked for, and what it is connected
    /// to is the proxy on loopback (`nf_nat_redirect_ipv4`, `net/netfilter/nf_nat_redirect.c` in Linux 6.12).
    pub(super) fn at_client<'c>(&self, sight: Sight<'c>) -> Vec<Sight<'c>> {
        let Some((proxy, cgroup)) = self.client else {
            return vec![sight];
        };
        let remote = match (self.way, self.server) {
            (ClientSocket::Tunnelled, Some((server, _))) => (sight.connection.backend.0, server.inbound),
            _ => sight.connection.backend,
        };
        let onward = Sight {
            remote,
            cgroup: cgroup.id,
            ..sight.clone()
        };
        let taking = Sight {
            direction: Direction::In,
            outcome: Outcome::Established,
            local: (loopback(sight.local.0), proxy.outbound),
            remote: sight.local,
            cgroup: cgroup.id,
            ..sight.clone()
        };
        let application = Sight {
            outcome: Outcome::Established,
            ..sight
        };
        match self.way {
            ClientSocket::Proxy => vec![onward],
            ClientSocket::Taken => vec![application, taking],
            ClientSocket::Connected
            | ClientSocket::Unconnected
            | ClientSocket::Named
            | ClientSocket::Balanced
            | ClientSocket::Past
            | ClientSocket::TurnedAway
            | ClientSocket::Tunnelled => vec![application, taking, onward],
        }
    }

    /// Redirected in the server's pod, or sent to the proxy itself; it hands on from an address of loopback.
    pub(super) fn at_server<'c>(&self, sight: Sight<'c>) -> Vec<Sight<'c>> {
        if self.way == ClientSocket::Taken {
            return Vec::new();
        }
        let Some((proxy, cgroup)) = self.server else {
            return vec![sight];
        };
        // A proxy that is no sidecar keeps the client's address (`IP_TRANSPARENT`).
        let handing = match proxy.by {
            Some(_) => sight.remote,
            None => (handing(sight.local.0), sight.remote.1),
        };
        let arrived = Sight {
            local: (sight.local.0, proxy.inbound),
            cgroup: cgroup.id,
            ..sight.clone()
        };
        if self.way == ClientSocket::TurnedAway {
            return vec![arrived];
        }
        vec![
            arrived,
            Sight {
                direction: Direction::Out,
                local: handing,
                remote: sight.local,
                cgroup: cgroup.id,
                ..sight.clone()
            },
            Sight {
                remote: handing,
                ..sight
            },
        ]
    }
}

fn loopback(of: IpAddr) -> IpAddr {
    match of {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn handing(of: IpAddr) -> IpAddr {
    match of {
        IpAddr::V4(_) => HANDING.0.into(),
        IpAddr::V6(_) => HANDING.1.into(),
    }
}
