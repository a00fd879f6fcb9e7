//! Packets in every wrapping that is read: links, tags, tunnels, extension headers and fragments, built byte by byte.

use flowtape::import::Imported;
use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::node::Outcome;
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::{DataLink, Endianness};

use crate::captures::{read, told};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// The ends of every packet here, by the last byte of their addresses.
const CLIENT: u8 = 1;
const SERVER: u8 = 2;

fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

/// IPv4 with flags and offset of a fragment.
fn part_of_ipv4(from: u8, to: u8, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(short(20 + payload.len()));
    packet.extend([0, 7]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 244, 0, from, 10, 244, 0, to]);
    packet.extend(payload);
    packet
}

fn ipv4(from: u8, to: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    part_of_ipv4(from, to, protocol, 0, payload)
}

fn ipv6(from: u8, to: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let address = |last: u8| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(short(payload.len()));
    packet.extend([next, 64]);
    packet.extend(address(from));
    packet.extend(address(to));
    packet.extend(payload);
    packet
}

fn segment(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 9, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}

fn datagram(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = [from.to_be_bytes(), to.to_be_bytes()].concat();
    datagram.extend(short(8 + payload.len()));
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// A handshake and its answer, as payload of IP: who sends it to whom, and the segment.
fn handshake() -> [(u8, u8, Vec<u8>); 3] {
    [
        (CLIENT, SERVER, segment(40_000, 5_432, 0x02)),
        (SERVER, CLIENT, segment(5_432, 40_000, 0x12)),
        (CLIENT, SERVER, segment(40_000, 5_432, 0x10)),
    ]
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[0; 12], kind.to_be_bytes().as_slice(), payload].concat()
}

/// What a tunnel over UDP puts before what it carries, between two nodes.
fn over_udp(port: u16, header: &[u8], inner: &[u8]) -> Vec<u8> {
    let outer = ipv4(101, 102, UDP, &datagram(51_000, port, &[header, inner].concat()));
    ethernet(IPV4, &outer)
}

