//! Live tests of the kernel part: real sockets in fresh network namespaces and control groups, recorded and compared with
//! what the worker that used them says it did.
//!
//! They need root and eBPF. Where the programs cannot be loaded every case is skipped, loudly; where they can be, each must
//! run. `FLOWTAPE_BPF_OBJECT` names a kernel object to test in place of the one built in. Arguments that are no option pick
//! cases by a part of their name.

#[cfg(target_os = "linux")]
mod balancer;
#[cfg(target_os = "linux")]
mod case_bind;
#[cfg(target_os = "linux")]
mod case_connect;
#[cfg(target_os = "linux")]
mod case_count;
#[cfg(target_os = "linux")]
mod case_edge;
#[cfg(target_os = "linux")]
mod case_kernel;
#[cfg(target_os = "linux")]
mod case_quota;
#[cfg(target_os = "linux")]
mod case_socket;
#[cfg(target_os = "linux")]
mod case_udp;
#[cfg(target_os = "linux")]
mod case_wake;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod job_bind;
#[cfg(target_os = "linux")]
mod job_connect;
#[cfg(target_os = "linux")]
mod job_socket;
#[cfg(target_os = "linux")]
mod job_udp;
#[cfg(target_os = "linux")]
mod preflight;
#[cfg(target_os = "linux")]
mod socket;
#[cfg(target_os = "linux")]
mod stage;
#[cfg(target_os = "linux")]
mod worker;

/// What a case, a worker and all their helpers give back.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[cfg(not(target_os = "linux"))]
fn main() -> Outcome {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "live: 0 run, all skipped (not Linux)")?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn main() -> Outcome<std::process::ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--worker", job @ ..] => worker::run(job).map(|()| std::process::ExitCode::SUCCESS),
        others => {
            let wanted: Vec<&str> = others.iter().copied().filter(|word| !word.starts_with('-')).collect();
            run_cases(&wanted)
        }
    }
}

/// A name and what it checks.
type Case = (&'static str, fn() -> Outcome);

#[cfg(target_os = "linux")]
const CASES: &[&[Case]] = &[
    case_edge::CASES,
    case_connect::CASES,
    case_udp::CASES,
    case_count::CASES,
    case_quota::CASES,
    case_socket::CASES,
    case_wake::CASES,
    case_kernel::CASES,
    case_bind::CASES,
];

#[cfg(target_os = "linux")]
fn run_cases(wanted: &[&str]) -> Outcome<std::process::ExitCode> {
    use std::io::Write as _;
    use std::process::ExitCode;

    use flowtape_recorder::kernel::error::with_causes;

    let mut out = std::io::stdout();
    let cases: Vec<&Case> = CASES
        .iter()
        .copied()
        .flatten()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)))
        .collect();
    if let Err(reason) = stage::preflight() {
        writeln!(out, "WARNING: no live test was run: {reason}")?;
        writeln!(out, "live: 0 run, {} skipped ({reason})", cases.len())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = 0;
    for (name, case) in &cases {
        let began = std::time::Instant::now();
        let result = std::panic::catch_unwind(case);
        let took = began.elapsed().as_millis();
        match result {
            Ok(Ok(())) => writeln!(out, "live {name} ... ok ({took} ms)")?,
            Ok(Err(error)) => {
                failed += 1;
                writeln!(out, "live {name} ... FAILED: {}", with_causes(&*error))?;
            }
            Err(_panic) => {
                failed += 1;
                writeln!(out, "live {name} ... FAILED (above)")?;
            }
        }
    }
    writeln!(out, "live: {} run, 0 skipped, {failed} failed", cases.len())?;
    let complete = failed == 0 && (!cases.is_empty() || !wanted.is_empty());
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
