//! Captures in every spelling of pcap and pcapng give the same rows, wherever and however they were taken.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowtape::import::format::named;
use flowtape::import::{Imported, Source, import};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::{FlowRow, Outcome};
use pcap_file::pcap::{PcapHeader, PcapReader, PcapWriter, RawPcapPacket};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::{DataLink, Endianness, TsResolution};

use crate::samples::untold;

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/import/pcap")
        .join(name)
}

/// The packets of a capture, with its link and the length of its unit of time in nanoseconds.
fn packets(name: &str) -> (DataLink, u32, Vec<RawPcapPacket<'static>>) {
    let mut reader = PcapReader::new(File::open(capture(name)).unwrap()).unwrap();
    let header = reader.header();
    let unit = match header.ts_resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_raw_packet() {
        packets.push(packet.unwrap().into_owned());
    }
    (header.datalink, unit, packets)
}

pub(crate) fn read(content: Vec<u8>) -> Imported {
    let source = Source {
        name: "capture".to_owned(),
        content: Box::new(std::io::Cursor::new(content)),
    };
    import(named("pcap"), vec![source], ClusterRows::default(), untold("n1")).unwrap()
}

fn flows(content: Vec<u8>) -> Vec<FlowRow> {
    let imported = read(content);
    assert!(imported.quarantine.is_empty(), "{:?}", imported.quarantine);
    imported.nodes.into_iter().flat_map(|node| node.flows).collect()
}

/// Address and port of the server, what was asked for, the outcome and the count.
pub(crate) fn told(rows: &[FlowRow]) -> Vec<(String, Option<String>, Outcome, u64)> {
    let row = |row: &FlowRow| {
        let server = format!(
            "{}:{}/{}",
            row.remote_ip.unwrap(),
            row.service_port.unwrap(),
            row.protocol
        );
        (server, row.asked_ip.map(|ip| ip.to_string()), row.outcome, row.count)
    };
    rows.iter().map(row).collect()
}

#[test]
fn every_spelling_of_a_capture_is_the_same() {
    let (link, unit, packets) = packets("sample.pcap");
    let expected = flows(std::fs::read(capture("sample.pcap")).unwrap());
    for endianness in [Endianness::Little, Endianness::Big] {
        for (ts_resolution, length) in [(TsResolution::MicroSecond, 1_000), (TsResolution::NanoSecond, 1)] {
            let header = PcapHeader {
                datalink: link,
                ts_resolution,
                endianness,
                ..PcapHeader::default()
            };
            let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
            for packet in &packets {
                let mut packet = packet.clone();
                packet.ts_frac = packet.ts_frac * unit / length;
                writer.write_raw_packet(&packet).unwrap();
            }
            assert_eq!(
                flows(writer.into_writer()),
                expected,
                "{endianness:?} {ts_resolution:?}"
            );
        }
        for (resolution, units) in [(6, 1_000_000), (9, 1_000_000_000)] {
            let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
            let mut interface = InterfaceDescriptionBlock::new(link, 0xffff);
            interface
                .options
                .push(InterfaceDescriptionOption::IfTsResol(resolution));
            writer.write_pcapng_block(interface).unwrap();
            for packet in &packets {
                let nanos = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac * unit);
                let block = EnhancedPacketBlock {
                    interface_id: 0,
                    timestamp: Duration::from_nanos(nanos / (1_000_000_000 / units)),
                    original_len: packet.orig_len,
                    data: packet.data.clone(),
                    options: Vec::new(),
                };
                writer.write_pcapng_block(block).unwrap();
            }
            assert_eq!(flows(writer.into_inner()), expected, "{endianness:?} {resolution}");
        }
    }
}

