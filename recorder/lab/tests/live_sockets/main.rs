//! The socket matrix, live: every way in which a program can open, pass and lose a socket, in pods of the lab, recorded by
//! the real `flowtape-recorder record` and read back from the tape. Every row must be there with the right pod, direction,
//! outcome and count, and no other row may be.
//!
//! One cluster and one recording serve all cases: a case has ports of its own. What it does before the recording begins
//! and what within is two functions; what the tape must hold is data.
//!
//! Needs root, eBPF and what a lab needs. Where no kernel program can be loaded every case is skipped, loudly; where one
//! can be, each must run, except for what it says that the kernel lacks. Arguments that are no option pick cases by a part
//! of their name. Called under the name of the recorder this executable is the recorder.

#[cfg(target_os = "linux")]
mod actor;
#[cfg(target_os = "linux")]
#[path = "../../../tests/live_kernel/balancer.rs"]
mod balancer;
#[cfg(target_os = "linux")]
mod case_balanced;
#[cfg(target_os = "linux")]
mod case_failed;
#[cfg(target_os = "linux")]
mod case_handed;
#[cfg(target_os = "linux")]
mod case_mesh;
#[cfg(target_os = "linux")]
mod case_old;
#[cfg(target_os = "linux")]
mod case_pods;
#[cfg(target_os = "linux")]
mod case_socket;
#[cfg(target_os = "linux")]
mod case_tcp;
#[cfg(target_os = "linux")]
mod case_udp;
#[cfg(target_os = "linux")]
mod entry;
#[cfg(target_os = "linux")]
mod handover;
#[cfg(target_os = "linux")]
mod matrix;
#[cfg(target_os = "linux")]
#[path = "../../../tests/live_kernel/preflight.rs"]
mod preflight;
#[cfg(target_os = "linux")]
#[path = "../live_cluster/program.rs"]
#[expect(
    dead_code,
    reason = "shared with the live tests of whole scenarios, which run the analyzer"
)]
mod program;
#[cfg(target_os = "linux")]
mod remote;
#[cfg(target_os = "linux")]
mod seen;
#[cfg(target_os = "linux")]
mod stage;

use std::process::ExitCode;

/// What a case and all its helpers give back.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--actor", cgroup, netns] => actor::run(cgroup, netns).map(|()| ExitCode::SUCCESS),
        ["--connect-inherited", cgroup, address] => {
            actor::connect_inherited(cgroup, address).map(|()| ExitCode::SUCCESS)
        }
        _ => {
            let wanted: Vec<&str> = words.into_iter().filter(|word| !word.starts_with('-')).collect();
            cases::run(&wanted)
        }
    }
}

/// A check of what the tape holds besides rows of `flows`.
#[cfg(target_os = "linux")]
type Check = Box<dyn FnOnce(&seen::Seen) -> Outcome>;

/// What a case did.
#[cfg(target_os = "linux")]
enum Ran {
    /// This must be in the tape.
    Rows(Vec<matrix::Row>),
    /// This, and what the check finds.
    Checked(Vec<matrix::Row>, Check),
    /// Nothing, because the kernel lacks something.
    Skipped(&'static str),
}

/// A way of using sockets.
#[cfg(target_os = "linux")]
struct Case {
    /// What it is.
    name: &'static str,
    /// What it does before the recording begins, given its first port.
    before: Option<fn(&mut stage::Stage, u16) -> Outcome>,
    /// What it does while recorded, given its first port.
    run: fn(&mut stage::Stage, u16) -> Outcome<Ran>,
}

#[cfg(target_os = "linux")]
impl Case {
    /// One that begins and ends within the recording.
    const fn within(name: &'static str, run: fn(&mut stage::Stage, u16) -> Outcome<Ran>) -> Self {
        Self {
            name,
            before: None,
            run,
        }
    }
}

#[cfg(target_os = "linux")]
mod cases {
    use std::io::{self, Write as _};
    use std::process::ExitCode;

    use flowtape_lab::leftovers;
    use flowtape_lab::preflight::{explain, missing};

    use crate::matrix::{Counts, expected, must_have, shown};
    use crate::program::Recorder;
    use crate::seen::Seen;
    use crate::stage::Stage;
    use crate::{
        Case, Outcome, Ran, case_balanced, case_failed, case_handed, case_mesh, case_old, case_pods, case_socket,
        case_tcp, case_udp, preflight,
    };

    const CASES: &[&[Case]] = &[
        case_tcp::CASES,
        case_udp::CASES,
        case_balanced::CASES,
        case_handed::CASES,
        case_pods::CASES,
        case_failed::CASES,
        case_socket::CASES,
        case_old::CASES,
        case_mesh::CASES,
    ];

    /// Ports of the first case; each has as many from there on as it needs, up to [`PORTS`].
    const FIRST_PORT: u16 = 20_000;
    const PORTS: u16 = 10;

    /// How often to try: an edge that was missed because its program was running on that processor is one that the
    /// recording says it lacks, and all that can be asked then is that it says so.
    const TRIES: usize = 3;

