//! Seeded recordings as other tools write them: a capture of packets, and flows of Hubble.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::Ipv4Addr;

use crate::Random;

/// Pods that open connections.
const CLIENTS: usize = 400;

/// Pods that are connected to.
const SERVERS: usize = 50;

/// Nanoseconds between two packets.
const STEP: u64 = 20_000;

/// 2026-01-01, in nanoseconds since 1970.
const START: u64 = 1_767_225_600_000_000_000;

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// The packets of a connection: whether the client sends it, its flags, and how many bytes it carries.
const CONVERSATION: [(bool, u8, usize); 16] = [
    (true, SYN, 0),
    (false, SYN | ACK, 0),
    (true, ACK, 0),
    (true, ACK, 220),
    (false, ACK, 0),
    (false, ACK, 1_400),
    (true, ACK, 0),
    (false, ACK, 1_400),
    (true, ACK, 0),
    (false, ACK, 600),
    (true, ACK, 0),
    (true, FIN | ACK, 0),
    (false, ACK, 0),
    (false, FIN | ACK, 0),
    (true, ACK, 0),
    (false, ACK, 0),
];

/// The ends of a connection, and the client's port.
struct Ends {
    client: Ipv4Addr,
    server: Ipv4Addr,
    port: u16,
    place: usize,
}

fn ends(random: &mut Random, number: usize) -> Ends {
    let (client, place) = (random.below(CLIENTS), random.below(SERVERS));
    let octet = |number: usize| u8::try_from(number % 200).unwrap_or_default() + 1;
    Ends {
        client: Ipv4Addr::new(10, 244, octet(client / 200), octet(client)),
        server: Ipv4Addr::new(10, 244, 250, octet(place)),
        // No port is used twice within a minute.
        port: u16::try_from(20_000 + number % 40_000).unwrap_or_default(),
        place,
    }
}

/// Writes a capture of so many connections in pcap, Ethernet, in nanoseconds, and says of how many packets.
pub fn capture(to: &mut impl Write, connections: usize, seed: u64) -> io::Result<u64> {
    let mut random = Random(seed);
    to.write_all(&0xa1b2_3c4d_u32.to_le_bytes())?;
    to.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])?;
    let mut packets = 0;
    for number in 0..connections {
        let ends = ends(&mut random, number);
        for (from_client, flags, length) in CONVERSATION {
            packet(to, &ends, packets, from_client, flags, length)?;
            packets += 1;
        }
    }
    Ok(packets)
}

fn packet(
    to: &mut impl Write,
    ends: &Ends,
    number: u64,
    from_client: bool,
    flags: u8,
    length: usize,
) -> io::Result<()> {
    let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let size = u32::try_from(54 + length).unwrap_or(u32::MAX).to_le_bytes();
    let time = START + number * STEP;
    let part = |part: u64| u32::try_from(part).unwrap_or(u32::MAX).to_le_bytes();
    for field in [part(time / 1_000_000_000), part(time % 1_000_000_000), size, size] {
        to.write_all(&field)?;
    }
    to.write_all(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0, 0x45, 0])?;
    to.write_all(&short(40 + length))?;
    to.write_all(&[0, 0, 0x40, 0, 64, 6, 0, 0])?;
    let client = (ends.client, ends.port);
    let server = (ends.server, 8_080);
    let (source, target) = if from_client {
        (client, server)
    } else {
        (server, client)
    };
    to.write_all(&source.0.octets())?;
    to.write_all(&target.0.octets())?;
    to.write_all(&source.1.to_be_bytes())?;
    to.write_all(&target.1.to_be_bytes())?;
    to.write_all(&part(number))?;
    to.write_all(&[0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0])?;
    to.write_all(&[b'x'; 1_400][..length.min(1_400)])
}

/// Writes so many flows as `hubble observe -o jsonpb` does.
pub fn hubble(to: &mut impl Write, flows: usize, seed: u64) -> io::Result<()> {
    let mut random = Random(seed);
    let mut line = String::new();
    for number in 0..flows {
        let Ends {
            client,
            server,
            port,
            place,
        } = ends(&mut random, number / 2);
        let nanos = START + u64::try_from(number).unwrap_or_default() * STEP;
        let (seconds, nanos) = (nanos / 1_000_000_000 % 60, nanos % 1_000_000_000);
        let time = format!("2026-01-01T00:{:02}:{seconds:02}.{nanos:09}Z", number / 3_000_000 % 60);
        let octets = client.octets();
        let pod = format!("web-{}-{}", octets[2], octets[3]);
        let (flag, reply) = if number % 2 == 0 {
            ("SYN", false)
        } else {
            ("ACK", false)
        };
        line.clear();
        let _ = writeln!(
            line,
            "{{\"flow\":{{\"time\":\"{time}\",\"verdict\":\"FORWARDED\",\"IP\":{{\"source\":\"{client}\",\"destination\":\"{server}\",\"ipVersion\":\"IPv4\"}},\
             \"l4\":{{\"TCP\":{{\"source_port\":{port},\"destination_port\":8080,\"flags\":{{\"{flag}\":true}}}}}},\
             \"source\":{{\"namespace\":\"shop\",\"labels\":[\"k8s:app={pod}\",\"k8s:io.kubernetes.pod.namespace=shop\"],\"pod_name\":\"{pod}\",\"workloads\":[{{\"name\":\"{pod}\",\"kind\":\"StatefulSet\"}}]}},\
             \"destination\":{{\"namespace\":\"data\",\"labels\":[\"k8s:app=db{place}\",\"k8s:io.kubernetes.pod.namespace=data\"],\"pod_name\":\"db{place}-0\",\"workloads\":[{{\"name\":\"db{place}\",\"kind\":\"StatefulSet\"}}]}},\
             \"Type\":\"L3_L4\",\"node_name\":\"k/n1\",\"traffic_direction\":\"EGRESS\",\"trace_observation_point\":\"TO_STACK\",\"is_reply\":{reply}}},\
             \"node_name\":\"k/n1\",\"time\":\"{time}\"}}"
        );
        to.write_all(line.as_bytes())?;
    }
    Ok(())
}
