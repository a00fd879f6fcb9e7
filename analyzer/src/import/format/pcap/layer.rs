//! The layers of a packet, from the link to the ports, and into tunnels.

use std::hash::{DefaultHasher, Hasher as _};

use etherparse::{Ipv6ExtensionSlice, LaxIpSlice};
use flowtape_schemas::address::Address;
use flowtape_schemas::time::Time;
use pcap_file::DataLink;

use super::dns;
use crate::import::record::{End, Flags, Packet, Record, Reject, View, Way, Who};

/// Tunnels within tunnels that are followed.
const DEPTH: usize = 4;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLANS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Ethernet within GRE (RFC 7637) and Geneve (RFC 8926).
const BRIDGED: u16 = 0x6558;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// Ports that IANA gave to tunnels, and that of VXLAN before it did, which Linux still takes (`drivers/net/vxlan`, v6.12).
const VXLAN: [u16; 2] = [4789, 8472];
const GENEVE: u16 = 6081;

/// A packet as it was captured.
pub(super) struct Frame<'a> {
    /// When.
    pub(super) time: Time,
    /// Number of the interface in the file.
    pub(super) interface: u32,
    /// What its bytes begin with.
    pub(super) link: DataLink,
    /// Its bytes, as many as were captured.
    pub(super) data: &'a [u8],
}

const SHORT: Reject = Reject::incomplete("a packet is shorter than its headers");

