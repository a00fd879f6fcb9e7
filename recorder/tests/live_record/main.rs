//! Live tests of `flowtape-recorder record`: the command records a worker that uses sockets in a control group and a network
//! namespace of its own, and the files of the tape must say exactly what the worker says it did.
//!
//! They need root and eBPF. Where the privileges are missing every case is skipped, loudly; where they are there, each must
//! run. Arguments that are no option pick cases by a part of their name.
#![cfg(target_os = "linux")]

mod agent;
mod clock;
mod disk;
mod fault;
mod group;
mod holder;
mod listener;
mod open;
mod privilege;
mod recording;
mod tape;
mod trace;
mod window;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use flowtape_recorder::check::{self, Verdict};

/// What a case, a worker and all their helpers give back.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A name and what it checks.
type Case = (&'static str, fn() -> Outcome);

const ALL: &[&[Case]] = &[
    window::CASES,
    open::CASES,
    listener::CASES,
    fault::CASES,
    group::CASES,
    disk::CASES,
    privilege::CASES,
    trace::CASES,
    agent::CASES,
    clock::CASES,
];

fn main() -> Outcome<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--worker", job @ ..] = words.as_slice() {
        return worker::run(job).map(|()| ExitCode::SUCCESS);
    }
    if words == ["--holder"] {
        return holder::run().map(|()| ExitCode::SUCCESS);
    }
    let wanted: Vec<&str> = words.into_iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |(name, _): &&Case| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let cases: Vec<&Case> = ALL.iter().copied().flatten().filter(is_wanted).collect();
    let mut out = std::io::stdout();
    if let Some(reason) = missing() {
        writeln!(out, "WARNING: no live test was run: {reason}")?;
        writeln!(out, "live: 0 run, {} skipped ({reason})", cases.len())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = 0;
    for (name, case) in &cases {
        let began = std::time::Instant::now();
        let verdict = match std::panic::catch_unwind(case) {
            Ok(Ok(())) => format!("ok ({} ms)", began.elapsed().as_millis()),
            Ok(Err(error)) => format!("FAILED: {error}"),
            Err(_panic) => "FAILED (above)".to_owned(),
        };
        failed += u32::from(!verdict.starts_with("ok"));
        writeln!(out, "live {name} ... {verdict}")?;
    }
    writeln!(out, "live: {} run, 0 skipped, {failed} failed", cases.len())?;
    let complete = failed == 0 && (!cases.is_empty() || !wanted.is_empty());
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is missing for any program to be loaded. Whether *ours* load is what the cases find out.
fn missing() -> Option<String> {
    let needed = ["kernel-types", "cap-bpf", "cap-perfmon"];
    let checks = check::run();
    let mut missing = checks
        .iter()
        .filter(|check| needed.contains(&check.name) && check.ok == Verdict::No);
    missing.next().map(|check| check.detail.clone())
}
