//! The identifiers that travel as plain integers. Numbers have gaps for what comes later and are never used twice.

macro_rules! ids {
    (
        $(#[$meta:meta])* $name:ident: $int:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $id:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[repr($int)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant = $id, )*
        }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The number that travels.
            #[must_use]
            #[inline]
            pub const fn id(self) -> $int {
                self as $int
            }

            /// The value behind a number, or `None` if this build does not know it.
            #[must_use]
            pub const fn from_id(id: $int) -> Option<Self> {
                match id {
                    $( $id => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }
    };
}

ids! {
    /// What a ring-buffer record is. The first field of every record.
    RecordKind: u16 {
        /// A socket was made. [`Event`](crate::abi::event::Event).
        Socket = 10,
        /// A socket got a local port by `bind()`, chosen by the program or by the kernel. [`Event`](crate::abi::event::Event).
        Bind = 50,
        /// A socket began to listen. [`Event`](crate::abi::event::Event).
        Listen = 100,
        /// A listening socket was closed, or one of UDP with a port that its program chose. [`Event`](crate::abi::event::Event).
        Unlisten = 110,
        /// A connection this side opened was established. [`Event`](crate::abi::event::Event).
        ConnectOk = 200,
        /// A connection this side tried to open was not established. [`Event`](crate::abi::event::Event).
        ConnectFail = 210,
        /// A connection another side opened was established. [`Event`](crate::abi::event::Event).
        Accept = 300,
        /// A datagram was sent. [`Event`](crate::abi::event::Event).
        UdpOut = 400,
        /// A datagram was received. [`Event`](crate::abi::event::Event).
        UdpIn = 410,
        /// A socket was found open. [`Event`](crate::abi::event::Event); made by the recorder, never sent.
        Snapshot = 500,
        /// The flow map had no room: this occurrence is counted nowhere else. [`Overflow`](crate::abi::flow::Overflow).
        Overflow = 900,
        /// A version 2 control group was made. [`CgroupChange`](crate::abi::cgroup::CgroupChange).
        CgroupMade = 1000,
        /// A version 2 control group was removed. [`CgroupChange`](crate::abi::cgroup::CgroupChange).
        CgroupRemoved = 1010,
    }
}

impl RecordKind {
    /// True for what is one operation of one socket and travels as an [`Event`](crate::abi::event::Event).
    #[must_use]
    pub const fn is_event(self) -> bool {
        match self {
            Self::Socket
            | Self::Bind
            | Self::Listen
            | Self::Unlisten
            | Self::ConnectOk
            | Self::ConnectFail
            | Self::Accept
            | Self::UdpOut
            | Self::UdpIn
            | Self::Snapshot => true,
            Self::Overflow | Self::CgroupMade | Self::CgroupRemoved => false,
        }
    }

    /// True for an event that has another side: a connection or a datagram. A socket that was found may have one.
    #[must_use]
    pub const fn has_peer(self) -> bool {
        match self {
            Self::ConnectOk | Self::ConnectFail | Self::Accept | Self::UdpOut | Self::UdpIn | Self::Snapshot => true,
            Self::Socket
            | Self::Bind
            | Self::Listen
            | Self::Unlisten
            | Self::Overflow
            | Self::CgroupMade
            | Self::CgroupRemoved => false,
        }
    }
}

ids! {
    /// Which program a counter or a record belongs to. Also the index into the counter map, hence small.
    HookId: u8 {
        /// `tp_btf/inet_sock_set_state`.
        InetSockSetState = 0,
        /// `cgroup/connect4`.
        Connect4 = 2,
        /// `cgroup/connect6`.
        Connect6 = 3,
        /// `cgroup/sendmsg4`.
        Sendmsg4 = 4,
        /// `cgroup/sendmsg6`.
        Sendmsg6 = 5,
        /// `cgroup/recvmsg4`.
        Recvmsg4 = 6,
        /// `cgroup/recvmsg6`.
        Recvmsg6 = 7,
        /// `cgroup/post_bind4`.
        PostBind4 = 8,
        /// `cgroup/post_bind6`.
        PostBind6 = 9,
        /// `tp_btf/cgroup_mkdir`.
        CgroupMkdir = 10,
        /// `tp_btf/cgroup_rmdir`.
        CgroupRmdir = 11,
        /// `cgroup/sock_create`.
        SockCreate = 12,
        /// `tp_btf/sock_send_length`.
        SockSendLength = 13,
        /// `tp_btf/inet_sk_error_report`.
        SkErrorReport = 14,
        /// `iter/task_file`.
        TaskFile = 15,
        /// `cgroup/bind4`.
        Bind4 = 16,
        /// `cgroup/bind6`.
        Bind6 = 17,
        /// `cgroup/sock_release`.
        SockRelease = 18,
    }
}

/// Slots of the counter map; every [`HookId`] is below it.
pub const HOOK_SLOTS: u32 = 32;

ids! {
    /// Who opened a connection, seen from the socket.
    Direction: u8 {
        /// This socket opened it: the local side is the client.
        Out = 1,
        /// The other side opened it: the local side is the server.
        In = 2,
        /// There is no other side: a listening socket.
        None = 10,
    }
}

ids! {
    /// How an attempt to connect ended.
    Outcome: u8 {
        /// The handshake completed.
        Established = 1,
        /// The other side said no (`ECONNREFUSED`).
        Refused = 10,
        /// Nobody answered (`ETIMEDOUT`).
        TimedOut = 20,
        /// A router or this host had no way to it (`EHOSTUNREACH`, `ENETUNREACH` and their like).
        Unreachable = 30,
        /// Its own side gave up before there was an answer (closed or disconnected while waiting).
        Aborted = 40,
        /// None of the above; the event's `errno` says more.
        Unknown = 90,
    }
}

ids! {
    /// The protocol of a socket, by its IANA number.
    Protocol: u8 {
        /// TCP; the subflows of MPTCP are TCP too.
        Tcp = 6,
        /// UDP.
        Udp = 17,
        /// SCTP.
        Sctp = 132,
    }
}

/// Linux `errno` values that decide an [`Outcome`] (`include/uapi/asm-generic/errno.h`, which x86-64 and arm64 use as is).
mod errno {
    pub(super) const EACCES: u32 = 13;
    pub(super) const ENETDOWN: u32 = 100;
    pub(super) const ENETUNREACH: u32 = 101;
    pub(super) const ECONNABORTED: u32 = 103;
    pub(super) const ECONNRESET: u32 = 104;
    pub(super) const ETIMEDOUT: u32 = 110;
    pub(super) const ECONNREFUSED: u32 = 111;
    pub(super) const EHOSTDOWN: u32 = 112;
    pub(super) const EHOSTUNREACH: u32 = 113;
}

impl Outcome {
    /// How a connection ended that left `SYN_SENT` for `CLOSE` with this `sk_err`.
    ///
    /// `0` and `ECONNRESET` mean that the owner closed or disconnected the socket (`tcp_disconnect` sets `ECONNRESET` for a
    /// socket in `SYN_SENT`, `net/ipv4/tcp.c`, v6.12; a reset from the other side is `ECONNREFUSED` in this state,
    /// `tcp_reset`, `net/ipv4/tcp_input.c`). `EACCES` is an `ICMPv6` "administratively prohibited"
    /// (`icmpv6_err_convert`, `net/ipv6/icmp.c`).
    #[must_use]
    #[inline]
    pub const fn from_connect_errno(errno: u32) -> Self {
        match errno {
            errno::ECONNREFUSED => Self::Refused,
            errno::ETIMEDOUT => Self::TimedOut,
            errno::EHOSTUNREACH | errno::ENETUNREACH | errno::EHOSTDOWN | errno::ENETDOWN | errno::EACCES => {
                Self::Unreachable
            }
            0 | errno::ECONNRESET | errno::ECONNABORTED => Self::Aborted,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_what_they_were() {
        for &kind in RecordKind::ALL {
            assert_eq!(RecordKind::from_id(kind.id()), Some(kind));
        }
        for &hook in HookId::ALL {
            assert_eq!(HookId::from_id(hook.id()), Some(hook));
            assert!(u32::from(hook.id()) < HOOK_SLOTS);
        }
        for &outcome in Outcome::ALL {
            assert_eq!(Outcome::from_id(outcome.id()), Some(outcome));
        }
    }

    #[test]
    fn unknown_numbers_are_refused() {
        assert_eq!(RecordKind::from_id(0), None);
        assert_eq!(Direction::from_id(0), None);
        assert_eq!(Outcome::from_id(2), None);
        assert_eq!(Protocol::from_id(0), None);
    }

    #[test]
    fn outcome_of_a_failed_connect() {
        assert_eq!(Outcome::from_connect_errno(111), Outcome::Refused);
        assert_eq!(Outcome::from_connect_errno(110), Outcome::TimedOut);
        assert_eq!(Outcome::from_connect_errno(113), Outcome::Unreachable);
        assert_eq!(Outcome::from_connect_errno(101), Outcome::Unreachable);
        assert_eq!(Outcome::from_connect_errno(0), Outcome::Aborted);
        assert_eq!(Outcome::from_connect_errno(104), Outcome::Aborted);
        assert_eq!(Outcome::from_connect_errno(12), Outcome::Unknown);
    }
}
