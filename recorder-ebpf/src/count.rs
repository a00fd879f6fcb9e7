//! Counting: into the maps first, so that nothing depends on room in the ring buffer.

use core::arch::asm;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::maps::HashMap;
use flowtape_recorder_ebpf::abi::control::{Control, SAMPLE_ALL};
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Comm, Event, FLAG_UNCOUNTED};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey, FlowValue, Overflow};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_recorder_ebpf::abi::quota::{QuotaKey, QuotaValue};

use crate::map::{CONTROL, COUNTERS, FLOWS_0, FLOWS_1, LISTENS_0, LISTENS_1, QUOTAS_0, QUOTAS_1};
use crate::{quota, ring, word};

/// This CPU's counters of a hook; they are changed by [`bump`].
#[inline(always)]
pub(crate) fn counters(hook: HookId) -> Option<&'static mut Counters> {
    counters_at(u32::from(hook.id()))
}

/// This CPU's counters in a slot.
#[inline(always)]
pub(crate) fn counters_at(slot: u32) -> Option<&'static mut Counters> {
    let counters = COUNTERS.get_ptr_mut(slot)?;
    // SAFETY: the map value lives as long as the program, and nobody takes a counter for unchanged.
    Some(unsafe { &mut *counters })
}

/// One more. Atomic: a task in a control group program may be put aside for another one that runs the same program.
#[inline(always)]
pub(crate) fn bump(counter: &mut u64) {
    // SAFETY: a counter is a live word of a map value.
    unsafe { word::add(counter, 1) }
}

/// One more, in a program of a tracepoint: the kernel lets none of them interrupt itself on one processor, and nobody else
/// changes its counter there.
#[inline(always)]
pub(crate) fn bump_alone(counter: &mut u64) {
    // SAFETY: a live word of a map value.
    unsafe { core::ptr::write_volatile(counter, core::ptr::read_volatile(counter) + 1) }
}

/// The control word as it is now.
#[inline(always)]
pub(crate) fn control() -> Control {
    // SAFETY: a live map value; the recorder replaces the whole word at once.
    CONTROL
        .get_ptr(0)
        .map_or(Control(0), |word| Control(unsafe { core::ptr::read_volatile(word) }))
}

/// One occurrence: what it was and when.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) kind: RecordKind,
    pub(crate) ts_ns: u64,
}

impl Moment {
    /// Now.
    #[inline(always)]
    pub(crate) fn now(kind: RecordKind) -> Self {
        Self {
            kind,
            // SAFETY: a helper without arguments.
            ts_ns: unsafe { bpf_ktime_get_boot_ns() },
        }
    }
}

/// Counts an occurrence of an edge and offers its event. What the key does not say of the event `fill` adds; it writes into
/// the ring buffer, because the stack has no room for an event.
#[inline(always)]
pub(crate) fn flow(counters: &mut Counters, key: &FlowKey, moment: Moment, fill: &impl Fn(&mut Event)) {
    let control = control();
    let value = match look_up(control, key) {
        Some(value) => value,
        None => {
            let (flows, quotas) = halves(control);
            let mut fitted = *key;
            let taken = quota::fit(quotas, flows, &mut fitted);
            if fitted.folded != FOLDED_NOT {
                bump(&mut counters.folded);
            }
            let Some(value) = enter(flows, &fitted, taken, moment.ts_ns) else {
                overflow(counters, key, &fitted, moment, fill);
                return;
            };
            value
        }
    };
    // SAFETY: a live map value; the recorder empties this half only after every program that saw it active has ended.
    let samples = unsafe {
        word::add(&raw mut (*value).count, 1);
        word::lower(&raw mut (*value).first_ns, moment.ts_ns);
        word::raise(&raw mut (*value).last_ns, moment.ts_ns);
        &raw mut (*value).samples
    };
    // SAFETY: the same.
    if unsafe { core::ptr::read_volatile(samples) } >= limit(control, moment.kind) {
        bump(&mut counters.thinned);
    } else if offer(counters, key, moment, fill) {
        // SAFETY: the same.
        unsafe { word::add(samples, 1) };
    }
}

