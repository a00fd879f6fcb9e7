//! Bytes of the ring buffer into records. Pure, and bounded: a record that is not what it says is an error.

use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::attempt::Attempt;
use flowtape_recorder_ebpf::abi::cgroup::{CgroupChange, PATH_LEN};
use flowtape_recorder_ebpf::abi::event::{Comm, Event};
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue, Overflow};
use flowtape_recorder_ebpf::abi::id::RecordKind;
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};

/// What the programs tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// One socket operation. Not to be added to the flows: the kernel has counted it.
    Event(Event),
    /// One occurrence of an edge that the kernel had no room to count. To be added to the flows.
    Overflow(Overflow),
    /// A version 2 control group came or went.
    Cgroup(CgroupPath),
}

/// A version 2 control group that came or went while recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPath {
    /// True if it was made, false if it was removed.
    pub made: bool,
    /// Time, nanoseconds of `CLOCK_BOOTTIME`.
    pub ts_ns: u64,
    /// Inode number of its directory.
    pub id: u64,
    /// Path below the root of the hierarchy, beginning with `/`. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// True if the path was longer than what travels, and may have been cut.
    pub cut: bool,
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The kind is not known to this build.
    #[error("record of unknown kind {kind}")]
    Kind {
        /// The number found.
        kind: u16,
    },
    /// The length does not fit the kind.
    #[error("record of {found} bytes where its kind has {wanted}")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes of that kind.
        wanted: usize,
    },
}

/// Takes fixed-size pieces off the front of a record whose length was checked.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk::<N>().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *head
    }

    pub(super) fn u8(&mut self) -> u8 {
        u8::from_ne_bytes(self.take())
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }

    pub(super) fn address(&mut self) -> Address {
        Address::from_bytes(self.take())
    }
}

impl Record {
    /// Reads one record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let kind = Fields(bytes).u16();
        match RecordKind::from_id(kind) {
            Some(
                RecordKind::Socket
                | RecordKind::Bind
                | RecordKind::Listen
                | RecordKind::Unlisten
                | RecordKind::ConnectOk
                | RecordKind::ConnectFail
                | RecordKind::Accept
                | RecordKind::UdpOut
                | RecordKind::UdpIn,
            ) => Ok(Self::Event(event(&mut fields::<Event>(bytes)?))),
            Some(RecordKind::Overflow) => Ok(Self::Overflow(overflow(&mut fields::<Overflow>(bytes)?))),
            Some(change @ (RecordKind::CgroupMade | RecordKind::CgroupRemoved)) => {
                Ok(Self::Cgroup(cgroup(change, &mut fields::<CgroupChange>(bytes)?)))
            }
            // What is found is not sent.
            Some(RecordKind::Snapshot) | None => Err(RecordError::Kind { kind }),
        }
    }
}

fn fields<T>(bytes: &[u8]) -> Result<Fields<'_>, RecordError> {
    if bytes.len() == size_of::<T>() {
        Ok(Fields(bytes))
    } else {
        Err(RecordError::Length {
            found: bytes.len(),
            wanted: size_of::<T>(),
        })
    }
}

fn event(from: &mut Fields<'_>) -> Event {
    Event {
        kind: from.u16(),
        hook: from.u8(),
        protocol: from.u8(),
        direction: from.u8(),
        outcome: from.u8(),
        ip_version: from.u8(),
        flags: from.u8(),
        ts_ns: from.u64(),
        cgroup_id: from.u64(),
        cookie: from.u64(),
        task_cgroup_id: from.u64(),
        netns: from.u32(),
        pid: from.u32(),
        errno: from.u32(),
        backlog: from.u32(),
        local_ip: from.address(),
        remote_ip: from.address(),
        asked_ip: from.address(),
        local_port: from.u16(),
        remote_port: from.u16(),
        asked_port: from.u16(),
        family: from.u8(),
        socket_type: from.u8(),
        comm: Comm::from_bytes(from.take()),
    }
}

fn overflow(from: &mut Fields<'_>) -> Overflow {
    Overflow {
        kind: from.u16(),
        hook: from.u8(),
        sampled: from.u8(),
        occurrences: from.u8(),
        pad: from.take(),
        ts_ns: from.u64(),
        key: flow_key(from),
    }
}

fn cgroup(kind: RecordKind, from: &mut Fields<'_>) -> CgroupPath {
    let _kind_hook_and_padding: [u8; 4] = from.take();
    let length = usize::try_from(from.u32()).unwrap_or(PATH_LEN).min(PATH_LEN);
    let (ts_ns, id) = (from.u64(), from.u64());
    let path = from.0.get(..length).unwrap_or_default();
    CgroupPath {
        made: kind == RecordKind::CgroupMade,
        ts_ns,
        id,
        path: String::from_utf8_lossy(path).into_owned(),
        cut: length + 1 >= PATH_LEN,
    }
}