impl Frame<'_> {
    /// What the packet says.
    pub(super) fn records(&self) -> Result<Vec<Record>, Reject> {
        let point = u64::from(self.interface) << 32;
        if self.link == DataLink::ETHERNET {
            self.ethernet(self.data, point, DEPTH)
        } else if self.link == DataLink::LINUX_SLL {
            // LINKTYPE_LINUX_SLL: kind of packet, then 12 bytes, then the protocol.
            let kind = u64::from(word(self.data, 0)?);
            self.network(word(self.data, 14)?, rest(self.data, 16)?, point | kind, DEPTH)
        } else if self.link == DataLink::LINUX_SLL2 {
            // LINKTYPE_LINUX_SLL2: protocol, two bytes, number of the interface, six bytes, kind of packet.
            let interface = u64::from(word(self.data, 4)?) << 16 | u64::from(word(self.data, 6)?);
            self.network(word(self.data, 0)?, rest(self.data, 20)?, point | interface, DEPTH)
        } else if matches!(self.link, DataLink::RAW | DataLink::IPV4 | DataLink::IPV6) {
            self.internet(self.data, point, DEPTH)
        } else if matches!(self.link, DataLink::NULL | DataLink::LOOP) {
            self.internet(rest(self.data, 4)?, point, DEPTH)
        } else {
            Err(Reject::unknown("it is of a link that is not known"))
        }
    }

    fn ethernet(&self, data: &[u8], point: u64, depth: usize) -> Result<Vec<Record>, Reject> {
        let mut place = 12;
        let mut kind = word(data, place)?;
        while VLANS.contains(&kind) {
            place += 4;
            kind = word(data, place)?;
        }
        self.network(kind, rest(data, place + 2)?, point, depth)
    }

    fn network(&self, kind: u16, data: &[u8], point: u64, depth: usize) -> Result<Vec<Record>, Reject> {
        match kind {
            IPV4 | IPV6 => self.internet(data, point, depth),
            BRIDGED => self.ethernet(data, point, depth),
            kind if VLANS.contains(&kind) => self.network(word(data, 2)?, rest(data, 4)?, point, depth),
            _ => Ok(vec![Record::PassedOver("packet that is not IP")]),
        }
    }

    fn internet(&self, data: &[u8], point: u64, depth: usize) -> Result<Vec<Record>, Reject> {
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(vec![Record::PassedOver("tunnel in a tunnel in a tunnel")]);
        };
        let ip = LaxIpSlice::from_slice(data).map(|(ip, _)| ip);
        let ip = ip
            .ok()
            .ok_or(Reject::malformed("the header of IP is damaged or cut off"))?;
        if is_later_fragment(&ip) {
            return Ok(vec![Record::PassedOver("fragment without ports, after the first")]);
        }
        let ends = (Address::from(ip.source_addr()), Address::from(ip.destination_addr()));
        let payload = ip.payload();
        let inner = payload.payload;
        match payload.ip_number.0 {
            TCP => self.segment(ends, inner, point),
            UDP => self.datagram(ends, inner, point, depth),
            SCTP => Ok(vec![self.packet(SCTP, ends, inner, None, point)?]),
            1 | 58 => Ok(vec![Record::PassedOver("ICMP")]),
            4 | 41 => self.internet(inner, point, depth),
            47 => self.generic(inner, point, depth),
            _ => Ok(vec![Record::PassedOver("packet of another protocol")]),
        }
    }

    /// Generic Routing Encapsulation (RFC 2784, 2890).
    fn generic(&self, data: &[u8], point: u64, depth: usize) -> Result<Vec<Record>, Reject> {
        let bits = word(data, 0)?;
        let optional = [0x8000, 0x2000, 0x1000].iter().filter(|bit| bits & **bit != 0).count();
        self.network(word(data, 2)?, rest(data, 4 + 4 * optional)?, point, depth)
    }

    fn segment(&self, ends: (Address, Address), data: &[u8], point: u64) -> Result<Vec<Record>, Reject> {
        // The flags stand in the fourteenth byte (RFC 9293); a capture may have been cut before them.
        let flags = data.get(13).map(|bits| Flags(bits & 0x17));
        Ok(vec![self.packet(TCP, ends, data, flags, point)?])
    }

    fn datagram(&self, ends: (Address, Address), data: &[u8], point: u64, depth: usize) -> Result<Vec<Record>, Reject> {
        let (source, target) = (word(data, 0)?, word(data, 2)?);
        if VXLAN.contains(&target) {
            return self.ethernet(rest(data, 16)?, point, depth);
        }
        if target == GENEVE {
            let options = usize::from(byte(data, 8)? & 0x3f) * 4;
            return self.network(word(data, 10)?, rest(data, 16 + options)?, point, depth);
        }
        let mut records = vec![self.packet(UDP, ends, data, None, point)?];
        if source == dns::PORT {
            let names = dns::answers(data.get(8..).unwrap_or_default());
            records.extend(
                names
                    .into_iter()
                    .map(|answer| Record::Name(answer.told(self.time, ends.1))),
            );
        }
        Ok(records)
    }

    fn packet(
        &self,
        protocol: u8,
        (source, target): (Address, Address),
        data: &[u8],
        flags: Option<Flags>,
        point: u64,
    ) -> Result<Record, Reject> {
        let end = |address, port| End {
            address: Some(address),
            port: Some(port),
            who: Who::Untold,
        };
        let sequence = match protocol {
            TCP => flags.and_then(|_| Some(u32::from_be_bytes(data.get(4..8)?.try_into().ok()?))),
            UDP => data.get(8..).map(digest),
            _ => None,
        };
        Ok(Record::Packet(Box::new(Packet {
            time: self.time,
            node: None,
            protocol,
            from: end(source, word(data, 0)?),
            to: end(target, word(data, 2)?),
            flags,
            way: Way::Untold,
            view: View::Between,
            point,
            count: 1,
            dropped: false,
            asked: None,
            sequence,
        })))
    }
}

/// Tells what datagrams hold apart.
fn digest(content: &[u8]) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    let [one, two, three, four, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([one, two, three, four])
}

/// Whether the ports stand in another packet.
fn is_later_fragment(ip: &LaxIpSlice<'_>) -> bool {
    match ip {
        LaxIpSlice::Ipv4(ip) => ip.header().fragments_offset().value() != 0,
        LaxIpSlice::Ipv6(ip) => ip.extensions().clone().into_iter().any(|extension| match extension {
            Ipv6ExtensionSlice::Fragment(header) => header.fragment_offset().value() != 0,
            Ipv6ExtensionSlice::HopByHop(_)
            | Ipv6ExtensionSlice::Routing(_)
            | Ipv6ExtensionSlice::DestinationOptions(_)
            | Ipv6ExtensionSlice::Authentication(_) => false,
        }),
    }
}

fn byte(data: &[u8], place: usize) -> Result<u8, Reject> {
    data.get(place).copied().ok_or(SHORT)
}

fn word(data: &[u8], place: usize) -> Result<u16, Reject> {
    Ok(u16::from_be_bytes([byte(data, place)?, byte(data, place + 1)?]))
}

fn rest(data: &[u8], place: usize) -> Result<&[u8], Reject> {
    data.get(place..).ok_or(SHORT)
}
