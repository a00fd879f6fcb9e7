//! Attempts to connect that have not ended: what is needed to tell of them if nothing more is ever heard.

use crate::abi::address::Address;
use crate::abi::event::{Comm, Event};
use crate::abi::id::{Direction, Outcome, Protocol, RecordKind};

/// The program asked for a connection, and no packet has left yet.
pub const ATTEMPT_ASKED: u8 = 1;
/// The first packet of the handshake has left.
pub const ATTEMPT_SENT: u8 = 2;

/// Map value: one attempt over TCP, by the address of its socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Time it was asked for or, where nobody asked, at which the first packet left; nanoseconds of `CLOCK_BOOTTIME`.
    pub ts_ns: u64,
    /// Cookie of the socket: unique since boot, while the address of a socket is used again.
    pub cookie: u64,
    /// Version 2 control group of the socket; `0` if not known.
    pub cgroup_id: u64,
    /// Version 2 control group of the task; `0` without [`FLAG_TASK`](crate::abi::event::FLAG_TASK).
    pub task_cgroup_id: u64,
    /// Inode number of the socket's network namespace; `0` if not known.
    pub netns: u32,
    /// Process id in the initial pid namespace; `0` without a task.
    pub pid: u32,
    /// Address of this socket, once [`ATTEMPT_SENT`].
    pub local_ip: Address,
    /// Address of the other side, once [`ATTEMPT_SENT`].
    pub remote_ip: Address,
    /// Address the program asked for; unspecified if nobody asked.
    pub asked_ip: Address,
    /// Port of the other side, once [`ATTEMPT_SENT`]; host byte order.
    pub remote_port: u16,
    /// Port the program asked for; host byte order.
    pub asked_port: u16,
    /// [`ATTEMPT_ASKED`] or [`ATTEMPT_SENT`].
    pub state: u8,
    /// The hook that noted it, [`HookId`](crate::abi::id::HookId).
    pub hook: u8,
    /// As in [`Event`].
    pub flags: u8,
    /// Padding, always zero.
    pub pad: u8,
    /// Name of the task; none without one.
    pub comm: Comm,
}

const _: () = assert!(size_of::<Attempt>() == 112 && align_of::<Attempt>() == 8);

impl Attempt {
    /// No attempt.
    pub const NONE: Self = Self {
        ts_ns: 0,
        cookie: 0,
        cgroup_id: 0,
        task_cgroup_id: 0,
        netns: 0,
        pid: 0,
        local_ip: Address::UNSPECIFIED,
        remote_ip: Address::UNSPECIFIED,
        asked_ip: Address::UNSPECIFIED,
        remote_port: 0,
        asked_port: 0,
        state: 0,
        hook: 0,
        flags: 0,
        pad: 0,
        comm: Comm::NONE,
    };

    /// What was asked for in place of `ip` and `port`: unspecified if that is the same, or not known. The wildcard as an
    /// address to connect to means this host and is no address either.
    #[must_use]
    #[inline]
    pub const fn asked_instead_of(&self, ip: &Address, port: u16) -> (Address, u16) {
        let is_same = self.asked_ip.is(ip) && self.asked_port == port;
        if is_same || self.asked_ip.is_unspecified() {
            (Address::UNSPECIFIED, 0)
        } else {
            (self.asked_ip, self.asked_port)
        }
    }

    /// The attempt as an event that says how it ended.
    #[must_use]
    #[inline]
    pub const fn event(&self, outcome: Outcome) -> Event {
        let sent = self.state == ATTEMPT_SENT;
        let (remote_ip, remote_port) = if sent {
            (self.remote_ip, self.remote_port)
        } else {
            (self.asked_ip, self.asked_port)
        };
        let (asked_ip, asked_port) = self.asked_instead_of(&remote_ip, remote_port);
        let kind = if matches!(outcome, Outcome::Established) {
            RecordKind::ConnectOk
        } else {
            RecordKind::ConnectFail
        };
        Event {
            kind: kind.id(),
            hook: self.hook,
            protocol: Protocol::Tcp.id(),
            direction: Direction::Out.id(),
            outcome: outcome.id(),
            ip_version: remote_ip.ip_version(),
            flags: self.flags,
            ts_ns: self.ts_ns,
            cgroup_id: self.cgroup_id,
            cookie: self.cookie,
            task_cgroup_id: self.task_cgroup_id,
            netns: self.netns,
            pid: self.pid,
            errno: 0,
            backlog: 0,
            local_ip: self.local_ip,
            remote_ip,
            asked_ip,
            local_port: 0,
            remote_port,
            asked_port,
            family: 0,
            socket_type: 0,
            comm: self.comm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            asked_ip: Address::from_v4([10, 96, 0, 1]),
            asked_port: 80,
            remote_ip: Address::from_v4([10, 0, 0, 7]),
            remote_port: 8080,
            state: ATTEMPT_ASKED,
            ..Attempt::default()
        }
    }

    #[test]
    fn before_the_first_packet_the_peer_is_what_was_asked_for() {
        let event = attempt().event(Outcome::Unreachable);
        assert_eq!(
            (event.remote_ip, event.remote_port),
            (Address::from_v4([10, 96, 0, 1]), 80)
        );
        assert_eq!((event.asked_ip, event.asked_port), (Address::UNSPECIFIED, 0));
    }

    #[test]
    fn after_it_both_are_told_where_they_differ() {
        let mut attempt = attempt();
        attempt.state = ATTEMPT_SENT;
        let event = attempt.event(Outcome::Unknown);
        assert_eq!(
            (event.remote_ip, event.remote_port, event.asked_ip, event.asked_port),
            (attempt.remote_ip, 8080, attempt.asked_ip, 80)
        );
        (attempt.asked_ip, attempt.asked_port) = (attempt.remote_ip, attempt.remote_port);
        assert_eq!(attempt.event(Outcome::Unknown).asked_port, 0);
        attempt.asked_port = 1;
        attempt.asked_ip = Address::from_v4([0; 4]);
        assert_eq!(attempt.event(Outcome::Unknown).asked_port, 0);
    }
}
