//! The kernel programs. Built for `bpfel-unknown-none` by `recorder-ebpf/build.sh`; on any other target this is a binary
//! that says so, which lets the crate be checked, linted and tested like every other one.
//!
//! Every program only reads: it cannot change what a socket does, and it never waits. It counts first and tells second:
//! a flow is in its map (or in an overflow record, or in `edge_lost`) before its event is offered to the ring buffer.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod attempt;
#[cfg(target_arch = "bpf")]
mod bound;
#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
mod global;
#[cfg(target_arch = "bpf")]
mod hooks;
#[cfg(target_arch = "bpf")]
mod map;
#[cfg(target_arch = "bpf")]
mod quota;
#[cfg(target_arch = "bpf")]
mod rescue;
#[cfg(target_arch = "bpf")]
mod ring;
#[cfg(target_arch = "bpf")]
mod sock;
#[cfg(target_arch = "bpf")]
mod talk;
#[cfg(target_arch = "bpf")]
mod task;
#[cfg(target_arch = "bpf")]
mod word;

#[cfg(not(target_arch = "bpf"))]
fn main() -> std::process::ExitCode {
    use std::io::Write as _;
    // Nothing can be done about a closed stderr, and the exit code says the same.
    let _ = writeln!(
        std::io::stderr(),
        "error: these are kernel programs, not a command\n\nhint: `make bpf` builds the object, `flowtape-recorder` loads it"
    );
    std::process::ExitCode::from(2)
}

/// Never reached: nothing in these programs can panic, and the verifier would refuse a loop.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The helpers that read kernel memory are open to GPL-compatible programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
