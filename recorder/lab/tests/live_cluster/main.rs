//! The whole line, live: a scenario's traffic between network namespaces, recorded from the kernel, read by the analyzer,
//! and compared with what the same text compiles to without any kernel.
//!
//! Needs root, eBPF and what a lab needs. Where no kernel program can be loaded every case is skipped, loudly; where one
//! can be, each must run. Arguments that are no option pick cases by a part of their name.
//!
//! Called under the name of the recorder or of the analyzer, this executable is the recorder or the analyzer: the programs
//! that the cases run are always of this build.

#[cfg(target_os = "linux")]
mod case_burst;
#[cfg(target_os = "linux")]
mod case_capture;
#[cfg(target_os = "linux")]
mod case_edges;
#[cfg(target_os = "linux")]
mod case_killed;
#[cfg(target_os = "linux")]
mod case_loop;
#[cfg(target_os = "linux")]
mod case_policies;
#[cfg(target_os = "linux")]
mod case_remains;
#[cfg(target_os = "linux")]
mod case_ways;
#[cfg(target_os = "linux")]
mod compare;
#[cfg(target_os = "linux")]
mod enforce;
#[cfg(target_os = "linux")]
#[path = "../../../tests/live_kernel/preflight.rs"]
mod preflight;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod recorded;
#[cfg(target_os = "linux")]
mod scenario;
#[cfg(target_os = "linux")]
mod slice;

use std::process::ExitCode;

/// What a case and all its helpers give back.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A name, and what it checks; gives the figures it saw.
#[cfg(target_os = "linux")]
type Case = (&'static str, fn(&recorded::Shared) -> Outcome<String>);

#[cfg(not(target_os = "linux"))]
fn main() -> Outcome<ExitCode> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "live: 0 run, all skipped (not Linux)")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(target_os = "linux")]
fn main() -> Outcome<ExitCode> {
    if let Some(ended) = program::as_called() {
        return Ok(ended);
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    cases::run(&wanted)
}

#[cfg(target_os = "linux")]
mod cases {
    use std::io::{self, Write as _};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::ExitCode;
    use std::time::Instant;

    use flowtape_lab::preflight::{explain, missing};

    use crate::recorded::Shared;
    use crate::{
        Case, Outcome, case_burst, case_capture, case_edges, case_killed, case_loop, case_policies, case_remains,
        case_ways, preflight,
    };

    /// The last one looks at what all others left.
    const CASES: &[&[Case]] = &[
        case_edges::CASES,
        case_ways::CASES,
        case_policies::CASES,
        case_loop::CASES,
        case_capture::CASES,
        case_burst::CASES,
        case_killed::CASES,
        case_remains::CASES,
    ];

    pub(super) fn run(wanted: &[String]) -> Outcome<ExitCode> {
        let mut out = io::stdout();
        let is_wanted = |(name, _): &&Case| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
        let cases: Vec<&Case> = CASES.iter().copied().flatten().filter(is_wanted).collect();
        if let Err(reason) = preflight::check() {
            writeln!(out, "WARNING: no live test was run: {reason}")?;
            writeln!(out, "live: 0 run, {} skipped ({reason})", cases.len())?;
            return Ok(ExitCode::SUCCESS);
        }
        let missing = missing();
        if !missing.is_empty() {
            writeln!(
                out,
                "this kernel loads programs, but the lab lacks:\n{}",
                explain(&missing)
            )?;
            writeln!(out, "live: 0 run, {} skipped (the lab lacks the above)", cases.len())?;
            return Ok(ExitCode::FAILURE);
        }
        let mut failed = 0;
        {
            let shared = Shared::new()?;
            for (name, case) in &cases {
                let began = Instant::now();
                let result = catch_unwind(AssertUnwindSafe(|| case(&shared)));
                let took = began.elapsed().as_millis();
                match result {
                    Ok(Ok(figures)) => writeln!(out, "live {name} ... ok ({figures}; {took} ms)")?,
                    Ok(Err(error)) => {
                        failed += 1;
                        writeln!(out, "live {name} ... FAILED: {error}")?;
                    }
                    Err(_panic) => {
                        failed += 1;
                        writeln!(out, "live {name} ... FAILED (above)")?;
                    }
                }
            }
        }
        writeln!(out, "live: {} run, 0 skipped, {failed} failed", cases.len())?;
        let complete = failed == 0 && (!cases.is_empty() || !wanted.is_empty());
        Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