    pub(super) fn run(wanted: &[&str]) -> Outcome<ExitCode> {
        let mut out = io::stdout();
        let is_wanted = |case: &&Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part));
        let cases: Vec<&Case> = CASES.iter().copied().flatten().filter(is_wanted).collect();
        if let Err(reason) = preflight::check() {
            writeln!(out, "WARNING: no live test was run: {reason}")?;
            writeln!(out, "live: 0 run, {} skipped ({reason})", cases.len())?;
            return Ok(ExitCode::SUCCESS);
        }
        let lacking = missing();
        if !lacking.is_empty() {
            writeln!(
                out,
                "this kernel loads programs, but the lab lacks:\n{}",
                explain(&lacking)
            )?;
            writeln!(out, "live: 0 run, {} skipped (the lab lacks the above)", cases.len())?;
            return Ok(ExitCode::FAILURE);
        }
        let mut tried = attempt(&cases)?;
        for _ in 1..TRIES {
            if tried.failed.is_empty() || tried.missed == 0 {
                break;
            }
            writeln!(
                out,
                "again: {} runs of a program were skipped by the kernel",
                tried.missed
            )?;
            tried = attempt(&cases)?;
        }
        // Nothing of any of the clusters is left, whatever failed.
        let own = format!("{}-", std::process::id());
        let left: Vec<String> = leftovers::labs()
            .into_iter()
            .filter(|id| id.starts_with(&own))
            .collect();
        let clean = if left.is_empty() {
            Ok(())
        } else {
            Err(format!("of labs {left:?}").into())
        };
        tried.note("nothing_is_left", clean);
        for line in &tried.lines {
            writeln!(out, "{line}")?;
        }
        let (skipped, failed) = (tried.skipped.len(), tried.failed.len());
        let reasons = if skipped == 0 {
            String::new()
        } else {
            format!(" ({})", tried.skipped.join("; "))
        };
        writeln!(
            out,
            "live: {} run, {skipped} skipped{reasons}, {failed} failed",
            cases.len() - skipped
        )?;
        let complete = failed == 0 && (cases.len() > skipped || !wanted.is_empty());
        Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What came of one recording.
    #[derive(Default)]
    struct Attempt {
        lines: Vec<String>,
        skipped: Vec<&'static str>,
        failed: Vec<String>,
        missed: u64,
    }

    impl Attempt {
        fn note(&mut self, name: &str, result: Outcome) {
            match result {
                Ok(()) => self.lines.push(format!("live {name} ... ok")),
                Err(error) => {
                    self.failed.push(name.to_owned());
                    self.lines.push(format!("live {name} ... FAILED: {error}"));
                }
            }
        }
    }

    fn attempt(cases: &[&Case]) -> Outcome<Attempt> {
        let mut stage = Stage::build()?;
        let tape = tempfile::tempdir()?;
        let ports = (FIRST_PORT..).step_by(usize::from(PORTS));
        let planned: Vec<(&Case, u16)> = cases.iter().copied().zip(ports).collect();
        for (case, port) in &planned {
            if let Some(before) = case.before {
                before(&mut stage, *port).map_err(|error| format!("{}: {error}", case.name))?;
            }
        }
        let recorder = Recorder::start(&tape.path().join("recording"), &[])?;
        let ran: Vec<(&Case, Outcome<Ran>)> = planned
            .iter()
            .map(|(case, port)| (*case, (case.run)(&mut stage, *port)))
            .collect();
        let verdict = recorder.stop()?;
        let seen = Seen::read(&stage, tape.path())?;
        Ok(judge(ran, &seen, &verdict))
    }

    fn judge(ran: Vec<(&Case, Outcome<Ran>)>, seen: &Seen, verdict: &str) -> Attempt {
        let mut attempt = Attempt {
            missed: seen.missed(),
            ..Attempt::default()
        };
        let mut found: Counts = seen.counts();
        for (case, outcome) in ran {
            let (rows, check) = match outcome {
                Ok(Ran::Rows(rows)) => (rows, None),
                Ok(Ran::Checked(rows, check)) => (rows, Some(check)),
                Ok(Ran::Skipped(reason)) => {
                    attempt.skipped.push(reason);
                    attempt.lines.push(format!("live {} ... SKIPPED: {reason}", case.name));
                    continue;
                }
                Err(error) => {
                    attempt.note(case.name, Err(error));
                    continue;
                }
            };
            let result = must_have(&expected(&rows), &mut found);
            let result = result.and_then(|()| check.map_or(Ok(()), |check| check(seen)));
            attempt.note(case.name, result);
        }
        let nothing_else = if found.is_empty() {
            Ok(())
        } else {
            let rows: Vec<String> = found
                .iter()
                .map(|(key, count)| format!("{count} of {}", shown(key)))
                .collect();
            Err(format!("recorded and not expected:\n    {}", rows.join("\n    ")).into())
        };
        attempt.note("nothing_else_was_recorded", nothing_else);
        let complete = verdict.starts_with("complete: ") || seen.missed() > 0;
        let whole = if complete { Ok(()) } else { Err(verdict.into()) };
        attempt.note("the_recording_is_complete", whole);
        attempt
    }
}
