//! Keeps each share of the flow map within its quota. Asked only for edges that are not in the map yet.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::maps::HashMap;
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::quota::{FOLDED_EDGES, QuotaKey, QuotaValue};

use crate::global::quota;

/// Folds an edge that is beyond the quota of its share. Gives the number to raise if the edge is put into the map now; none
/// if it is there already, or if there is no room to count shares, where nothing is folded.
#[inline(always)]
pub(crate) fn fit(
    quotas: &'static HashMap<QuotaKey, QuotaValue>,
    flows: &'static HashMap<FlowKey, FlowValue>,
    key: &mut FlowKey,
) -> Option<*mut u64> {
    let share = QuotaKey::of(key);
    let taken = match quotas.get_ptr_mut(share) {
        Some(taken) => taken,
        None => {
            let _ = quotas.insert(share, QuotaValue { edges: 0, folded: 0 }, u64::from(BPF_NOEXIST));
            quotas.get_ptr_mut(share)?
        }
    };
    // SAFETY: a live map value; the recorder empties this half only after every program that saw it active has ended.
    let (edges, folded) = unsafe { (&raw mut (*taken).edges, &raw mut (*taken).folded) };
    // SAFETY: the same. Two processors may both find the last place free, so a share may have an edge more than its quota.
    unsafe {
        if core::ptr::read_volatile(edges) < quota() {
            return Some(edges);
        }
        key.fold_remote();
        if flows.get_ptr(&*key).is_some() {
            return None;
        }
        if core::ptr::read_volatile(folded) < FOLDED_EDGES {
            return Some(folded);
        }
    }
    key.fold_port();
    None
}
