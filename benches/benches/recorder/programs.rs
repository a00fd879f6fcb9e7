//! How long a run of each program takes, by the kernel's own account.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use flowtape_recorder::kernel::config::KernelConfig;

use crate::Outcome;
use crate::subject::Reader;
use crate::table::{Table, micros, quotient};
use crate::traffic::Kind;
use crate::worker::Worker;

/// Operations of each kind.
const OPERATIONS: u32 = 20_000;

/// Makes traffic of every kind with the programs attached and the kernel's accounts on.
pub(crate) fn run(worker: &Worker, config: &KernelConfig) -> Outcome<Table> {
    let _accounts = keep_accounts()?;
    let mut table = Table::new(
        format!("Mean run of each program over {OPERATIONS} operations (the account itself takes some 60 ns of each)"),
        &["traffic", "program", "runs per operation", "mean us per run"],
    );
    for (name, kind) in [
        ("TCP pair", Kind::TcpPair),
        ("UDP datagram", Kind::UdpDatagram),
        ("UDP datagram, connected", Kind::UdpConnected),
        ("UDP server, opened and closed", Kind::UdpServer),
    ] {
        let reader = Reader::start(config)?;
        worker.run(kind, OPERATIONS)?;
        let (kernel, _records) = reader.stop()?;
        for hook in kernel.hooks() {
            let stats = kernel.program_stats(hook)?;
            // What else the machine does runs some programs, too: a handful of times, not one in a hundred operations.
            if stats.run_count > u64::from(OPERATIONS) / 100 {
                table.row(vec![
                    name.to_owned(),
                    hook.name.to_owned(),
                    quotient(stats.run_count, u64::from(OPERATIONS)),
                    micros(stats.run_time_ns.saturating_mul(1_000) / stats.run_count),
                ]);
            }
        }
    }
    Ok(table)
}

/// Makes the kernel count the runs of programs and their time, until the descriptor is closed.
fn keep_accounts() -> io::Result<OwnedFd> {
    /// `BPF_ENABLE_STATS`, `include/uapi/linux/bpf.h`, since v5.8.
    const BPF_ENABLE_STATS: libc::c_long = 32;
    // The part of `union bpf_attr` that it reads: `BPF_STATS_RUN_TIME` is 0.
    let kind = 0_u32;
    // SAFETY: a live attribute of the stated size.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, &raw const kind, size_of_val(&kind)) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
