//! Commands for `ip -batch` that hang one namespace on another. Pure text.
//!
//! Each link is a network of its own with the same two hardware addresses and the same two link-local gateways, all
//! neighbours permanent: there is no ARP, no neighbour discovery and no duplicate address detection to wait for. The
//! child has its addresses as host addresses and one default route; the router has a host route for each address of the
//! child. This is how Calico connects pods.

use std::fmt::Write as _;
use std::net::IpAddr;

use flowtape_scenario::model::Cidr;

/// Hardware address of the router's end.
const ROUTER: &str = "02:f1:0e:00:00:01";

/// Hardware address of the child's end.
const CHILD: &str = "02:f1:0e:00:00:02";

/// Commands for the router: makes the link and routes `addresses` and `ranges` to the child.
///
/// `source` are the router's own addresses, which it uses when it talks to the child itself.
pub(crate) fn router(link: &str, child: &str, addresses: &[IpAddr], ranges: &[Cidr], source: &[IpAddr]) -> String {
    let mut batch = String::new();
    let mut add = |line: String| {
        batch.push_str(&line);
        batch.push('\n');
    };
    add(format!(
        "link add {link} address {ROUTER} type veth peer name eth0 address {CHILD} netns {child}"
    ));
    add(format!("link set {link} up"));
    add(format!("neigh add 169.254.1.2 lladdr {CHILD} dev {link} nud permanent"));
    add(format!("neigh add fe80::2 lladdr {CHILD} dev {link} nud permanent"));
    let hosts = addresses
        .iter()
        .map(|address| (*address, if address.is_ipv4() { 32 } else { 128 }));
    for (address, prefix) in hosts.chain(ranges.iter().map(|range| (range.address, range.prefix))) {
        let gateway = if address.is_ipv4() { "169.254.1.2" } else { "fe80::2" };
        let own = source.iter().find(|own| own.is_ipv4() == address.is_ipv4());
        let source = own.map(|own| format!(" src {own}")).unwrap_or_default();
        add(format!(
            "route add {address}/{prefix} via {gateway} dev {link} onlink{source}"
        ));
    }
    batch
}

/// Commands for the child: addresses and the way out.
pub(crate) fn child(addresses: &[IpAddr]) -> String {
    let mut batch = String::from("link set lo up\nlink set eth0 up\n");
    for address in addresses {
        // Writing to a string cannot fail.
        let _ = match address {
            IpAddr::V4(address) => writeln!(batch, "addr add {address}/32 dev eth0"),
            IpAddr::V6(address) => writeln!(batch, "addr add {address}/128 dev eth0 nodad"),
        };
    }
    for gateway in ["169.254.1.1", "fe80::1"] {
        let _ = writeln!(batch, "neigh add {gateway} lladdr {ROUTER} dev eth0 nud permanent");
        let _ = writeln!(batch, "route add default via {gateway} dev eth0 onlink");
    }
    batch
}

/// Commands for the fabric itself. It answers with dummy addresses (RFC 7600, RFC 6666): it has none of its own.
pub(crate) const FABRIC: &str = "link set lo up\naddr add 192.0.0.8/32 dev lo\naddr add 100::1/128 dev lo nodad\n";
