//! What the kernel says becomes rows of a tape. Pure: no IO, no clock.
//!
//! The kernel's zeros (no control group, no namespace, no port) become nulls, its wildcards become null addresses, and a
//! number that this build does not know is refused rather than guessed.

use std::cmp::Ordering;

use flowtape_recorder_ebpf::abi;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_BY_BINDING, FLAG_TASK};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::id::{HookId, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};
use flowtape_schemas::address::Address;
use flowtape_schemas::node::{
    Counter, Direction, DirectionSource, EventKind, EventRow, FlowRow, Hook, Outcome, SocketFamily, SocketRow,
    SocketType, StatsRow,
};
use flowtape_schemas::time::Time;

use crate::clock::{BootNanos, Offset};

/// A number that this build gives no meaning to: the kernel object belongs to another build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel programs sent {field} {number}, which this build does not know; use the object it was built with")]
pub struct UnknownNumber {
    /// What it is a number of.
    pub field: &'static str,
    /// The number.
    pub number: u64,
}

/// From when to when something was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The last drain, or the beginning of the window.
    pub start: Time,
    /// This drain.
    pub end: Time,
}

/// A socket operation as a row of `events`.
pub fn event_row(event: &Event, offset: Offset) -> Result<EventRow, UnknownNumber> {
    let kind = event_kind(event.kind)?;
    let direction = direction(event.direction)?;
    let has_peer = if kind == EventKind::Snapshot {
        direction != Direction::None
    } else {
        RecordKind::from_id(event.kind).is_some_and(RecordKind::has_peer)
    };
    let has_task = event.flags & FLAG_TASK != 0;
    let remote_ip = address(event.remote_ip).filter(|_| has_peer);
    Ok(EventRow {
        time: offset.time(BootNanos(event.ts_ns)),
        kind,
        direction,
        direction_source: match direction {
            Direction::None | Direction::Unknown => DirectionSource::None,
            Direction::In | Direction::Out if kind == EventKind::Snapshot && event.flags & FLAG_BY_BINDING != 0 => {
                DirectionSource::BindFlag
            }
            Direction::In | Direction::Out if kind == EventKind::Snapshot => DirectionSource::Backlog,
            Direction::In | Direction::Out if event.protocol == Protocol::Udp.id() => DirectionSource::FirstPacket,
            Direction::In | Direction::Out => DirectionSource::State,
        },
        protocol: event.protocol,
        family: (event.family != 0).then(|| family(event.family)),
        socket_type: (event.socket_type != 0).then(|| socket_type(event.socket_type)),
        local_ip: address(event.local_ip),
        local_port: port(event.local_port),
        remote_ip,
        remote_port: port(event.remote_port).filter(|_| remote_ip.is_some()),
        asked_ip: address(event.asked_ip),
        asked_port: port(event.asked_port).filter(|_| !event.asked_ip.is_unspecified()),
        outcome: has_peer.then_some(outcome(event.outcome)?),
        errno: i32::try_from(event.errno).ok().filter(|&errno| errno != 0),
        cgroup_id: known(event.cgroup_id),
        netns: known32(event.netns),
        task_cgroup_id: known(event.task_cgroup_id).filter(|_| has_task),
        socket_cookie: known(event.cookie),
        pid: known32(event.pid).filter(|_| has_task),
        process: process(&event.comm.bytes()).filter(|_| has_task),
        hook: hook(hook_id(event.hook)?),
    })
}

/// What was counted for one edge key as a row of `flows`.
///
/// The kernel is turned to its other maps a moment after the interval's end was read, and an operation that began before
/// that may be counted after it: `first_seen` and `last_seen` can be a moment outside the interval.
pub fn flow_row(
    key: &FlowKey,
    value: &FlowValue,
    interval: Interval,
    offset: Offset,
) -> Result<FlowRow, UnknownNumber> {
    // A program that found the key a moment before another one on another CPU may have put its earlier time second.
    let (first, last) = (value.first_ns.min(value.last_ns), value.first_ns.max(value.last_ns));
    Ok(FlowRow {
        interval_start: interval.start,
        interval_end: interval.end,
        direction: direction(key.direction)?,
        protocol: key.protocol,
        local_ip: address(key.local_ip),
        remote_ip: address(key.remote_ip).filter(|_| key.folded == FOLDED_NOT),
        remote_folded: key.folded != FOLDED_NOT,
        service_port: port(key.service_port),
        asked_ip: address(key.asked_ip),
        asked_port: port(key.asked_port).filter(|_| !key.asked_ip.is_unspecified()),
        outcome: outcome(key.outcome)?,
        cgroup_id: known(key.cgroup_id),
        netns: known32(key.netns),
        count: value.count,
        samples: value.samples,
        first_seen: offset.time(BootNanos(first)),
        last_seen: offset.time(BootNanos(last)),
        predates_window: false,
        hook: hook(hook_id(key.hook)?),
    })
}