fn flow_key(from: &mut Fields<'_>) -> FlowKey {
    FlowKey {
        cgroup_id: from.u64(),
        netns: from.u32(),
        service_port: from.u16(),
        protocol: from.u8(),
        direction: from.u8(),
        local_ip: from.address(),
        remote_ip: from.address(),
        asked_ip: from.address(),
        asked_port: from.u16(),
        outcome: from.u8(),
        ip_version: from.u8(),
        hook: from.u8(),
        folded: from.u8(),
        pad: from.take(),
    }
}

/// A flow as it stands in the map: key and value.
pub(super) fn flow(key: &[u8], value: &[u8]) -> (FlowKey, FlowValue) {
    let (mut key, mut value) = (Fields(key), Fields(value));
    let value = FlowValue {
        first_ns: value.u64(),
        last_ns: value.u64(),
        count: value.u64(),
        samples: value.u64(),
    };
    (flow_key(&mut key), value)
}

/// An attempt to connect as it stands in the map.
pub(super) fn attempt(value: &[u8]) -> Attempt {
    let mut from = Fields(value);
    Attempt {
        ts_ns: from.u64(),
        cookie: from.u64(),
        cgroup_id: from.u64(),
        task_cgroup_id: from.u64(),
        netns: from.u32(),
        pid: from.u32(),
        local_ip: from.address(),
        remote_ip: from.address(),
        asked_ip: from.address(),
        remote_port: from.u16(),
        asked_port: from.u16(),
        state: from.u8(),
        hook: from.u8(),
        flags: from.u8(),
        pad: from.u8(),
        comm: Comm::from_bytes(from.take()),
    }
}

/// A listener as it stands in the map: key and value.
pub(super) fn listen(key: &[u8], value: &[u8]) -> (ListenKey, ListenValue) {
    let (mut key, mut value) = (Fields(key), Fields(value));
    let key = ListenKey {
        cgroup_id: key.u64(),
        netns: key.u32(),
        port: key.u16(),
        protocol: key.u8(),
        ip_version: key.u8(),
        local_ip: key.address(),
    };
    let value = ListenValue {
        first_ns: value.u64(),
        last_ns: value.u64(),
        opened: value.u32(),
        closed: value.u32(),
        backlog: value.u32(),
        hook: value.u32(),
    };
    (key, value)
}

