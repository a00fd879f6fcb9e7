//! What the caller chooses about the kernel part, and what it learns about it.

use std::path::PathBuf;
use std::time::Duration;

use flowtape_recorder_ebpf::abi::attempt::Attempt;
use flowtape_recorder_ebpf::abi::control::{SAMPLE_ALL, SampleLimits};
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::id::HookId;
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};

/// Events of datagrams that an edge sends between two drains if nothing else is asked for: a talk may be a million of them,
/// and the first few show its ports.
pub const DATAGRAM_SAMPLES: u32 = 8;

/// Sizes and choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelConfig {
    /// Size of the ring buffer in bytes: a power of two and a multiple of the page size. One page is enough to work, and
    /// loses events (never edges) under load. That for control groups is as large, up to [`GROUP_RING_BYTES`].
    pub ring_bytes: u32,
    /// Edges that fit between two drains. There are two maps of this size, about 9 MiB each at 65,536.
    pub flow_entries: u32,
    /// Edges that one control group may have in each direction between two drains. What is beyond is folded: counted by port,
    /// without its peer.
    pub quota: u32,
    /// Listeners that fit between two drains.
    pub listen_entries: u32,
    /// Events an edge may send between two drains.
    pub limits: SampleLimits,
    /// Attempts to connect that may wait for their outcome at a time.
    pub connect_entries: u32,
    /// Kinds of sockets that fit between two drains: a handful for each control group.
    pub socket_entries: u32,
    /// Sockets of UDP that may have a chosen port at a time.
    pub bound_entries: u32,
    /// True to attach no program to control groups: nothing that could change what a socket does. UDP is not recorded then.
    pub passive_only: bool,
    /// The one hook to attach, to see what it costs alone; all of them without.
    pub only: Option<HookId>,
    /// True to find out which task began a connection (process id, name, control group).
    pub tasks: bool,
    /// A kernel object to load in place of the one built in.
    pub object: Option<PathBuf>,
    /// Where the kernel describes its own types.
    pub types: PathBuf,
}

/// Where a kernel describes its own types, if it does (`CONFIG_DEBUG_INFO_BTF`).
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Size of the ring buffer for control groups in bytes: nearly a thousand that come or go between two looks.
pub const GROUP_RING_BYTES: u32 = 512 << 10;

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            ring_bytes: 8 << 20,
            flow_entries: 65_536,
            quota: 4_096,
            listen_entries: 4_096,
            connect_entries: 16_384,
            socket_entries: 8_192,
            bound_entries: 16_384,
            passive_only: false,
            only: None,
            limits: SampleLimits {
                connections: SAMPLE_ALL,
                datagrams: DATAGRAM_SAMPLES,
            },
            tasks: true,
            object: None,
            types: VMLINUX.into(),
        }
    }
}

/// Whether a hook records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// It is attached.
    Available,
    /// Another hook does its work, less well.
    Fallback {
        /// What does it, and what is lost by that.
        reason: String,
    },
    /// Nothing does its work.
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The settings leave it out.
    NotAskedFor,
}

/// One hook and whether it records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Which.
    pub id: HookId,
    /// Where it is attached, as `tp_btf/inet_sock_set_state`.
    pub name: &'static str,
    /// True if the recorder is of no use without it.
    pub essential: bool,
    /// Whether it records.
    pub state: HookState,
}

/// What one hook did since it was attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookCounters {
    /// Which.
    pub id: HookId,
    /// Summed over all processors.
    pub counters: Counters,
    /// Times the kernel skipped the program because it was already running on that processor, and its second instance
    /// handled what it would have.
    pub rescued: u64,
    /// Times the kernel skipped the program and nobody stood in. Each may have been an edge, so a window with any of these is
    /// not complete.
    pub recursion_misses: u64,
}

/// What the kernel keeps about a loaded program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgramStats {
    /// Nanoseconds spent in the program; 0 unless `kernel.bpf_stats_enabled` is set.
    pub run_time_ns: u64,
    /// Times the program ran; 0 unless `kernel.bpf_stats_enabled` is set.
    pub run_count: u64,
    /// Times the kernel skipped the program because it was already running on that processor (an interrupt came in the
    /// middle of it). Each may have been an edge.
    pub recursion_misses: u64,
}

/// What was counted since the last drain. Nothing is in two drains, nothing is in none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// Edges, in no order.
    pub flows: Vec<(FlowKey, FlowValue)>,
    /// Listeners, in no order.
    pub listens: Vec<(ListenKey, ListenValue)>,
    /// Kinds of sockets that were made, in no order.
    pub sockets: Vec<(SocketKey, SocketValue)>,
    /// Attempts to connect that were still waiting: those for which no packet left in [`ATTEMPT_PATIENCE`], and after the
    /// end of the window every one.
    pub attempts: Vec<Attempt>,
}

/// Time after which no packet of an attempt to connect is waited for: between the two the kernel only looks up a route.
pub const ATTEMPT_PATIENCE: Duration = Duration::from_secs(1);