/// The entry of an edge in the half that counts now. The key is written in whole words, because the kernel hashes it by words at
/// once: a processor has to wait for bytes that were written one by one and are read together.
///
/// Two calls, and each names its map: such a call the kernel replaces by one of the function that looks into a hash map, where
/// it would otherwise ask the map for its function (`bpf_map_ptr_poisoned`, `kernel/bpf/verifier.c`, v6.12). A comment
/// that differs keeps the compiler from making one of them.
#[inline(always)]
fn look_up(control: Control, key: &FlowKey) -> Option<*mut FlowValue> {
    let words = key.words();
    // SAFETY: the words of a key stand where the key has them.
    let key = unsafe { &*(&raw const words).cast::<FlowKey>() };
    if control.second_half() {
        let value = FLOWS_1.get_ptr_mut(key);
        // SAFETY: no instruction.
        unsafe { asm!("// second half") };
        value
    } else {
        let value = FLOWS_0.get_ptr_mut(key);
        // SAFETY: no instruction.
        unsafe { asm!("// first half") };
        value
    }
}

/// The maps that count now.
#[inline(always)]
fn halves(
    control: Control,
) -> (
    &'static HashMap<FlowKey, FlowValue>,
    &'static HashMap<QuotaKey, QuotaValue>,
) {
    if control.second_half() {
        (&FLOWS_1, &QUOTAS_1)
    } else {
        (&FLOWS_0, &QUOTAS_0)
    }
}

/// Tells that there is such an edge, without counting an occurrence; says whether there was room.
#[inline(always)]
pub(crate) fn fact(key: &FlowKey, ts_ns: u64) -> bool {
    let (flows, quotas) = halves(control());
    if flows.get_ptr_mut(key).is_some() {
        return true;
    }
    let mut fitted = *key;
    let taken = quota::fit(quotas, flows, &mut fitted);
    if enter(flows, &fitted, taken, ts_ns).is_some() {
        return true;
    }
    let Some(mut entry) = ring::reserve::<Overflow>() else {
        return false;
    };
    // SAFETY: as for an event.
    write_overflow(unsafe { &mut *entry.as_mut_ptr() }, &fitted, ts_ns, 0);
    ring::submit(entry);
    true
}

/// Events an edge may send until the next drain.
#[inline(always)]
fn limit(control: Control, kind: RecordKind) -> u64 {
    let limits = control.limits();
    u64::from(if matches!(kind, RecordKind::UdpOut | RecordKind::UdpIn) {
        limits.datagrams
    } else {
        limits.connections
    })
}

/// Offers an event to the ring buffer; says whether there was room.
#[inline(always)]
pub(crate) fn offer(counters: &mut Counters, key: &FlowKey, moment: Moment, fill: &impl Fn(&mut Event)) -> bool {
    let Some(mut entry) = ring::reserve::<Event>() else {
        bump(&mut counters.ring_full);
        return false;
    };
    // SAFETY: the record has this size and alignment, and every field is written before it is handed over.
    let event = unsafe { &mut *entry.as_mut_ptr() };
    begin(event, key, moment);
    fill(event);
    // SAFETY: a live word of a map value.
    let earlier = unsafe { core::ptr::read_volatile(&raw const counters.samples) };
    ring::submit_event(entry, earlier);
    bump(&mut counters.samples);
    true
}

