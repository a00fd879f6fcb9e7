//! Antrea: lines of its flow logger, comma-separated. Columns: `pkg/flowaggregator/flowlogger/logger.go` of antrea-io/antrea at
//! commit 1685897, their values `prettyprint.go` beside it at commit 5e64ece.

use flowtape_schemas::address::Address;
use flowtape_schemas::time::Time;

use super::json::address;
use super::{Format, Kind, Limit, utf8};
use crate::import::record::{End, Flags, Packet, Pod, Record, Reject, View, Way, Who};

pub(super) const FORMAT: Format = Format {
    name: "antrea",
    page: include_str!("antrea.md"),
    clock: "the wall clock of each node, to the second",
    limits: &[
        Limit::Detail("flows have no labels of pods, which only metadata knows"),
        Limit::Detail("datagrams are not counted: a flow counts as one"),
    ],
    kind: Kind::Lines(parse),
    claims: |start| {
        let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        first.split(|byte| *byte == b',').count() >= COLUMNS && parse(first.trim_ascii(), None).is_ok()
    },
};

/// Columns that are used. Five more follow, one of which is JSON with commas of its own.
const COLUMNS: usize = 26;

fn parse(text: &[u8], _: Option<Time>) -> Result<Vec<Record>, Reject> {
    let text = utf8(text)?;
    let cells: Vec<&str> = text.split(',').map(str::trim).collect();
    let Some([start, end, src_ip, dst_ip, src_port, dst_port, protocol, rest @ ..]) = cells.first_chunk::<COLUMNS>()
    else {
        return Err(Reject::incomplete("it has fewer than 26 columns"));
    };
    let first = seconds(start)?;
    let last = seconds(end)?.max(first);
    let [
        src_pod,
        src_namespace,
        src_node,
        dst_pod,
        dst_namespace,
        _,
        cluster_ip,
        service_port,
        _,
        _,
        _,
        _,
        ingress,
        _,
        _,
        _,
        _,
        egress,
        _,
    ] = rest;
    let protocol = match *protocol {
        "6" | "TCP" | "tcp" => 6,
        "17" | "UDP" | "udp" => 17,
        "132" | "SCTP" | "sctp" => 132,
        _ => return Ok(vec![Record::PassedOver("ICMP and other protocols")]),
    };
    let stopped = |action: &str| matches!(action, "2" | "Drop" | "3" | "Reject");
    let dropped = stopped(ingress) || stopped(egress);
    let packet = |time: Time, flags: u8| {
        Ok(Record::Packet(Box::new(Packet {
            time,
            node: (!src_node.is_empty()).then(|| (*src_node).to_owned()),
            protocol,
            from: whose(socket(src_ip, src_port)?, src_namespace, src_pod),
            to: whose(socket(dst_ip, dst_port)?, dst_namespace, dst_pod),
            flags: (protocol == 6).then_some(Flags(flags)),
            way: Way::Forward,
            view: View::Between,
            point: 0,
            count: 1,
            dropped,
            asked: address(cluster_ip).zip(service_port.parse().ok()),
            sequence: None,
        })))
    };
    let mut records = vec![packet(first, Flags::SYN)?];
    if !dropped && protocol == 6 {
        records.push(packet(last, Flags::ACK)?);
    }
    Ok(records)
}

fn seconds(text: &str) -> Result<Time, Reject> {
    let seconds: Option<i64> = text.parse().ok();
    let nanos = seconds.and_then(|seconds| seconds.checked_mul(1_000_000_000));
    nanos.map(Time).ok_or(Reject::malformed("its time is none"))
}

fn socket(ip: &str, port: &str) -> Result<(Address, u16), Reject> {
    let both = address(ip).zip(port.parse().ok());
    both.ok_or(Reject::incomplete("an end has no address or no port"))
}

fn whose((address, port): (Address, u16), namespace: &str, pod: &str) -> End {
    let named = !namespace.is_empty() && !pod.is_empty();
    End {
        address: Some(address),
        port: Some(port),
        who: if named {
            Who::Pod(Pod {
                namespace: namespace.to_owned(),
                name: pod.to_owned(),
                ..Pod::default()
            })
        } else {
            Who::Untold
        },
    }
}
