//! Every map, its size, and what happens when it is full. The recorder changes the sizes when it loads the programs.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use flowtape_recorder_ebpf::abi::attempt::Attempt;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::id::HOOK_SLOTS;
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_recorder_ebpf::abi::quota::{QuotaKey, QuotaValue};
use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};

use crate::bound::Bound;
use crate::rescue::Shown;
use crate::talk::{Talk, TalkKey};

/// Records on their way to the recorder. Full: the record is dropped and counted in `ring_full` or `edge_lost`.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Control groups that came and went. A ring of their own, since what a pod is called must not depend on how busy sockets
/// are. Full: the record is dropped and counted in `ring_full`.
#[map]
pub(crate) static GROUPS: RingBuf = RingBuf::with_byte_size(512 << 10, 0);

/// Edges, first half. Hash and not LRU, which would evict an edge without a word. Full: an overflow record.
#[map]
pub(crate) static FLOWS_0: HashMap<FlowKey, FlowValue> = HashMap::with_max_entries(65_536, 0);

/// Edges, second half: while one half counts, the recorder empties the other.
#[map]
pub(crate) static FLOWS_1: HashMap<FlowKey, FlowValue> = HashMap::with_max_entries(65_536, 0);

/// What each control group has of the first half. Full: the groups that find no room have no quota.
#[map]
pub(crate) static QUOTAS_0: HashMap<QuotaKey, QuotaValue> = HashMap::with_max_entries(8_192, 0);

/// What each control group has of the second half.
#[map]
pub(crate) static QUOTAS_1: HashMap<QuotaKey, QuotaValue> = HashMap::with_max_entries(8_192, 0);

/// Listeners of which no event carries the count, first half. Full: the event does, and is told to.
#[map]
pub(crate) static LISTENS_0: HashMap<ListenKey, ListenValue> = HashMap::with_max_entries(4_096, 0);

/// Listeners, second half.
#[map]
pub(crate) static LISTENS_1: HashMap<ListenKey, ListenValue> = HashMap::with_max_entries(4_096, 0);

/// Kinds of sockets that were made, first half. Full: the event carries the count, and is told to.
#[map]
pub(crate) static SOCKETS_0: HashMap<SocketKey, SocketValue> = HashMap::with_max_entries(8_192, 0);

/// Kinds of sockets that were made, second half.
#[map]
pub(crate) static SOCKETS_1: HashMap<SocketKey, SocketValue> = HashMap::with_max_entries(8_192, 0);

/// Sockets of UDP whose program asked for a port, by the address of the socket. An entry goes with its socket. Full: counted in
/// `edge_lost`, and the listener is not known.
#[map]
pub(crate) static BOUND: HashMap<u64, Bound> = HashMap::with_max_entries(16_384, 0);

/// Counters by hook.
#[map]
pub(crate) static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(HOOK_SLOTS, 0);

/// What the second instance of a program must not do again. One entry, always there.
#[map]
pub(crate) static SHOWN: PerCpuArray<Shown> = PerCpuArray::with_max_entries(1, 0);

/// One [`Control`](flowtape_recorder_ebpf::abi::control::Control) word.
#[map]
pub(crate) static CONTROL: Array<u64> = Array::with_max_entries(1, 0);

/// Attempts to connect that have not ended, by the address of their socket. An entry goes when its socket leaves `SYN_SENT`,
/// or when the recorder finds that no packet ever left. Full: counted in `unkept` and `unheld`, and the event has no task.
#[map]
pub(crate) static CONNECTS: HashMap<u64, Attempt> = HashMap::with_max_entries(16_384, 0);

/// Sockets whose handshake found no room in [`CONNECTS`] and has not ended, to tell at its end that it began in the window.
/// Full: the handshake is counted as lost at once, and once more if it ends.
#[map]
pub(crate) static UNHELD: HashMap<u64, u8> = HashMap::with_max_entries(16_384, 0);

/// Who began a talk over UDP. Least recently used, because there is no end to a talk: what is evicted begins anew with the
/// next datagram.
#[map]
pub(crate) static TALKS: LruHashMap<TalkKey, Talk> = LruHashMap::with_max_entries(65_536, 0);
