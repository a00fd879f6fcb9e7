//! The only way into the ring buffers. No record wakes the reader, which costs more than all the rest; the reader polls, and
//! is woken once when a buffer passes half its size.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE};
use aya_ebpf::maps::ring_buf::RingBufEntry;
use flowtape_recorder_ebpf::abi::cgroup::CgroupChange;
use flowtape_recorder_ebpf::abi::event::Event;

use crate::global::wake_above;
use crate::map::{GROUPS, RECORDS};

/// A program looks how full the buffer is with one of so many of its events on one processor, since asking costs a tenth of an
/// event. A power of two.
const LOOK_EVERY: u64 = 8;

/// Half of a buffer, in bytes, up to which every event looks.
const SMALL: u64 = 64 << 10;

/// Width in bytes of the band above half a buffer in which a record wakes the reader: hundreds of records, some of which look,
/// and few beside all of a buffer, since an overrun one is not to be woken for each of its records, which costs a microsecond.
const WAKE_BAND: u64 = 64 << 10;

/// The same of a small buffer, where every record looks: wider than what two CPUs write at once, so that one of them is in it.
const SMALL_BAND: u64 = 2048;

/// Makes room for a record, or gives `None` if there is none.
#[inline(always)]
pub(crate) fn reserve<T: 'static>() -> Option<RingBufEntry<T>> {
    RECORDS.reserve::<T>(0)
}

/// Hands over an event that was filled, the one after `earlier` of its program on this processor.
#[inline(always)]
pub(crate) fn submit_event(entry: RingBufEntry<Event>, earlier: u64) {
    if wake_above() > SMALL && earlier & (LOOK_EVERY - 1) != 0 {
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    } else {
        submit(entry);
    }
}

/// Hands over a record that was filled.
#[inline(always)]
pub(crate) fn submit<T: 'static>(entry: RingBufEntry<T>) {
    let half = wake_above();
    let band = if half > SMALL { WAKE_BAND } else { SMALL_BAND };
    let above = RECORDS.query(u64::from(BPF_RB_AVAIL_DATA)).wrapping_sub(half);
    let flags = if above < band {
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