fn capture(link: DataLink, frames: &[Vec<u8>]) -> Vec<u8> {
    let header = PcapHeader {
        datalink: link,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for (number, frame) in (0..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap();
        let packet = RawPcapPacket {
            ts_sec: 1_767_225_600,
            ts_frac: number,
            incl_len: length,
            orig_len: length,
            data: frame.into(),
        };
        writer.write_raw_packet(&packet).unwrap();
    }
    writer.into_writer()
}

fn edges(imported: &Imported) -> Vec<(String, Option<String>, Outcome, u64)> {
    assert_eq!(imported.quarantine, []);
    let mut edges: Vec<_> = imported.nodes.iter().flat_map(|node| told(&node.flows)).collect();
    edges.sort();
    edges
}

/// The one connection that frames show.
fn connection(link: DataLink, frames: &[Vec<u8>]) -> (String, Option<String>, Outcome, u64) {
    let edges = edges(&read(capture(link, frames)));
    let [only] = <[_; 1]>::try_from(edges).unwrap();
    only
}

#[test]
fn every_link_and_every_tunnel_leads_to_the_packet_within() {
    type Wrapping = (&'static str, DataLink, fn(&[u8]) -> Vec<u8>);
    const GENEVE: u16 = 6_081;
    let wrappings: &[Wrapping] = &[
        ("Ethernet", DataLink::ETHERNET, |ip| ethernet(IPV4, ip)),
        ("VLAN", DataLink::ETHERNET, |ip| {
            ethernet(0x8100, &[&[0, 5, 8, 0], ip].concat())
        }),
        ("QinQ", DataLink::ETHERNET, |ip| {
            ethernet(0x88a8, &[&[0, 5, 0x81, 0, 0, 6, 8, 0], ip].concat())
        }),
        ("QinQ before 802.1ad", DataLink::ETHERNET, |ip| {
            ethernet(0x9100, &[&[0, 5, 0x81, 0, 0, 6, 8, 0], ip].concat())
        }),
        ("SLL", DataLink::LINUX_SLL, |ip| {
            [&[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 1, 0, 0, 8, 0], ip].concat()
        }),
        ("VLAN in SLL", DataLink::LINUX_SLL, |ip| {
            [&[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 1, 0, 0, 0x81, 0, 0, 5, 8, 0], ip].concat()
        }),
        ("SLL2", DataLink::LINUX_SLL2, |ip| {
            [&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 0, 0, 0, 0, 0, 1, 0, 0], ip].concat()
        }),
        ("raw IP", DataLink::RAW, <[u8]>::to_vec),
        ("raw IPv4", DataLink::IPV4, <[u8]>::to_vec),
        ("loopback of BSD", DataLink::NULL, |ip| [&[2, 0, 0, 0], ip].concat()),
        ("loopback of OpenBSD", DataLink::LOOP, |ip| [&[0, 0, 0, 2], ip].concat()),
        ("VXLAN", DataLink::ETHERNET, |ip| {
            over_udp(4_789, &[8, 0, 0, 0, 0, 0, 42, 0], &ethernet(IPV4, ip))
        }),
        ("VXLAN of Flannel", DataLink::ETHERNET, |ip| {
            over_udp(
                8_472,
                &[8, 0, 0, 0, 0, 0, 1, 0],
                &ethernet(0x8100, &[&[0, 5, 8, 0], ip].concat()),
            )
        }),
        ("Geneve around Ethernet", DataLink::ETHERNET, |ip| {
            over_udp(GENEVE, &[0, 0, 0x65, 0x58, 0, 0, 42, 0], &ethernet(IPV4, ip))
        }),
        ("Geneve with options, around IP", DataLink::ETHERNET, |ip| {
            over_udp(GENEVE, &[2, 0, 8, 0, 0, 0, 42, 0, 1, 2, 3, 1, 0, 0, 0, 9], ip)
        }),
        ("GRE", DataLink::RAW, |ip| {
            ipv4(101, 102, 47, &[&[0, 0, 8, 0], ip].concat())
        }),
        ("GRE with checksum, key and number", DataLink::RAW, |ip| {
            let header = [0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1];
            ipv4(101, 102, 47, &[&header, ip].concat())
        }),
        ("NVGRE", DataLink::RAW, |ip| {
            let header = [0x20, 0, 0x65, 0x58, 0, 0, 42, 0];
            ipv4(101, 102, 47, &[&header, ethernet(IPV4, ip).as_slice()].concat())
        }),
        ("IP in IP", DataLink::RAW, |ip| ipv4(101, 102, 4, ip)),
        ("IP in IPv6", DataLink::IPV6, |ip| ipv6(101, 102, 4, ip)),
        ("IP in IP in VXLAN", DataLink::ETHERNET, |ip| {
            let inner = ethernet(IPV4, &ipv4(103, 104, 4, ip));
            over_udp(4_789, &[8, 0, 0, 0, 0, 0, 42, 0], &inner)
        }),
    ];
    for (name, link, wrap) in wrappings {
        let frames = handshake().map(|(from, to, segment)| wrap(&ipv4(from, to, TCP, &segment)));
        let expected = ("10.244.0.2:5432/6".to_owned(), None, Outcome::Established, 1);
        assert_eq!(connection(*link, &frames), expected, "{name}");
    }
}

#[test]
fn extension_headers_stand_before_the_ports() {
    let hop_by_hop = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8| vec![next, 0, 4, 0, 0, 0, 0, 0];
    let first_fragment = |next: u8| vec![next, 0, 0, 1, 0, 0, 0, 7];
    let headers: [(u8, Vec<u8>); 5] = [
        (TCP, Vec::new()),
        (0, hop_by_hop(TCP)),
        (43, routing(TCP)),
        (44, first_fragment(TCP)),
        (
            0,
            [hop_by_hop(60), hop_by_hop(43), routing(44), first_fragment(TCP)].concat(),
        ),
    ];
    for (next, header) in headers {
        for tunnel in [false, true] {
            let frames = handshake().map(|(from, to, segment)| {
                let packet = ipv6(from, to, next, &[header.as_slice(), &segment].concat());
                if tunnel {
                    ethernet(IPV4, &ipv4(101, 102, 41, &packet))
                } else {
                    ethernet(IPV6, &packet)
                }
            });
            let expected = ("fd00::2:5432/6".to_owned(), None, Outcome::Established, 1);
            assert_eq!(connection(DataLink::ETHERNET, &frames), expected, "{header:?}");
        }
    }
}

#[test]
fn of_fragments_the_first_has_the_ports_and_counts() {
    let whole = datagram(40_000, 8_125, &[b'x'; 40]);
    let (first, rest) = whole.split_at(24);
    let header = |offset: u8, more: u8| vec![UDP, 0, 0, offset | more, 0, 0, 0, 7];
    let fragments = [
        ethernet(IPV4, &part_of_ipv4(CLIENT, SERVER, UDP, 0x2000, first)),
        ethernet(IPV4, &part_of_ipv4(CLIENT, SERVER, UDP, 3, rest)),
        ethernet(
            IPV6,
            &ipv6(CLIENT, SERVER, 44, &[header(0, 1).as_slice(), first].concat()),
        ),
        ethernet(
            IPV6,
            &ipv6(CLIENT, SERVER, 44, &[header(24, 0).as_slice(), rest].concat()),
        ),
    ];
    let imported = read(capture(DataLink::ETHERNET, &fragments));
    let one = |server: &str| (server.to_owned(), None, Outcome::Unknown, 1);
    assert_eq!(edges(&imported), [one("10.244.0.2:8125/17"), one("fd00::2:8125/17")]);
    let passed_over = &imported.imports[0].passed_over;
    assert_eq!(passed_over.get("fragment without ports, after the first"), Some(&2));
}

#[test]
fn sctp_is_a_talk_and_what_has_no_ports_is_passed_over() {
    let association =
        |from: u16, to: u16| [&from.to_be_bytes(), &to.to_be_bytes(), [0; 8].as_slice(), &[1, 0, 0, 4]].concat();
    let frames = [
        ethernet(IPV4, &ipv4(CLIENT, SERVER, SCTP, &association(40_000, 3_868))),
        ethernet(IPV4, &ipv4(SERVER, CLIENT, SCTP, &association(3_868, 40_000))),
        ethernet(IPV4, &ipv4(CLIENT, SERVER, 1, &[8, 0, 0, 0, 0, 1, 0, 1])),
        ethernet(IPV6, &ipv6(CLIENT, SERVER, 58, &[128, 0, 0, 0, 0, 1, 0, 1])),
        ethernet(IPV4, &ipv4(CLIENT, SERVER, 112, &[0; 8])),
        ethernet(0x0806, &[0; 28]),
    ];
    let imported = read(capture(DataLink::ETHERNET, &frames));
    let expected = ("10.244.0.2:3868/132".to_owned(), None, Outcome::Established, 1);
    assert_eq!(edges(&imported), [expected]);
    let passed_over: Vec<(&str, u64)> = imported.imports[0]
        .passed_over
        .iter()
        .map(|(what, count)| (what.as_str(), *count))
        .collect();
    assert_eq!(
        passed_over,
        [
            ("ICMP", 2),
            ("packet of another protocol", 1),
            ("packet that is not IP", 1)
        ]
    );
}

#[test]
fn a_packet_that_was_cut_is_read_as_far_as_it_goes() {
    let frames = |length: usize| {
        handshake().map(|(from, to, segment)| {
            let mut frame = ethernet(IPV4, &ipv4(from, to, TCP, &segment));
            frame.truncate(length);
            frame
        })
    };
    // As far as the flags.
    let (server, _, outcome, count) = connection(DataLink::ETHERNET, &frames(14 + 20 + 14));
    assert_eq!(
        (server.as_str(), outcome, count),
        ("10.244.0.2:5432/6", Outcome::Established, 1)
    );
    // Without them, nobody knows who asked.
    let imported = read(capture(DataLink::ETHERNET, &frames(14 + 20 + 8)));
    let rows: Vec<_> = imported.nodes.iter().flat_map(|node| &node.flows).collect();
    assert_eq!(
        rows.iter().map(|row| (row.service_port, row.count)).collect::<Vec<_>>(),
        [(None, 0)]
    );
    // Behind a whole connection, packets without ports, with half a header of IP, and with half of an Ethernet one.
    let mut cut = frames(usize::MAX).to_vec();
    cut.extend([14 + 20 + 2, 14 + 10, 13].map(|length| frames(length)[0].clone()));
    let imported = read(capture(DataLink::ETHERNET, &cut));
    let mut reasons: Vec<(QuarantineReason, u64)> =
        imported.quarantine.iter().map(|row| (row.reason, row.count)).collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [(QuarantineReason::Malformed, 1), (QuarantineReason::Incomplete, 2)]
    );
}