/// A kind of sockets as it stands in the map: key and value.
pub(super) fn socket(key: &[u8], value: &[u8]) -> (SocketKey, SocketValue) {
    let (mut key, mut value) = (Fields(key), Fields(value));
    let key = SocketKey {
        cgroup_id: key.u64(),
        netns: key.u32(),
        protocol: key.u16(),
        family: key.u8(),
        socket_type: key.u8(),
    };
    let value = SocketValue {
        first_ns: value.u64(),
        last_ns: value.u64(),
        count: value.u64(),
        samples: value.u64(),
    };
    (key, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a record of `length` bytes with a counting pattern and the given kind.
    fn patterned(kind: RecordKind, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
        bytes[..2].copy_from_slice(&kind.id().to_ne_bytes());
        bytes
    }

    /// The integer that stands at a byte of the pattern.
    fn at<const N: usize>(offset: usize) -> [u8; N] {
        std::array::from_fn(|index| u8::try_from((offset + index) % 256).unwrap())
    }

    #[test]
    fn a_key_is_found_by_its_words() {
        let mut bytes = patterned(RecordKind::Accept, size_of::<FlowKey>());
        bytes[70..].fill(0);
        let words: Vec<u8> = flow(&bytes, &[0; size_of::<FlowValue>()])
            .0
            .words()
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect();
        assert_eq!(words, bytes);

        let bytes = patterned(RecordKind::Accept, size_of::<SocketKey>());
        let (key, _) = socket(&bytes, &[0; size_of::<SocketValue>()]);
        let words: Vec<u8> = key.words().into_iter().flat_map(u64::to_le_bytes).collect();
        assert_eq!(words, bytes);
    }

    #[test]
    fn event_fields_stand_where_the_abi_has_them() {
        let bytes = patterned(RecordKind::Accept, size_of::<Event>());
        let Ok(Record::Event(event)) = Record::decode(&bytes) else {
            panic!("no event")
        };
        assert_eq!(event.kind, RecordKind::Accept.id());
        assert_eq!(event.flags, at::<1>(core::mem::offset_of!(Event, flags))[0]);
        assert_eq!(
            event.cookie,
            u64::from_ne_bytes(at(core::mem::offset_of!(Event, cookie)))
        );
        assert_eq!(event.netns, u32::from_ne_bytes(at(core::mem::offset_of!(Event, netns))));
        assert_eq!(
            event.backlog,
            u32::from_ne_bytes(at(core::mem::offset_of!(Event, backlog)))
        );
        assert_eq!(event.remote_ip.bytes(), at(core::mem::offset_of!(Event, remote_ip)));
        assert_eq!(
            event.remote_port,
            u16::from_ne_bytes(at(core::mem::offset_of!(Event, remote_port)))
        );
        assert_eq!(event.socket_type, at::<1>(core::mem::offset_of!(Event, socket_type))[0]);
        assert_eq!(event.comm.bytes(), at(core::mem::offset_of!(Event, comm)));
    }

    #[test]
    fn overflow_and_map_fields_stand_where_the_abi_has_them() {
        let bytes = patterned(RecordKind::Overflow, size_of::<Overflow>());
        let Ok(Record::Overflow(overflow)) = Record::decode(&bytes) else {
            panic!("no overflow")
        };
        let key = core::mem::offset_of!(Overflow, key);
        assert_eq!(
            overflow.ts_ns,
            u64::from_ne_bytes(at(core::mem::offset_of!(Overflow, ts_ns)))
        );
        assert_eq!(
            overflow.key.local_ip.bytes(),
            at(key + core::mem::offset_of!(FlowKey, local_ip))
        );
        assert_eq!(
            overflow.key.ip_version,
            at::<1>(key + core::mem::offset_of!(FlowKey, ip_version))[0]
        );

        assert_eq!(
            overflow.key.folded,
            at::<1>(key + core::mem::offset_of!(FlowKey, folded))[0]
        );

        let pattern = patterned(RecordKind::Overflow, 80);
        let (_, value) = flow(&pattern, &pattern);
        assert_eq!(
            value.samples,
            u64::from_ne_bytes(at(core::mem::offset_of!(FlowValue, samples)))
        );
        let pending = attempt(&patterned(RecordKind::Overflow, size_of::<Attempt>()));
        assert_eq!(pending.state, at::<1>(core::mem::offset_of!(Attempt, state))[0]);
        assert_eq!(pending.comm.bytes(), at(core::mem::offset_of!(Attempt, comm)));
        let (key, value) = listen(&pattern, &pattern);
        assert_eq!(key.local_ip.bytes(), at(core::mem::offset_of!(ListenKey, local_ip)));
        assert_eq!(
            value.hook,
            u32::from_ne_bytes(at(core::mem::offset_of!(ListenValue, hook)))
        );
        let (key, value) = socket(&pattern, &pattern);
        assert_eq!(
            key.socket_type,
            at::<1>(core::mem::offset_of!(SocketKey, socket_type))[0]
        );
        assert_eq!(
            value.samples,
            u64::from_ne_bytes(at(core::mem::offset_of!(SocketValue, samples)))
        );
    }

    #[test]
    fn a_path_ends_where_the_record_says() {
        let mut bytes = vec![b'x'; size_of::<CgroupChange>()];
        bytes[..2].copy_from_slice(&RecordKind::CgroupMade.id().to_ne_bytes());
        let put = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(
            &mut bytes,
            core::mem::offset_of!(CgroupChange, path_len),
            &5_u32.to_ne_bytes(),
        );
        put(
            &mut bytes,
            core::mem::offset_of!(CgroupChange, cgroup_id),
            &77_u64.to_ne_bytes(),
        );
        put(&mut bytes, core::mem::offset_of!(CgroupChange, path), b"/pods");
        let Ok(Record::Cgroup(change)) = Record::decode(&bytes) else {
            panic!("no cgroup")
        };
        assert_eq!(
            (change.made, change.id, change.path.as_str(), change.cut),
            (true, 77, "/pods", false)
        );

        put(
            &mut bytes,
            core::mem::offset_of!(CgroupChange, path_len),
            &u32::MAX.to_ne_bytes(),
        );
        let Ok(Record::Cgroup(change)) = Record::decode(&bytes) else {
            panic!("no cgroup")
        };
        assert_eq!((change.path.len(), change.cut), (PATH_LEN, true));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert_eq!(Record::decode(&[]), Err(RecordError::Kind { kind: 0 }));
        assert_eq!(Record::decode(&[1]), Err(RecordError::Kind { kind: 0 }));
        let short = patterned(RecordKind::Listen, size_of::<Event>() - 1);
        assert!(matches!(Record::decode(&short), Err(RecordError::Length { .. })));
    }
}