#[test]
fn what_was_captured_at_the_client_and_at_the_router_is_the_same_traffic() {
    let at_router = told(&flows(std::fs::read(capture("sample.pcap")).unwrap()));
    // The router translated the address of the Service, which its capture shows on both ways.
    let expected = [
        ("10.244.2.2:5432/6", None, Outcome::Established, 3),
        ("10.244.2.2:5433/6", Some("10.96.0.20"), Outcome::Established, 2),
        ("10.244.2.2:8125/17", None, Outcome::Established, 4),
        ("10.244.2.2:9999/6", None, Outcome::Refused, 1),
    ];
    let expected =
        expected.map(|(server, asked, outcome, count)| (server.to_owned(), asked.map(str::to_owned), outcome, count));
    let mut sorted = at_router;
    sorted.sort();
    assert_eq!(sorted, expected);
    // The client's capture was cut at 64 bytes of each packet, and shows what was asked for only.
    let at_client = told(&flows(std::fs::read(capture("client.pcap")).unwrap()));
    for (server, asked, outcome, count) in expected {
        let seen = asked.map_or(server, |asked| format!("{asked}:5432/6"));
        assert!(
            at_client.contains(&(seen.clone(), None, outcome, count)),
            "{seen}: {at_client:?}"
        );
    }
}

#[test]
fn a_tunnel_shows_what_is_in_it() {
    let (_, unit, packets) = packets("client.pcap");
    let expected = flows(std::fs::read(capture("client.pcap")).unwrap());
    // An IPv4 packet of UDP to port 4789, with a VXLAN header, around the frames of the client.
    let outer = |inner: &[u8]| {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0, 0x45, 0]);
        frame.extend(u16::try_from(inner.len() + 36).unwrap().to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 172, 31, 0, 11, 172, 31, 0, 12]);
        frame.extend([0xc0, 0, 0x12, 0xb5]);
        frame.extend(u16::try_from(inner.len() + 16).unwrap().to_be_bytes());
        frame.extend([0, 0, 8, 0, 0, 0, 0, 0, 42, 0]);
        frame.extend(inner);
        frame
    };
    let header = PcapHeader {
        datalink: DataLink::ETHERNET,
        ts_resolution: TsResolution::NanoSecond,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for packet in &packets {
        let data = outer(&packet.data);
        let length = u32::try_from(data.len()).unwrap();
        let packet = RawPcapPacket {
            ts_sec: packet.ts_sec,
            ts_frac: packet.ts_frac * unit,
            incl_len: length,
            orig_len: length,
            data: data.into(),
        };
        writer.write_raw_packet(&packet).unwrap();
    }
    assert_eq!(flows(writer.into_writer()), expected);
}

#[test]
fn a_capture_that_begins_late_knows_the_direction_from_other_connections() {
    let (link, _, packets) = packets("sample.pcap");
    let write = |skip: usize| {
        let header = PcapHeader {
            datalink: link,
            ..PcapHeader::default()
        };
        let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
        for packet in packets.iter().skip(skip) {
            writer.write_raw_packet(packet).unwrap();
        }
        flows(writer.into_writer())
    };
    let whole = write(0);
    // Without the packets that began it, the first connection is older than the capture, and has no count.
    let first = packets
        .iter()
        .position(|packet| packet.data.len() > 20 + 33 && packet.data[53] & 0x12 == 0x10)
        .unwrap();
    let late = write(first);
    let predating: Vec<&FlowRow> = late.iter().filter(|row| row.predates_window).collect();
    assert_eq!(predating.len(), 1, "{late:?}");
    assert_eq!((predating[0].service_port, predating[0].count), (Some(5432), 0));
    let counts = |rows: &[FlowRow]| rows.iter().map(|row| row.count).sum::<u64>();
    assert_eq!(counts(&late) + 1, counts(&whole));
}

