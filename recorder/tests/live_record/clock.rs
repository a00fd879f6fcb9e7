//! A wall clock that is set by an hour while a window is recorded: times go on as they were, and the step is in the tape.
//!
//! The clock of this machine is everybody's, so only the recorder is shown another one, by a library loaded before its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flowtape_schemas::node::{ClockRow, Direction, EventRow, FlowRow};

use crate::recording::{Recording, until};
use crate::tape::Tape;
use crate::worker::Worker;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("a_clock_set_forward_by_an_hour_moves_no_time", || set_by(HOUR)),
    ("a_clock_set_back_by_an_hour_moves_no_time", || set_by(-HOUR)),
];

/// In seconds.
const HOUR: i64 = 3_600;

const NANOS: i64 = 1_000_000_000;

/// Adds so many seconds to the wall clock once a file is there.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    const char *flag = getenv("CLOCK_SET_IF"), *seconds = getenv("CLOCK_SET_BY");
    if (!failed && clock == CLOCK_REALTIME && flag && seconds && access(flag, F_OK) == 0)
        now->tv_sec += atol(seconds);
    return failed;
}
"#;

fn library(home: &Path) -> Outcome<PathBuf> {
    let (source, built) = (home.join("clock.c"), home.join("clock.so"));
    fs::write(&source, LIBRARY)?;
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&built).arg(&source);
    let done = command.output()?;
    if done.status.success() {
        return Ok(built);
    }
    Err(format!("cc: {}", String::from_utf8_lossy(&done.stderr)).into())
}

fn set_by(seconds: i64) -> Outcome {
    let home = tempfile::tempdir()?;
    let flag = home.path().join("set");
    let variables = [
        format!("LD_PRELOAD={}", library(home.path())?.display()),
        format!("CLOCK_SET_IF={}", flag.display()),
        format!("CLOCK_SET_BY={seconds}"),
    ];
    let by: Vec<&str> = std::iter::once("env")
        .chain(variables.iter().map(String::as_str))
        .collect();
    let often = ["--rotation", "200ms", "--interval", "100ms"];
    let recording = Recording::start_as(&by, home, &often)?;
    let before = Worker::connects(1, 50)?;
    let path = Tape::at(recording.tape());
    let samples = |tape: &Tape| tape.rows::<ClockRow>().map_or(0, |rows| rows.len());
    until("the clock was looked at", || Ok(samples(&path) > 2))?;
    fs::write(&flag, "")?;
    let so_far = samples(&path);
    until("the clock was looked at again", || Ok(samples(&path) > so_far + 2))?;
    let after = Worker::connects(1, 50)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;

    let window = tape.manifest()?.nodes[0].window;
    assert!(
        (0..HOUR / 2 * NANOS).contains(&(window.end.0 - window.start.0)),
        "{window:?}"
    );
    let within = |at: flowtape_schemas::time::Time| (window.start..=window.end).contains(&at);
    for worker in [&before, &after] {
        for direction in [Direction::Out, Direction::In] {
            let flows: Vec<FlowRow> = tape.flows(worker.cgroup_id, direction)?;
            assert_eq!(flows.iter().map(|row| row.count).sum::<u64>(), 51, "{direction}");
            assert!(
                flows.iter().all(|row| within(row.first_seen) && within(row.last_seen)),
                "{flows:?}"
            );
        }
    }
    let events: Vec<EventRow> = tape.rows()?;
    let of = |worker: &Worker, row: &EventRow| row.cgroup_id == Some(worker.cgroup_id);
    let ours = events.iter().filter(|row| of(&before, row) || of(&after, row));
    assert!(ours.clone().count() >= 2 * 51 && ours.clone().all(|row| within(row.time)));
    let last = |worker: &Worker| ours.clone().filter(|row| of(worker, row)).map(|row| row.time).max();
    assert!(last(&before) < last(&after));

    // What the wall clock did beside the one that is never set is the step, and it is there once.
    let clock: Vec<ClockRow> = tape.rows()?;
    let steps = clock.windows(2).map(|pair| {
        let wall = pair[1].wall_time.0 - pair[0].wall_time.0;
        let boot = i64::try_from(pair[1].boot_nanos - pair[0].boot_nanos).unwrap_or(i64::MAX);
        (wall - boot + seconds.signum() * NANOS / 2) / NANOS
    });
    let steps: Vec<i64> = steps.filter(|step| *step != 0).collect();
    assert_eq!(steps, [seconds]);
    Ok(())
}
