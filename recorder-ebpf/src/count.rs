//! Counting: into the maps first, so that nothing depends on room in the ring buffer.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::maps::HashMap;
use flowtape_recorder_ebpf::abi::control::Control;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey, FlowValue, Overflow};
use flowtape_recorder_ebpf::abi::id::{HookId, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};

use crate::map::{CONTROL, COUNTERS, FLOWS_0, FLOWS_1, LISTENS_0, LISTENS_1, QUOTAS_0, QUOTAS_1};
use crate::{quota, ring, word};

/// This CPU's counters of a hook.
#[inline(always)]
pub(crate) fn counters(hook: HookId) -> Option<&'static mut Counters> {
    counters_at(u32::from(hook.id()))
}

/// This CPU's counters in a slot that one program has to itself.
///
/// A program does not interrupt itself on one CPU (the kernel refuses and counts `recursion_misses`), so a plain addition
/// through the reference is enough.
#[inline(always)]
pub(crate) fn counters_at(slot: u32) -> Option<&'static mut Counters> {
    let counters = COUNTERS.get_ptr_mut(slot)?;
    // SAFETY: the map value lives as long as the program, and no other program with this slot runs on this CPU.
    Some(unsafe { &mut *counters })
}

/// The control word as it is now.
#[inline(always)]
pub(crate) fn control() -> Control {
    // SAFETY: a live map value; the recorder replaces the whole word at once.
    CONTROL
        .get_ptr(0)
        .map_or(Control(0), |word| Control(unsafe { core::ptr::read_volatile(word) }))
}

/// Counts an occurrence of an edge and offers its event.
#[inline(always)]
pub(crate) fn flow(counters: &mut Counters, key: &FlowKey, event: &Event) {
    let control = control();
    let (flows, quotas) = if control.second_half() {
        (&FLOWS_1, &QUOTAS_1)
    } else {
        (&FLOWS_0, &QUOTAS_0)
    };
    if let Some(value) = flows.get_ptr_mut(key) {
        occurred(counters, value, control, event);
        return;
    }
    let mut key = *key;
    let taken = quota::fit(quotas, flows, &mut key);
    counters.folded += u64::from(key.folded != FOLDED_NOT);
    match enter(flows, &key, taken, event.ts_ns) {
        Some(value) => occurred(counters, value, control, event),
        None => overflow(counters, &key, event),
    }
}

/// Counts an occurrence of an edge that is in the map.
#[inline(always)]
fn occurred(counters: &mut Counters, value: *mut FlowValue, control: Control, event: &Event) {
    // SAFETY: a live map value; the recorder empties this half only after every program that saw it active has ended.
    let samples = unsafe {
        word::add(&raw mut (*value).count, 1);
        word::lower(&raw mut (*value).first_ns, event.ts_ns);
        word::raise(&raw mut (*value).last_ns, event.ts_ns);
        &raw mut (*value).samples
    };
    // SAFETY: the same.
    if unsafe { core::ptr::read_volatile(samples) } >= u64::from(control.limits().connections) {
        counters.thinned += 1;
    } else if offer(counters, event) {
        // SAFETY: the same.
        unsafe { word::add(samples, 1) };
    }
}

/// Offers an event to the ring buffer; says whether there was room.
#[inline(always)]
pub(crate) fn offer(counters: &mut Counters, event: &Event) -> bool {
    let Some(mut entry) = ring::reserve::<Event>() else {
        counters.ring_full += 1;
        return false;
    };
    entry.write(*event);
    ring::submit(entry);
    counters.samples += 1;
    true
}

/// Puts an edge into one half, with nothing counted. `None` if there is no room, or if the kernel could not lock the bucket.
#[inline(always)]
fn enter(
    flows: &'static HashMap<FlowKey, FlowValue>,
    key: &FlowKey,
    taken: Option<*mut u64>,
    ts_ns: u64,
) -> Option<*mut FlowValue> {
    // Nothing counted, so that whoever came first on another CPU is not overwritten. An error is either "somebody else did" or
    // "no room"; the second look tells them apart.
    let fresh = FlowValue {
        first_ns: ts_ns,
        last_ns: ts_ns,
        count: 0,
        samples: 0,
    };
    let entered = flows.insert(key, fresh, u64::from(BPF_NOEXIST)).is_ok();
    if let (true, Some(taken)) = (entered, taken) {
        // SAFETY: a live word of a map value.
        unsafe { word::add(taken, 1) };
    }
    flows.get_ptr_mut(key)
}

/// Sends the edge itself, since the map has no room for it. The record is reserved before that of the event: an edge
/// matters more.
#[inline(always)]
fn overflow(counters: &mut Counters, key: &FlowKey, event: &Event) {
    counters.map_full += 1;
    let Some(mut entry) = ring::reserve::<Overflow>() else {
        counters.edge_lost += 1;
        let _ = offer(counters, event);
        return;
    };
    let sampled = u8::from(offer(counters, event));
    entry.write(Overflow {
        kind: RecordKind::Overflow.id(),
        hook: event.hook,
        sampled,
        pad: [0; 4],
        ts_ns: event.ts_ns,
        key: *key,
    });
    ring::submit(entry);
}

/// Counts a socket that began or ceased to listen, and offers its event.
#[inline(always)]
pub(crate) fn listen(counters: &mut Counters, key: &ListenKey, change: &ListenValue, event: &Event) {
    let counted = if control().second_half() {
        listen_in(&LISTENS_1, key, change)
    } else {
        listen_in(&LISTENS_0, key, change)
    };
    let offered = offer(counters, event);
    if counted.is_none() {
        counters.map_full += 1;
        counters.edge_lost += u64::from(!offered);
    }
}

#[inline(always)]
fn listen_in(map: &'static HashMap<ListenKey, ListenValue>, key: &ListenKey, change: &ListenValue) -> Option<()> {
    if map.get_ptr_mut(key).is_none() {
        let fresh = ListenValue {
            opened: 0,
            closed: 0,
            ..*change
        };
        let _ = map.insert(key, fresh, u64::from(BPF_NOEXIST));
    }
    let value = map.get_ptr_mut(key)?;
    // SAFETY: a live map value, as for flows.
    unsafe {
        word::add32(&raw mut (*value).opened, u64::from(change.opened));
        word::add32(&raw mut (*value).closed, u64::from(change.closed));
        word::lower(&raw mut (*value).first_ns, change.first_ns);
        word::raise(&raw mut (*value).last_ns, change.last_ns);
        if change.opened != 0 {
            core::ptr::write_volatile(&raw mut (*value).backlog, change.backlog);
        }
    }
    Some(())
}
