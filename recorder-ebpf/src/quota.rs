//! Keeps each share of the maps within its quota. Asked only for edges that are not in the map yet, and for listeners that no
//! event counts.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::maps::HashMap;
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_recorder_ebpf::abi::quota::{FOLDED_EDGES, LISTENERS, QuotaKey, QuotaValue};

use crate::global::quota;
use crate::word;

/// Folds an edge that is beyond the quota of its share. Gives the number to raise if the edge is put into the map now; none
/// if it is there already, or if there is no room to count shares, where nothing is folded.
#[inline(always)]
pub(crate) fn fit(
    quotas: &'static HashMap<QuotaKey, QuotaValue>,
    flows: &'static HashMap<FlowKey, FlowValue>,
    key: &mut FlowKey,
) -> Option<*mut u64> {
    let taken = share(quotas, QuotaKey::of(key))?;
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

/// Folds a listener that is beyond the quota of its share; one that has an entry needs none.
#[inline(always)]
pub(crate) fn fit_listener(
    quotas: &'static HashMap<QuotaKey, QuotaValue>,
    listens: &'static HashMap<ListenKey, ListenValue>,
    key: &mut ListenKey,
) {
    if listens.get_ptr(&*key).is_some() {
        return;
    }
    let Some(taken) = share(quotas, QuotaKey::of_listener(key)) else {
        return;
    };
    // SAFETY: a live map value; the recorder empties this half only after every program that saw it active has ended.
    unsafe {
        if core::ptr::read_volatile(&raw const (*taken).edges) < LISTENERS {
            word::add(&raw mut (*taken).edges, 1);
        } else {
            key.fold();
        }
    }
}

/// Counts the event of a socket that was bound and is no listener; says how many there are of its share. None where there is no
/// room to count shares.
#[inline(always)]
pub(crate) fn one_more_bind(quotas: &'static HashMap<QuotaKey, QuotaValue>, key: &ListenKey) -> u64 {
    let Some(taken) = share(quotas, QuotaKey::of_listener(key)) else {
        return 0;
    };
    // SAFETY: a live map value, as above.
    unsafe {
        let binds = &raw mut (*taken).folded;
        word::add(binds, 1);
        core::ptr::read_volatile(binds)
    }
}

/// What a share has taken, from nothing on; `None` if there is no room to count it.
#[inline(always)]
fn share(quotas: &'static HashMap<QuotaKey, QuotaValue>, key: QuotaKey) -> Option<*mut QuotaValue> {
    if let Some(taken) = quotas.get_ptr_mut(key) {
        return Some(taken);
    }
    let _ = quotas.insert(key, QuotaValue { edges: 0, folded: 0 }, u64::from(BPF_NOEXIST));
    quotas.get_ptr_mut(key)
}
