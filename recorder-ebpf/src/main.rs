//! The kernel programs. Built for `bpfel-unknown-none` by `recorder-ebpf/build.sh`; on any other target this is a binary
//! that says so, which lets the crate be checked, linted and tested like every other one.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

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
