//! Whether this machine loads kernel programs at all. Does not load ours: where others load and ours do not, live tests must
//! fail. The live tests of other crates include this file.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// Says why no program can be loaded here.
pub(crate) fn check() -> Result<(), String> {
    // SAFETY: no pointers are involved.
    if unsafe { libc::geteuid() } != 0 {
        return Err("not root".to_owned());
    }
    std::fs::metadata("/sys/kernel/btf/vmlinux").map_err(|error| format!("/sys/kernel/btf/vmlinux: {error}"))?;
    load_smallest().map_err(|error| format!("cannot load any program: {error}"))
}

/// Loads a program that returns 0, of a type that needs what ours need.
fn load_smallest() -> io::Result<()> {
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
    // `r0 = 0; exit`, as `struct bpf_insn`.
    const RETURN_ZERO: [u64; 2] = [0xb7, 0x95];
    /// The part of `union bpf_attr` that `BPF_PROG_LOAD` needs.
    #[repr(C)]
    struct Load {
        program_type: u32,
        instructions: u32,
        first: *const u64,
        license: *const libc::c_char,
    }
    let load = Load {
        program_type: BPF_PROG_TYPE_RAW_TRACEPOINT,
        instructions: 2,
        first: RETURN_ZERO.as_ptr(),
        license: c"GPL".as_ptr(),
    };
    // SAFETY: a live struct of the stated size, with pointers to live and constant data.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else has.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}
