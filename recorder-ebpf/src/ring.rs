//! The only way into the ring buffers. No record wakes the reader, which costs more than all the rest; the reader polls, and
//! is woken once when a buffer passes half its size.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE};
use aya_ebpf::maps::ring_buf::RingBufEntry;
use flowtape_recorder_ebpf::abi::cgroup::CgroupChange;

use crate::global::wake_above;
use crate::map::{GROUPS, RECORDS};

/// Width in bytes of the band above half the buffer in which a record wakes the reader. Wider than what two CPUs write at
/// once, so that one of them is in it, and narrow, so that an overrun buffer is not woken for every record.
const WAKE_BAND: u64 = 2048;

/// Makes room for a record, or gives `None` if there is none.
#[inline(always)]
pub(crate) fn reserve<T: 'static>() -> Option<RingBufEntry<T>> {
    RECORDS.reserve::<T>(0)
}

/// Hands over a record that was filled.
#[inline(always)]
pub(crate) fn submit<T: 'static>(entry: RingBufEntry<T>) {
    let waiting = RECORDS.query(u64::from(BPF_RB_AVAIL_DATA)).wrapping_sub(wake_above());
    let flags = if waiting < WAKE_BAND {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    entry.submit(u64::from(flags));
}

/// Makes room for what is told of a control group, or gives `None` if there is none.
#[inline(always)]
pub(crate) fn reserve_change() -> Option<RingBufEntry<CgroupChange>> {
    GROUPS.reserve::<CgroupChange>(0)
}

/// Hands over what is told of a control group.
#[inline(always)]
pub(crate) fn submit_change(entry: RingBufEntry<CgroupChange>) {
    let is_half_full = GROUPS.query(u64::from(BPF_RB_AVAIL_DATA)) > GROUPS.query(u64::from(BPF_RB_RING_SIZE)) / 2;
    let flags = if is_half_full {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    entry.submit(u64::from(flags));
}
