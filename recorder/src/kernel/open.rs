//! Sockets that processes hold open, from the iterator's bytes. Pure.

use std::collections::BTreeMap;

use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::event::Comm;
use flowtape_recorder_ebpf::abi::open::OpenSocket;

use super::record::{Fields, RecordError};

/// Bytes of a record.
const LENGTH: usize = size_of::<OpenSocket>();

/// Sockets that are kept of one look; more are counted and left out.
const KEPT: usize = 131_072;

/// A socket that some process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The socket, with the lowest numbered of the processes that hold it.
    pub socket: OpenSocket,
    /// It was there before the programs were attached.
    pub before: bool,
    /// It was there after they were.
    pub after: bool,
}

/// When a look at the sockets was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Before the programs were attached.
    Before,
    /// After they were attached.
    After,
}

/// What tells one socket from another: its cookie and its ends. The cookie alone does not: a socket that MPTCP makes for a
/// connection which comes in has that of its listener, if that had one already (`mptcp_sk_clone_init`, `net/mptcp/protocol.c`,
/// v6.12, clones it as it is, where `inet_csk_clone_lock`, `net/ipv4/inet_connection_sock.c`, gives TCP's a new one).
type Key = (u64, Address, Address, u16);

/// The sockets that processes hold, each once, whoever holds it and however often.
#[derive(Debug, Clone, Default)]
pub struct OpenSockets {
    found: BTreeMap<Key, Found>,
    /// Records that found no room.
    left_out: u64,
    /// The beginning of a record whose rest is still to come.
    rest: Vec<u8>,
}

impl OpenSockets {
    /// The sockets, in the order of their cookies.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.found.values()
    }

    /// Records of sockets that found no room. One socket may be in several of them.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Adds what was read.
    pub fn add(&mut self, look: Look, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let records = bytes.chunks_exact(LENGTH);
        self.rest.extend_from_slice(records.remainder());
        for record in records {
            self.add_one(look, decode(record));
        }
    }

    /// Nothing more comes of this look.
    pub fn end(&mut self) -> Result<(), RecordError> {
        match std::mem::take(&mut self.rest).len() {
            0 => Ok(()),
            found => Err(RecordError::Length { found, wanted: LENGTH }),
        }
    }

    fn add_one(&mut self, look: Look, socket: OpenSocket) {
        let has_room = self.found.len() < KEPT;
        let key = (socket.cookie, socket.local_ip, socket.remote_ip, socket.remote_port);
        let found = match self.found.get_mut(&key) {
            Some(found) => found,
            None if has_room => self.found.entry(key).or_insert(Found {
                socket,
                before: false,
                after: false,
            }),
            None => {
                self.left_out += 1;
                return;
            }
        };
        match look {
            Look::Before => found.before = true,
            Look::After => found.after = true,
        }
        if socket.pid < found.socket.pid {
            (found.socket.pid, found.socket.comm) = (socket.pid, socket.comm);
        }
    }
}

fn decode(bytes: &[u8]) -> OpenSocket {
    let mut from = Fields(bytes);
    OpenSocket {
        cookie: from.u64(),
        cgroup_id: from.u64(),
        netns: from.u32(),
        pid: from.u32(),
        backlog: from.u32(),
        family: from.u16(),
        protocol: from.u16(),
        local_ip: from.address(),
        remote_ip: from.address(),
        local_port: from.u16(),
        remote_port: from.u16(),
        socket_type: from.u16(),
        state: from.u8(),
        user_locks: from.u8(),
        comm: Comm::from_bytes(from.take()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, KEPT, LENGTH, Look, OpenSocket, OpenSockets};
    use core::mem::offset_of;

    /// A record with these numbers and a name of one letter, in the kernel's own layout.
    fn record(cookie: u64, pid: u32, name: u8) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(offset_of!(OpenSocket, cookie), &cookie.to_ne_bytes());
        put(offset_of!(OpenSocket, pid), &pid.to_ne_bytes());
        put(offset_of!(OpenSocket, protocol), &262_u16.to_ne_bytes());
        put(offset_of!(OpenSocket, socket_type), &3_u16.to_ne_bytes());
        put(offset_of!(OpenSocket, user_locks), &[8]);
        put(offset_of!(OpenSocket, comm), &[name]);
        bytes
    }

    fn all(sockets: &OpenSockets) -> Vec<Found> {
        sockets.iter().copied().collect()
    }

    #[test]
    fn a_socket_that_several_hold_is_one_and_of_the_first() {
        let mut orders = Vec::new();
        for order in [[9, 3, 5], [3, 5, 9], [5, 9, 3]] {
            let mut sockets = OpenSockets::default();
            for pid in order {
                let name = u8::try_from(pid).unwrap();
                sockets.add(Look::After, &record(7, pid, name));
            }
            assert_eq!(sockets.end(), Ok(()));
            orders.push(all(&sockets));
        }
        assert!(orders.iter().all(|found| *found == orders[0]), "{orders:?}");
        let [found] = orders[0].as_slice() else {
            panic!("{:?}", orders[0])
        };
        assert_eq!((found.socket.cookie, found.socket.pid), (7, 3));
        assert_eq!((found.socket.protocol, found.socket.socket_type), (262, 3));
        assert_eq!((found.socket.user_locks, found.socket.comm.bytes()[0]), (8, 3));
    }

    #[test]
    fn records_may_come_in_pieces_but_not_be_cut() {
        let bytes = [record(1, 1, 0), record(2, 1, 0)].concat();
        for cut in 0..bytes.len() {
            let mut sockets = OpenSockets::default();
            sockets.add(Look::After, &bytes[..cut]);
            sockets.add(Look::After, &bytes[cut..]);
            assert_eq!((all(&sockets).len(), sockets.end()), (2, Ok(())), "{cut}");
            let mut short = OpenSockets::default();
            short.add(Look::After, &bytes[..cut]);
            assert_eq!(short.end().is_ok(), cut % LENGTH == 0, "{cut}");
        }
    }

    #[test]
    fn sockets_with_one_cookie_and_other_ends_are_two() {
        let (listener, mut accepted) = (record(1, 1, 0), record(1, 1, 0));
        accepted[offset_of!(OpenSocket, remote_port)] = 80;
        let mut sockets = OpenSockets::default();
        sockets.add(Look::After, &[listener, accepted].concat());
        assert_eq!(all(&sockets).len(), 2);
    }

    #[test]
    fn both_looks_are_told_apart() {
        let mut sockets = OpenSockets::default();
        sockets.add(Look::Before, &[record(1, 1, 0), record(2, 1, 0)].concat());
        sockets.add(Look::After, &[record(2, 1, 0), record(3, 1, 0)].concat());
        let seen: Vec<_> = sockets.iter().map(|found| (found.before, found.after)).collect();
        assert_eq!(seen, [(true, false), (true, true), (false, true)]);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut sockets = OpenSockets::default();
        for cookie in 0..=u64::try_from(KEPT).unwrap() {
            sockets.add(Look::After, &record(cookie, 1, 0));
        }
        sockets.add(Look::After, &record(0, 1, 0));
        assert_eq!((all(&sockets).len(), sockets.left_out()), (KEPT, 1));
    }
}