/// What was counted for one kind of sockets as a row of `sockets`. Its times are to its interval what those of a flow are.
#[must_use]
pub fn socket_row(by: HookId, key: &SocketKey, value: &SocketValue, interval: Interval, offset: Offset) -> SocketRow {
    let (first, last) = (value.first_ns.min(value.last_ns), value.first_ns.max(value.last_ns));
    SocketRow {
        interval_start: interval.start,
        interval_end: interval.end,
        family: family(key.family),
        socket_type: socket_type(key.socket_type),
        protocol: key.protocol,
        cgroup_id: known(key.cgroup_id),
        netns: known32(key.netns),
        count: value.count,
        first_seen: offset.time(BootNanos(first)),
        last_seen: offset.time(BootNanos(last)),
        hook: hook(by),
    }
}

/// What a hook did in an interval as rows of `stats`; what is zero has no row.
#[must_use]
pub fn stats_rows(by: HookId, did: &Counters, interval: Interval) -> Vec<StatsRow> {
    let Counters {
        invocations,
        filtered,
        samples,
        ring_full,
        thinned,
        map_full,
        edge_lost,
        read_fail,
        folded,
        // In `edge_lost`, as far as they are.
        unkept: _,
        unkept_sent: _,
        unheld: _,
        unheld_ended: _,
        unended: _,
    } = *did;
    let counts = [
        (Counter::Invocations, invocations),
        (Counter::Filtered, filtered),
        (Counter::Samples, samples),
        (full(by), ring_full),
        (Counter::SteppedDown, thinned),
        (Counter::MapFull, map_full),
        (Counter::EdgesLost, edge_lost),
        (Counter::ReadFailed, read_fail),
        (Counter::Folded, folded),
    ];
    counts
        .into_iter()
        .filter_map(|(counter, value)| stats_row(hook(by), counter, value, interval))
        .collect()
}

/// What it means that the ring buffer of a hook had no room.
fn full(by: HookId) -> Counter {
    if matches!(by, HookId::CgroupMkdir | HookId::CgroupRmdir) {
        Counter::Untold
    } else {
        Counter::RingFull
    }
}

/// One row of `stats`, unless there is nothing to count.
#[must_use]
pub fn stats_row(hook: Hook, counter: Counter, value: u64, interval: Interval) -> Option<StatsRow> {
    (value > 0).then_some(StatsRow {
        interval_start: interval.start,
        interval_end: interval.end,
        hook,
        counter,
        value,
    })
}

/// The growth of every counter since an earlier look.
#[must_use]
pub fn growth(now: &Counters, before: &Counters) -> Counters {
    Counters {
        invocations: now.invocations.saturating_sub(before.invocations),
        filtered: now.filtered.saturating_sub(before.filtered),
        samples: now.samples.saturating_sub(before.samples),
        ring_full: now.ring_full.saturating_sub(before.ring_full),
        thinned: now.thinned.saturating_sub(before.thinned),
        map_full: now.map_full.saturating_sub(before.map_full),
        edge_lost: now.edge_lost.saturating_sub(before.edge_lost),
        read_fail: now.read_fail.saturating_sub(before.read_fail),
        folded: now.folded.saturating_sub(before.folded),
        unkept: now.unkept.saturating_sub(before.unkept),
        unkept_sent: now.unkept_sent.saturating_sub(before.unkept_sent),
        unheld: now.unheld.saturating_sub(before.unheld),
        unheld_ended: now.unheld_ended.saturating_sub(before.unheld_ended),
        unended: now.unended.saturating_sub(before.unended),
    }
}

/// The order of events inside a row group: by edge key, then by time, so that equal keys make runs.
#[must_use]
pub fn edge_order(left: &Event, right: &Event) -> Ordering {
    edge_key(left).cmp(&edge_key(right))
}

fn edge_key(event: &Event) -> impl Ord + use<> {
    let is_client = event.direction == abi::id::Direction::Out.id();
    let service_port = if is_client { event.remote_port } else { event.local_port };
    (
        (event.direction, event.protocol, event.cgroup_id, event.netns),
        (event.local_ip, event.remote_ip, service_port, event.outcome, event.kind),
        (event.ts_ns, event.cookie),
    )
}

