//! What a program costs from its start to its end.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Set in a process that is to be `flowtape`.
const AS_FLOWTAPE: &str = "FLOWTAPE_BENCH_AS_FLOWTAPE";

/// A bench whose own executable is `flowtape` as well, so that both are always of one build: does what `flowtape` does where it was called
/// as that, and prints tables otherwise.
pub fn main(flowtape: fn() -> ExitCode, tables: fn() -> Result<(), Box<dyn Error>>) -> ExitCode {
    if std::env::var_os(AS_FLOWTAPE).is_some() {
        return flowtape();
    }
    match tables() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// This executable as `flowtape`.
pub fn flowtape<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0("flowtape").args(arguments).env(AS_FLOWTAPE, "1");
    Ok(command)
}

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From start to end.
    pub wall: Duration,
    /// On all processors together.
    pub processor: Duration,
    /// The most memory that was in use, as the system counts it: kibibytes on Linux, which counts from what the process that started
    /// it had in use, so that a bench has to stay smaller.
    pub peak: i64,
}

/// Runs a program to its end, without what it says. An error if it cannot be started, or fails.
pub fn run(command: &mut Command) -> io::Result<Cost> {
    run_into(Stdio::null(), command)
}

/// The same, and what it says goes somewhere.
pub fn run_into(stdout: Stdio, command: &mut Command) -> io::Result<Cost> {
    let began = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()?;
    let (status, usage) = wait(child.id())?;
    let wall = began.elapsed();
    if status != 0 {
        return Err(io::Error::other(format!("{command:?} ended with wait status {status}")));
    }
    Ok(Cost {
        wall,
        processor: time(usage.ru_utime)? + time(usage.ru_stime)?,
        peak: usage.ru_maxrss,
    })
}

/// The fastest of several runs.
pub fn fastest(runs: usize, mut run: impl FnMut(usize) -> io::Result<Cost>) -> io::Result<Cost> {
    let costs: Vec<Cost> = (0..runs).map(&mut run).collect::<io::Result<_>>()?;
    let fastest = costs.into_iter().min_by_key(|cost| cost.wall);
    fastest.ok_or_else(|| io::Error::other("no run"))
}

fn time(time: libc::timeval) -> io::Result<Duration> {
    let seconds = time.tv_sec.try_into().map_err(io::Error::other)?;
    let micros = time.tv_usec.try_into().map_err(io::Error::other)?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// Waits for a child, and says what it used: the standard library does not.
fn wait(child: u32) -> io::Result<(i32, libc::rusage)> {
    let child = libc::pid_t::try_from(child).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: all zeros is a value of a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables of the types that the call wants.
    if unsafe { libc::wait4(child, &raw mut status, 0, &raw mut usage) } != child {
        return Err(io::Error::last_os_error());
    }
    Ok((status, usage))
}