/// Writes every field, field by field, so that none is put together on the stack.
#[inline(always)]
fn begin(event: &mut Event, key: &FlowKey, moment: Moment) {
    let is_client = key.direction == Direction::Out.id();
    event.kind = moment.kind.id();
    event.hook = key.hook;
    event.protocol = key.protocol;
    event.direction = key.direction;
    event.outcome = key.outcome;
    event.ip_version = key.ip_version;
    event.flags = 0;
    event.ts_ns = moment.ts_ns;
    event.cgroup_id = key.cgroup_id;
    event.cookie = 0;
    event.task_cgroup_id = 0;
    event.netns = key.netns;
    event.pid = 0;
    event.errno = 0;
    event.backlog = 0;
    event.local_ip = key.local_ip;
    event.remote_ip = key.remote_ip;
    event.asked_ip = key.asked_ip;
    event.local_port = if is_client { 0 } else { key.service_port };
    event.remote_port = if is_client { key.service_port } else { 0 };
    event.asked_port = key.asked_port;
    event.family = 0;
    event.socket_type = 0;
    event.comm = Comm::NONE;
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
fn overflow(counters: &mut Counters, key: &FlowKey, fitted: &FlowKey, moment: Moment, fill: &impl Fn(&mut Event)) {
    bump(&mut counters.map_full);
    let Some(mut entry) = ring::reserve::<Overflow>() else {
        bump(&mut counters.edge_lost);
        let _ = offer(counters, key, moment, fill);
        return;
    };
    let sampled = u8::from(offer(counters, key, moment, fill));
    // SAFETY: as for an event.
    write_overflow(unsafe { &mut *entry.as_mut_ptr() }, fitted, moment.ts_ns, 1);
    // SAFETY: the same.
    unsafe { (*entry.as_mut_ptr()).sampled = sampled };
    ring::submit(entry);
}

/// Writes every field of an overflow, as of one without an event.
#[inline(always)]
fn write_overflow(overflow: &mut Overflow, key: &FlowKey, ts_ns: u64, occurrences: u8) {
    overflow.kind = RecordKind::Overflow.id();
    overflow.hook = key.hook;
    overflow.sampled = 0;
    overflow.occurrences = occurrences;
    overflow.pad = [0; 3];
    overflow.ts_ns = ts_ns;
    overflow.key = *key;
}

/// Whether a listener that is beyond the quota of its share is counted without its port.
#[derive(Clone, Copy)]
pub(crate) enum Fold {
    /// It is; whoever asks keeps the key, to end the listener as what it began.
    BeyondQuota,
    /// It is not, since its end, or its beginning, is known by its port.
    Never,
}

/// Tells of a socket that began or ceased to listen, and sees that it is counted; `key` becomes what it is counted as.
///
/// Its event carries the count as long as every event is wanted and there is room for it: there are as many of them as entries
/// would be, which cost more. Otherwise the map counts, and only what finds no room there either is lost.
#[inline(always)]
pub(crate) fn listen(
    counters: &mut Counters,
    key: &mut ListenKey,
    change: &ListenValue,
    moment: Moment,
    by: HookId,
    fold: Fold,
    fill: &impl Fn(&mut Event),
) {
    let control = control();
    let limit = limit(control, moment.kind);
    let edge = FlowKey::of_listener(key, by);
    let uncounted = |event: &mut Event| {
        fill(event);
        event.flags |= FLAG_UNCOUNTED;
    };
    let is_carried = limit == u64::from(SAMPLE_ALL);
    if is_carried && offer(counters, &edge, moment, &uncounted) {
        return;
    }
    let listens = if control.second_half() { &LISTENS_1 } else { &LISTENS_0 };
    if matches!(fold, Fold::BeyondQuota) {
        let (_, quotas) = halves(control);
        quota::fit_listener(quotas, listens, key);
        if key.port == 0 {
            bump(&mut counters.folded);
        }
    }
    match listen_in(listens, key, change) {
        Some(_) if is_carried => {}
        Some(earlier) if earlier >= limit => bump(&mut counters.thinned),
        Some(_) => {
            let _ = offer(counters, &edge, moment, fill);
        }
        None => {
            bump(&mut counters.map_full);
            // As what it is counted, which its end will be too.
            if is_carried || !offer(counters, &FlowKey::of_listener(key, by), moment, &uncounted) {
                bump(&mut counters.edge_lost);
            }
        }
    }
}

/// Offers the event of a socket that was bound and does not listen by that. Nothing counts those, so where not every event is
/// wanted their share does.
#[inline(always)]
pub(crate) fn bind(counters: &mut Counters, key: &ListenKey, moment: Moment, by: HookId, fill: &impl Fn(&mut Event)) {
    let control = control();
    let limit = limit(control, moment.kind);
    if limit != u64::from(SAMPLE_ALL) {
        let (_, quotas) = halves(control);
        if quota::one_more_bind(quotas, key) > limit {
            bump(&mut counters.thinned);
            return;
        }
    }
    let _ = offer(counters, &FlowKey::of_listener(key, by), moment, fill);
}

/// Counts a change; says how many there were before it, which is as many as could send events.
#[inline(always)]
fn listen_in(map: &'static HashMap<ListenKey, ListenValue>, key: &ListenKey, change: &ListenValue) -> Option<u64> {
    let value = match map.get_ptr_mut(key) {
        Some(value) => value,
        None => {
            let fresh = ListenValue {
                opened: 0,
                closed: 0,
                ..*change
            };
            let _ = map.insert(key, fresh, u64::from(BPF_NOEXIST));
            map.get_ptr_mut(key)?
        }
    };
    // SAFETY: a live map value, as for flows.
    unsafe {
        let (opened, closed) = (&raw mut (*value).opened, &raw mut (*value).closed);
        let earlier = u64::from(core::ptr::read_volatile(opened)) + u64::from(core::ptr::read_volatile(closed));
        if change.opened == 0 {
            word::add32(closed, u64::from(change.closed));
        } else {
            word::add32(opened, u64::from(change.opened));
            core::ptr::write_volatile(&raw mut (*value).backlog, change.backlog);
            core::ptr::write_volatile(&raw mut (*value).hook, change.hook);
        }
        word::lower(&raw mut (*value).first_ns, change.first_ns);
        word::raise(&raw mut (*value).last_ns, change.last_ns);
        Some(earlier)
    }
}
