//! Calls of bpf(2) that the loader library does not offer: reading and emptying a map in bulk, waiting until no program runs
//! that saw an older state, reading how often the kernel skipped a program, and going through an iterator again and again.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::config::ProgramStats;

// `enum bpf_cmd` and `enum bpf_map_type`, `include/uapi/linux/bpf.h`, v6.12.
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_MAP_LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
const BPF_TRACE_ITER: u32 = 28;

/// Entries asked for at once. Must hold the longest chain of one bucket, which is a handful.
const BATCH: u32 = 4096;

/// `bpf(command, attributes, size)`.
fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: `attributes` is a live `#[repr(C)]` struct of the given size, laid out like the part of `union bpf_attr` that
    // `command` reads; the pointers in it are to live buffers of the lengths it states.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(result).unwrap_or(i32::MAX))
}

/// The address of a buffer, as the kernel wants it.
fn address<T>(buffer: &mut [T]) -> u64 {
    buffer.as_mut_ptr().expose_provenance() as u64
}

/// A descriptor in the unsigned form of `union bpf_attr`.
fn descriptor(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// The part of `union bpf_attr` that the batch commands read.
#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Takes every entry out of a hash map that nobody writes to, and hands key and value to `each`.
///
/// Since v5.6 (`__htab_map_lookup_and_delete_batch`, `kernel/bpf/hashtab.c`).
pub(super) fn take_all<const KEY: usize, const VALUE: usize>(
    map: BorrowedFd<'_>,
    each: impl FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    batches::<KEY, VALUE>(BPF_MAP_LOOKUP_AND_DELETE_BATCH, map, each)
}

/// Hands every entry of a hash map to `each` and leaves it there. What is changed meanwhile may be seen twice or not at all.
pub(super) fn look_at_all<const KEY: usize, const VALUE: usize>(
    map: BorrowedFd<'_>,
    each: impl FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    batches::<KEY, VALUE>(BPF_MAP_LOOKUP_BATCH, map, each)
}

fn batches<const KEY: usize, const VALUE: usize>(
    command: libc::c_long,
    map: BorrowedFd<'_>,
    mut each: impl FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    let length = usize::try_from(BATCH).unwrap_or_default();
    let mut keys = vec![0_u8; length * KEY];
    let mut values = vec![0_u8; length * VALUE];
    // Where the next batch begins: a bucket number for hash maps; as wide as a key for other kinds.
    let mut position = [0_u64; 8];
    let mut is_first = true;
    loop {
        let at = address(&mut position);
        let mut batch = Batch {
            in_batch: if is_first { 0 } else { at },
            out_batch: at,
            keys: address(&mut keys),
            values: address(&mut values),
            count: BATCH,
            map_fd: descriptor(map),
            elem_flags: 0,
            flags: 0,
        };
        let result = bpf(command, &mut batch);
        // The last batch comes with `ENOENT`, and with its entries.
        let is_last = match result {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        let taken = usize::try_from(batch.count).unwrap_or_default().min(length);
        for (key, value) in keys.chunks_exact(KEY).zip(values.chunks_exact(VALUE)).take(taken) {
            each(key, value);
        }
        if is_last {
            return Ok(());
        }
        is_first = false;
    }
}

/// The part of `union bpf_attr` that `BPF_MAP_CREATE` reads, up to `inner_map_fd`.
#[repr(C)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
}

/// The part of `union bpf_attr` that `BPF_MAP_UPDATE_ELEM` reads.
#[repr(C)]
struct Update {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Takes one entry out of a hash map; `None` if it is gone. Since v5.14 (`htab_map_lookup_and_delete_elem`).
pub(super) fn take<const KEY: usize, const VALUE: usize>(
    map: BorrowedFd<'_>,
    mut key: [u8; KEY],
) -> io::Result<Option<[u8; VALUE]>> {
    let mut value = [0_u8; VALUE];
    let mut element = Update {
        map_fd: descriptor(map),
        pad: 0,
        key: address(&mut key),
        value: address(&mut value),
        flags: 0,
    };
    match bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &mut element) {
        Ok(_) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts an entry into a hash map, unless there is one of that key.
pub(super) fn put_new<const KEY: usize, const VALUE: usize>(
    map: BorrowedFd<'_>,
    mut key: [u8; KEY],
    mut value: [u8; VALUE],
) -> io::Result<()> {
    const BPF_NOEXIST: u64 = 1;
    let mut element = Update {
        map_fd: descriptor(map),
        pad: 0,
        key: address(&mut key),
        value: address(&mut value),
        flags: BPF_NOEXIST,
    };
    match bpf(BPF_MAP_UPDATE_ELEM, &mut element) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until every program has ended that was running when the wait began.
///
/// Replacing the inner map of an array of maps does exactly that: the call returns after an RCU grace period, so that the
/// caller knows that no program still uses the old one (`maybe_wait_bpf_programs`, `kernel/bpf/syscall.c`, since v4.20).
/// Programs run inside RCU read sections. Unlike `membarrier(MEMBARRIER_CMD_GLOBAL)` this also waits on a machine with one
/// processor and on one with `nohz_full` (`kernel/sched/membarrier.c`, v6.12). The maps here serve no other purpose.
#[derive(Debug)]
pub(super) struct Grace {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl Grace {
    /// Makes the two maps.
    pub(super) fn new() -> io::Result<Self> {
        let inner = create(BPF_MAP_TYPE_ARRAY, 0)?;
        let outer = create(BPF_MAP_TYPE_ARRAY_OF_MAPS, inner.as_raw_fd().cast_unsigned())?;
        Ok(Self { outer, inner })
    }

    /// Waits.
    pub(super) fn wait(&self) -> io::Result<()> {
        let mut key = [0_u32];
        let mut value = [self.inner.as_raw_fd()];
        let mut update = Update {
            map_fd: self.outer.as_raw_fd().cast_unsigned(),
            pad: 0,
            key: address(&mut key),
            value: address(&mut value),
            flags: 0,
        };
        bpf(BPF_MAP_UPDATE_ELEM, &mut update).map(|_zero| ())
    }
}

fn create(map_type: u32, inner_map_fd: u32) -> io::Result<OwnedFd> {
    let mut create = Create {
        map_type,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        map_flags: 0,
        inner_map_fd,
    };
    made(BPF_MAP_CREATE, &mut create)
}

/// A call that makes a descriptor.
fn made<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads for an iterator without parameters.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    parameters: u64,
    parameters_length: u32,
    pad: u32,
}

/// Links the program of an iterator; the link is what [`begin_iteration`] needs, as often as wanted.
pub(super) fn link_iterator(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut create = LinkCreate {
        program: descriptor(program),
        target: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        parameters: 0,
        parameters_length: 0,
        pad: 0,
    };
    made(BPF_LINK_CREATE, &mut create)
}

/// The part of `union bpf_attr` that `BPF_ITER_CREATE` reads.
#[repr(C)]
struct IterationCreate {
    link: u32,
    flags: u32,
}

/// Begins to go through an iterator: what the program writes is read from the descriptor.
pub(super) fn begin_iteration(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut create = IterationCreate {
        link: descriptor(link),
        flags: 0,
    };
    made(BPF_ITER_CREATE, &mut create)
}

/// The part of `union bpf_attr` that `BPF_OBJ_GET_INFO_BY_FD` reads.
#[repr(C)]
struct GetInfo {
    fd: u32,
    length: u32,
    info: u64,
}

/// Reads `struct bpf_prog_info` of a program. `recursion_misses` is there since v5.12; an older kernel gives 0.
pub(super) fn program_stats(program: BorrowedFd<'_>) -> io::Result<ProgramStats> {
    // The struct is 232 bytes long in v6.12; times and counts begin at byte 192 and are 64 bits wide.
    let mut info = [0_u64; 29];
    let length = u32::try_from(size_of_val(&info)).unwrap_or_default();
    let mut get = GetInfo {
        fd: descriptor(program),
        length,
        info: address(&mut info),
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut get)?;
    let [
        ..,
        run_time_ns,
        run_count,
        recursion_misses,
        _instructions,
        _attached_to,
    ] = info;
    Ok(ProgramStats {
        run_time_ns,
        run_count,
        recursion_misses,
    })
}
