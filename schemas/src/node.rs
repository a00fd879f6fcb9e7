//! The tables that a node's recorder writes into `node=<name>/`.
//!
//! The name of the node is the directory, a Hive partition that DuckDB, Spark and polars read as a column.

mod cgroups;
mod clock;
mod events;
mod flows;
mod listens;
mod names;
mod netns;
mod sockets;
mod stats;

pub use cgroups::{CgroupRow, Qos, Runtime};
pub use clock::ClockRow;
pub use events::{DirectionSource, EventKind, EventRow};
pub use flows::FlowRow;
pub use listens::ListenRow;
pub use names::NameRow;
pub use netns::NetnsRow;
pub use sockets::{SocketFamily, SocketRow, SocketType};
pub use stats::{Counter, Loss, StatsRow};

use crate::value::words;

words! {
    /// Which side of a connection the recorded socket was.
    pub enum Direction {
        /// The socket was the server: it accepted.
        In = "in",
        /// The socket was the client: it connected.
        Out = "out",
        /// The operation has no peer: socket, bind, listen.
        None = "none",
        /// The kernel state does not tell.
        Unknown = "unknown",
    }
}

words! {
    /// How an attempt to communicate ended.
    pub enum Outcome {
        /// TCP: the handshake completed. UDP: the server's socket received, a reply was seen, or a connected socket had no error.
        Established = "established",
        /// The peer answered that nobody listens there (ECONNREFUSED).
        Refused = "refused",
        /// Nobody answered (ETIMEDOUT).
        Timeout = "timeout",
        /// The network answered that the peer cannot be reached (EHOSTUNREACH, ENETUNREACH and their like).
        Unreachable = "unreachable",
        /// It cannot be known: another error, or still open when the window ended.
        Unknown = "unknown",
    }
}

words! {
    /// Where the knowledge of a row comes from.
    pub enum Hook {
        /// BTF tracepoint `inet_sock_set_state` (`include/trace/events/sock.h`, Linux 4.16): every TCP state transition.
        SetState = "tp_btf/inet_sock_set_state",
        /// Raw tracepoint of the same name, beside the BTF one: rescues what the kernel skips while the other runs.
        SetStateRaw = "raw_tp/inet_sock_set_state",
        /// BTF tracepoint `sock_send_length` (`include/trace/events/sock.h`, Linux 6.3): a socket sent so many bytes.
        SendLength = "tp_btf/sock_send_length",
        /// BTF tracepoint `inet_sk_error_report` (`include/trace/events/sock.h`, Linux 5.14): a socket learns of an error.
        ErrorReport = "tp_btf/inet_sk_error_report",
        /// BTF tracepoint `cgroup_mkdir` (`include/trace/events/cgroup.h`).
        CgroupMkdir = "tp_btf/cgroup_mkdir",
        /// BTF tracepoint `cgroup_rmdir` (`include/trace/events/cgroup.h`).
        CgroupRmdir = "tp_btf/cgroup_rmdir",
        /// cgroup program `connect4`: an IPv4 address before the connection is attempted.
        Connect4 = "cgroup/connect4",
        /// cgroup program `connect6`: an IPv6 address before the connection is attempted.
        Connect6 = "cgroup/connect6",
        /// cgroup program `sendmsg4`: an unconnected IPv4 datagram leaves.
        Sendmsg4 = "cgroup/sendmsg4",
        /// cgroup program `sendmsg6`: an unconnected IPv6 datagram leaves.
        Sendmsg6 = "cgroup/sendmsg6",
        /// cgroup program `recvmsg4`: an IPv4 datagram was received.
        Recvmsg4 = "cgroup/recvmsg4",
        /// cgroup program `recvmsg6`: an IPv6 datagram was received.
        Recvmsg6 = "cgroup/recvmsg6",
        /// cgroup program `bind4`: an IPv4 address and port before a socket is bound to them.
        Bind4 = "cgroup/bind4",
        /// cgroup program `bind6`: an IPv6 address and port before a socket is bound to them.
        Bind6 = "cgroup/bind6",
        /// cgroup program `post_bind4`: an IPv4 socket was bound.
        PostBind4 = "cgroup/post_bind4",
        /// cgroup program `post_bind6`: an IPv6 socket was bound.
        PostBind6 = "cgroup/post_bind6",
        /// cgroup program `sock_create`: a socket was created.
        SockCreate = "cgroup/sock_create",
        /// cgroup program `sock_release`: a socket was closed.
        SockRelease = "cgroup/sock_release",
        /// Iterator over every task's files: sockets that predate or outlive the window.
        TaskFile = "iter/task_file",
        /// The writer of the recorder itself, after the kernel.
        Writer = "writer",
        /// An importer of somebody else's recording.
        Import = "import",
        /// Nothing was observed: the row was written by hand or compiled from a scenario.
        Synthetic = "synthetic",
    }
}