/// The first packet of a handshake from one client and with one sequence number, to a server in 10.244.2.0/24.
fn handshake(server: u8, at: Duration) -> RawPcapPacket<'static> {
    let mut frame = vec![0; 12];
    frame.extend([
        0x08, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 244, 1, 2, 10, 244, 2, server,
    ]);
    frame.extend([
        0x9c, 0x40, 0x15, 0x38, 0, 0, 0x30, 0x39, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    let length = u32::try_from(frame.len()).unwrap();
    RawPcapPacket {
        ts_sec: u32::try_from(at.as_secs()).unwrap(),
        ts_frac: at.subsec_nanos(),
        incl_len: length,
        orig_len: length,
        data: frame.into(),
    }
}

fn handshakes(sent: &[(u8, u64)]) -> Vec<(String, Option<String>, Outcome, u64)> {
    let header = PcapHeader {
        datalink: DataLink::ETHERNET,
        ts_resolution: TsResolution::NanoSecond,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for (server, millis) in sent {
        let at = Duration::from_millis(1_767_225_600_000 + millis);
        writer.write_raw_packet(&handshake(*server, at)).unwrap();
    }
    let mut rows = told(&flows(writer.into_writer()));
    rows.sort();
    rows
}

#[test]
fn one_sequence_number_to_two_servers_is_a_translation_only_at_once() {
    let row = |server: &str, asked: Option<&str>| {
        let server = format!("{server}:5432/6");
        (server, asked.map(str::to_owned), Outcome::Unknown, 1)
    };
    let translated = [row("10.244.2.9", Some("10.244.2.8"))];
    assert_eq!(handshakes(&[(8, 0), (9, 1)]), translated);
    // Sent again after a second, both are seen again.
    assert_eq!(
        handshakes(&[(8, 0), (9, 1), (8, 1020), (9, 1021), (8, 3040), (9, 3041)]),
        translated
    );
    // A port that is used again much later, with the same number by chance, is another connection to another server.
    let both = [row("10.244.2.8", None), row("10.244.2.9", None)];
    assert_eq!(handshakes(&[(8, 0), (9, 1_001)]), both);
    assert_eq!(handshakes(&[(8, 0), (9, 600_000)]), both);
}

#[test]
fn what_was_asked_for_was_sent_earlier_and_not_read_earlier() {
    let row = |server: &str, asked: Option<&str>| {
        let server = format!("{server}:5432/6");
        (server, asked.map(str::to_owned), Outcome::Unknown, 1)
    };
    let translated = [row("10.244.2.9", Some("10.244.2.8"))];
    // One interface's capture is read after the other's, whichever that is.
    assert_eq!(handshakes(&[(9, 1), (8, 0)]), translated);
    let (pod, service) = ([(9, 1), (9, 1_021), (9, 3_041)], [(8, 0), (8, 1_020), (8, 3_040)]);
    assert_eq!(handshakes(&[pod, service].concat()), translated);
    assert_eq!(handshakes(&[service, pod].concat()), translated);
    let both = [row("10.244.2.8", None), row("10.244.2.9", None)];
    assert_eq!(handshakes(&[(9, 1_001), (8, 0)]), both);
}

/// Datagrams of one client's socket to servers in 10.244.2.0/24, each as it passed an interface of a router, all at once.
fn datagrams(passed: &[(u8, u8, &[u8])]) -> Vec<(String, Option<String>, Outcome, u64)> {
    let at_once: Vec<(u32, u8, u8, &[u8])> = passed
        .iter()
        .map(|(interface, server, content)| (0, *interface, *server, *content))
        .collect();
    datagrams_at(&at_once)
}

/// The same, each so many seconds after the first.
fn datagrams_at(passed: &[(u32, u8, u8, &[u8])]) -> Vec<(String, Option<String>, Outcome, u64)> {
    let header = PcapHeader {
        datalink: DataLink::LINUX_SLL2,
        ts_resolution: TsResolution::NanoSecond,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for (number, (second, interface, server, content)) in (0..).zip(passed) {
        // Protocol, interface, kind of hardware, direction and address of the cooked header.
        let mut frame = vec![0x08, 0, 0, 0, 0, 0, 0, *interface, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        let length = |header: usize| u16::try_from(header + content.len()).unwrap().to_be_bytes();
        frame.extend([0x45, 0]);
        frame.extend(length(28));
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 244, 1, 2, 10, 244, 2, *server]);
        frame.extend([0x9c, 0x40, 0, 53]);
        frame.extend(length(8));
        frame.extend([0, 0]);
        frame.extend(*content);
        let length = u32::try_from(frame.len()).unwrap();
        let packet = RawPcapPacket {
            ts_sec: 1_767_225_600 + second,
            ts_frac: number,
            incl_len: length,
            orig_len: length,
            data: frame.into(),
        };
        writer.write_raw_packet(&packet).unwrap();
    }
    let mut rows = told(&flows(writer.into_writer()));
    rows.sort();
    rows
}

#[test]
fn datagrams_before_and_after_a_translation_are_one_talk() {
    let row = |server: &str, asked: Option<&str>, count: u64| {
        let server = format!("{server}:53/17");
        (server, asked.map(str::to_owned), Outcome::Unknown, count)
    };
    let translated = [row("10.244.2.9", Some("10.244.2.8"), 2)];
    assert_eq!(
        datagrams(&[(1, 8, b"one"), (2, 9, b"one"), (1, 8, b"two"), (2, 9, b"two")]),
        translated
    );
    // Asked two servers the same, a client is seen to ask both at each interface.
    let both = [row("10.244.2.8", None, 1), row("10.244.2.9", None, 1)];
    assert_eq!(
        datagrams(&[(1, 8, b"one"), (1, 9, b"one"), (2, 8, b"one"), (2, 9, b"one")]),
        both
    );
    assert_eq!(datagrams(&[(1, 8, b"one"), (1, 9, b"one")]), both);
    // Something else is another talk.
    assert_eq!(datagrams(&[(1, 8, b"one"), (2, 9, b"two")]), both);
}

#[test]
fn a_talk_of_hours_is_united_minute_by_minute() {
    let row = |server: &str, asked: Option<&str>, count: u64| {
        let server = format!("{server}:53/17");
        (server, asked.map(str::to_owned), Outcome::Unknown, count)
    };
    // The same content from one socket for ever, as what says that it is alive sends it.
    let minutes: Vec<u32> = (0..600).map(|minute| minute * 61).collect();
    let beats: Vec<(u32, u8, u8, &[u8])> = minutes
        .iter()
        .flat_map(|second| [(*second, 1, 8, b"alive".as_slice()), (*second, 2, 9, b"alive")])
        .collect();
    let rows = datagrams_at(&beats);
    assert_eq!(rows.iter().map(|(.., count)| count).sum::<u64>(), 600);
    assert!(
        rows.iter()
            .all(|row_there| *row_there == row("10.244.2.9", Some("10.244.2.8"), 1)),
        "{rows:?}"
    );
    // The same sent to another server later is another talk.
    let both = [row("10.244.2.8", None, 1), row("10.244.2.9", None, 1)];
    assert_eq!(datagrams_at(&[(0, 1, 8, b"one"), (600, 2, 9, b"one")]), both);
}

#[test]
fn a_talk_that_fits_two_others_is_united_with_neither() {
    let servers = |passed: &[(u8, u8, &[u8])]| -> Vec<(String, Option<String>)> {
        let rows = datagrams(passed).into_iter();
        rows.map(|(server, asked, ..)| (server, asked)).collect()
    };
    let untranslated = |all: &[u8]| -> Vec<(String, Option<String>)> {
        all.iter()
            .map(|server| (format!("10.244.2.{server}:53/17"), None))
            .collect()
    };
    // A client asks a listener of its node and the address of a Service at once, in either order; the pod behind the
    // latter is asked at the other interface.
    let content = b"one".as_slice();
    assert_eq!(
        servers(&[(1, 7, content), (1, 8, content), (2, 9, content)]),
        untranslated(&[7, 8, 9])
    );
    assert_eq!(
        servers(&[(1, 8, content), (1, 7, content), (2, 9, content)]),
        untranslated(&[7, 8, 9])
    );
    // More servers at once than anybody asks.
    let many: Vec<(u8, u8, &[u8])> = (1..=200).map(|server| (server, server, content)).collect();
    let mut all = untranslated(&(1..=200).collect::<Vec<u8>>());
    all.sort();
    assert_eq!(servers(&many), all);
}
