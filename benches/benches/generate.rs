//! `flowtape generate` as a user runs it: from the files of a tape to policies on disk, with the proof.
//!
//! `cargo bench -p flowtape-benches --bench generate` prints a table for clusters of 500 and 1,000 workloads;
//! `-- target` adds the one that is aimed at, 5,000 workloads and 100,000 lines of traffic, whose tape takes minutes to make.
//! There is no rival in it, so nobody should quote it as a comparison.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use flowtape_benches::{Size, scenario};
use flowtape_scenario::{Scenario, tape};

/// The one that `flowtape` has, because half of the processes here are `flowtape`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Set in a process that is to be `flowtape`.
const AS_FLOWTAPE: &str = "FLOWTAPE_BENCH_AS_FLOWTAPE";

/// Runs of each size; the fastest counts.
const RUNS: usize = 3;

const SIZES: [Size; 2] = [of(500, 10_000), of(1_000, 20_000)];

/// The size that is aimed at: under 2 seconds on 2 processors.
const TARGET: Size = of(5_000, 100_000);

const fn of(workloads: usize, lines: usize) -> Size {
    Size {
        workloads,
        lines,
        connections: 4,
    }
}

fn main() -> ExitCode {
    if std::env::var_os(AS_FLOWTAPE).is_some() {
        return flowtape::cli::main();
    }
    match table() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a row for each size as soon as it is measured.
fn table() -> Result<(), Box<dyn Error>> {
    let mut sizes = SIZES.to_vec();
    sizes.extend(std::env::args().any(|argument| argument == "target").then_some(TARGET));
    let mut out = io::stdout();
    writeln!(
        out,
        "| workloads | lines of traffic | bytes of tape | wall ms | processor ms | peak KiB |"
    )?;
    writeln!(out, "| ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for size in sizes {
        writeln!(out, "{}", row(size)?)?;
    }
    Ok(())
}

/// Makes a tape and says what generating from it costs.
fn row(size: Size) -> Result<String, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let files = tape::compile(&Scenario::parse(&scenario(size, 1))?)?;
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    let place = directory.path().join("tape");
    tape::write(&place, &files)?;
    let run = |run| generate(&place, &directory.path().join(format!("policies-{run}")));
    let costs: Vec<Cost> = (0..RUNS).map(run).collect::<Result<_, _>>()?;
    let Cost { wall, processor, peak } = costs.into_iter().min_by_key(|cost| cost.wall).ok_or("no run")?;
    Ok(format!(
        "| {} | {} | {} | {} | {} | {} |",
        size.workloads,
        size.lines,
        bytes,
        wall.as_millis(),
        processor.as_millis(),
        peak
    ))
}

/// What one run cost.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    processor: Duration,
    /// Kibibytes.
    peak: i64,
}

/// Runs this very program as `flowtape generate`.
fn generate(tape: &Path, output: &Path) -> Result<Cost, Box<dyn Error>> {
    let arguments: [OsString; 4] = ["generate".into(), tape.into(), "-o".into(), output.into()];
    let began = Instant::now();
    let child = Command::new(std::env::current_exe()?)
        .arg0("flowtape")
        .args(arguments)
        .env(AS_FLOWTAPE, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let (status, usage) = wait(child.id())?;
    let wall = began.elapsed();
    if status != 0 {
        return Err(format!("`flowtape generate` ended with wait status {status}").into());
    }
    let time = |time: libc::timeval| -> Result<Duration, Box<dyn Error>> {
        Ok(Duration::from_secs(time.tv_sec.try_into()?) + Duration::from_micros(time.tv_usec.try_into()?))
    };
    Ok(Cost {
        wall,
        processor: time(usage.ru_utime)? + time(usage.ru_stime)?,
        peak: usage.ru_maxrss,
    })
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