#[test]
fn tunnels_in_tunnels_end() {
    let (from, to, segment) = handshake()[0].clone();
    let mut packet = ipv4(from, to, TCP, &segment);
    for _ in 0..4 {
        packet = ipv4(101, 102, 4, &packet);
    }
    let shown = ipv4(from, to, TCP, &segment);
    let imported = read(capture(DataLink::RAW, &[shown, packet]));
    assert_eq!(
        imported.imports[0].passed_over.get("tunnel in a tunnel in a tunnel"),
        Some(&1)
    );
}

#[test]
fn comments_of_a_packet_name_its_pods() {
    let comment = |side: &str, prefix: &str, last: u8, name: &str| {
        let text = format!(
            "{side}\n{prefix} IP: 10.244.0.{last}\n{prefix} Kind: Pod\n{prefix} Name: {name}-0\n{prefix} Namespace: shop\n\
             {prefix} Owner: {name}\n{prefix} Owner Kind: StatefulSet\n"
        );
        EnhancedPacketOption::Comment(text.into())
    };
    let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
    writer
        .write_pcapng_block(InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0))
        .unwrap();
    let names = |last: u8| if last == CLIENT { "web" } else { "db" };
    for (from, to, segment) in handshake() {
        let frame = ethernet(IPV4, &ipv4(from, to, TCP, &segment));
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: std::time::Duration::from_millis(1_767_225_600),
            original_len: u32::try_from(frame.len()).unwrap(),
            data: frame.into(),
            options: vec![
                comment("Source", "Src", from, names(from)),
                comment("Destination", "Dst", to, names(to)),
                EnhancedPacketOption::Comment("Common\nInterfaces: eth0\nProtocol: TCP\n".into()),
            ],
        };
        writer.write_pcapng_block(block).unwrap();
    }
    let imported = read(writer.into_inner());
    let expected = ("10.244.0.2:5432/6".to_owned(), None, Outcome::Established, 1);
    assert_eq!(edges(&imported), [expected]);
    let pods: Vec<_> = imported
        .cluster
        .pods
        .iter()
        .map(|pod| (pod.name.as_str(), pod.owner_name.as_deref()))
        .collect();
    assert_eq!(pods, [("db-0", Some("db")), ("web-0", Some("web"))]);
    // The socket that was seen is the client's, and its pod is known.
    assert!(imported.nodes[0].flows.iter().all(|row| row.cgroup_id.is_some()));
}