/// The hook of the schema behind a program.
#[must_use]
pub fn hook(id: HookId) -> Hook {
    match id {
        HookId::InetSockSetState => Hook::SetState,
        HookId::Connect4 => Hook::Connect4,
        HookId::Connect6 => Hook::Connect6,
        HookId::Sendmsg4 => Hook::Sendmsg4,
        HookId::Sendmsg6 => Hook::Sendmsg6,
        HookId::Recvmsg4 => Hook::Recvmsg4,
        HookId::Recvmsg6 => Hook::Recvmsg6,
        HookId::Bind4 => Hook::Bind4,
        HookId::Bind6 => Hook::Bind6,
        HookId::SockRelease => Hook::SockRelease,
        HookId::PostBind4 => Hook::PostBind4,
        HookId::PostBind6 => Hook::PostBind6,
        HookId::SockCreate => Hook::SockCreate,
        HookId::SockSendLength => Hook::SendLength,
        HookId::SkErrorReport => Hook::ErrorReport,
        HookId::TaskFile => Hook::TaskFile,
        HookId::CgroupMkdir => Hook::CgroupMkdir,
        HookId::CgroupRmdir => Hook::CgroupRmdir,
    }
}

/// An address of the kernel; the wildcards are no address.
pub(crate) fn address(from: abi::address::Address) -> Option<Address> {
    (!from.is_unspecified()).then_some(Address::from_bytes(from.bytes()))
}

pub(crate) fn known(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

pub(crate) fn known32(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}

fn port(number: u16) -> Option<u16> {
    (number != 0).then_some(number)
}

/// The name of a task up to its first zero; bytes that are no UTF-8 become U+FFFD.
fn process(comm: &[u8]) -> Option<String> {
    let name = comm.split(|&byte| byte == 0).next().unwrap_or_default();
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

/// `AF_*` (`include/linux/socket.h`, v6.12).
fn family(number: u8) -> SocketFamily {
    match number {
        2 => SocketFamily::Inet,
        10 => SocketFamily::Inet6,
        17 => SocketFamily::Packet,
        44 => SocketFamily::Xdp,
        _ => SocketFamily::Other,
    }
}

/// `SOCK_*` (`include/linux/net.h`, v6.12).
fn socket_type(number: u8) -> SocketType {
    match number {
        1 => SocketType::Stream,
        2 => SocketType::Dgram,
        3 => SocketType::Raw,
        5 => SocketType::Seqpacket,
        _ => SocketType::Other,
    }
}

fn event_kind(number: u16) -> Result<EventKind, UnknownNumber> {
    match RecordKind::from_id(number) {
        Some(RecordKind::Socket) => Ok(EventKind::Socket),
        Some(RecordKind::Bind) => Ok(EventKind::Bind),
        Some(RecordKind::Listen) => Ok(EventKind::Listen),
        Some(RecordKind::Unlisten) => Ok(EventKind::Unlisten),
        Some(RecordKind::ConnectOk) => Ok(EventKind::Connect),
        Some(RecordKind::ConnectFail) => Ok(EventKind::ConnectFailed),
        Some(RecordKind::Accept) => Ok(EventKind::Accept),
        Some(RecordKind::UdpOut) => Ok(EventKind::UdpOut),
        Some(RecordKind::UdpIn) => Ok(EventKind::UdpIn),
        Some(RecordKind::Snapshot) => Ok(EventKind::Snapshot),
        Some(RecordKind::Overflow | RecordKind::CgroupMade | RecordKind::CgroupRemoved) | None => {
            Err(unknown("event kind", number))
        }
    }
}

fn direction(number: u8) -> Result<Direction, UnknownNumber> {
    match abi::id::Direction::from_id(number) {
        Some(abi::id::Direction::In) => Ok(Direction::In),
        Some(abi::id::Direction::Out) => Ok(Direction::Out),
        Some(abi::id::Direction::None) => Ok(Direction::None),
        None => Err(unknown("direction", number)),
    }
}

/// An attempt that its own side gave up was neither refused nor timed out: how it would have ended is unknown.
fn outcome(number: u8) -> Result<Outcome, UnknownNumber> {
    match abi::id::Outcome::from_id(number) {
        Some(abi::id::Outcome::Established) => Ok(Outcome::Established),
        Some(abi::id::Outcome::Refused) => Ok(Outcome::Refused),
        Some(abi::id::Outcome::TimedOut) => Ok(Outcome::Timeout),
        Some(abi::id::Outcome::Unreachable) => Ok(Outcome::Unreachable),
        Some(abi::id::Outcome::Aborted | abi::id::Outcome::Unknown) => Ok(Outcome::Unknown),
        None => Err(unknown("outcome", number)),
    }
}

fn hook_id(number: u8) -> Result<HookId, UnknownNumber> {
    HookId::from_id(number).ok_or_else(|| unknown("hook", number))
}

fn unknown(field: &'static str, number: impl Into<u64>) -> UnknownNumber {
    UnknownNumber {
        field,
        number: number.into(),
    }
}
