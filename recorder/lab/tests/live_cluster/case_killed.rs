//! A recorder that is killed: what it had finished is read, and `inspect` says what is missing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use flowtape::findings::Findings;
use flowtape::tape;
use flowtape_lab::Lab;

use crate::program::{Recorder, analyzer};
use crate::recorded::{LAB, Shared, traffic};
use crate::slice::LabGroups;
use crate::{Case, Outcome, scenario};

pub(crate) const CASES: &[Case] = &[("a_killed_recording_is_read_and_says_what_it_lacks", killed)];

const TWO: &str = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  deployment kill/client on n1 labels app=client
  deployment kill/server on n1 labels app=server ports http:8080
traffic
  kill/client -> kill/server:8080 x20";

/// Recorders that are killed, each at another moment.
const KILLS: u32 = 6;

/// Operations of both sides.
const SENT: u64 = 2 * 20;

/// How often files are finished.
const ROTATION: Duration = Duration::from_millis(100);

/// What a kill may cost beyond that on a machine that is busy with other things.
const SLACK: Duration = Duration::from_secs(3);

fn killed(_: &Shared) -> Outcome<String> {
    let home = tempfile::tempdir()?;
    let scenario = scenario::live(TWO)?;
    let mut lab = Lab::build_with(&scenario, LAB.as_ref())?;
    lab.start_servers()?;
    // A linear congruential generator (Knuth, MMIX): the moments differ, and are the same every time.
    let mut state = 7_u64;
    let groups = LabGroups::below(lab.cgroup())?;
    let mut whole = 0;
    for kill in 0..KILLS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let path = home.path().join(format!("tape-{kill}"));
        let recorder = Recorder::start(&path, &["--rotation", "100ms", "--interval", "50ms"])?;
        let began = now()?;
        traffic(&mut lab)?;
        std::thread::sleep(Duration::from_millis(state >> 54));
        let killed = now()?;
        recorder.kill()?;
        let operations =
            what_is_there(&path, &groups, began, killed).map_err(|error| format!("kill {kill}: {error}"))?;
        whole += u32::from(operations == SENT);
    }
    if whole == 0 {
        return Err("no recording was killed after its last file".into());
    }
    Ok(format!("{KILLS} kills, {whole} of them cost nothing of the lab"))
}

fn now() -> Outcome<Duration> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?)
}

/// Reads what is left after a kill; gives how many operations of the lab are in it.
fn what_is_there(path: &Path, groups: &LabGroups, began: Duration, killed: Duration) -> Outcome<u64> {
    let shown = path.display().to_string();
    let told = analyzer(&["inspect", &shown])?;
    let text = String::from_utf8(told.stdout)?;
    if !has_files(path)? {
        let refusal = String::from_utf8(told.stderr)?;
        // The recorder may not have begun a file, or not have finished one.
        let says = ["error: no tape: ", "error: no tape yet: a recording of lab was begun "];
        if told.status.code() == Some(2) && says.iter().any(|part| refusal.starts_with(part)) {
            return Ok(0);
        }
        return Err(format!("of a directory without tables inspect says: {text}{refusal}").into());
    }
    let says = |part: &str| text.lines().any(|line| line.contains(part));
    let reason = "the recording of `lab` has no `manifest.json`: it did not end, or not cleanly";
    if !told.status.success() || !text.starts_with("incomplete\n") || !says(reason) {
        let stderr = String::from_utf8_lossy(&told.stderr);
        return Err(format!("inspect ended with {}: {text}{stderr}", told.status).into());
    }
    if analyzer(&["inspect", "--strict", &shown])?.status.code() != Some(1) {
        return Err("nothing to gate on".into());
    }
    let mut findings = Findings::default();
    let mut tape = tape::open(&[path.to_owned()], &mut findings)?;
    let [node] = tape.nodes.as_slice() else {
        return Err(format!("{} nodes", tape.nodes.len()).into());
    };
    // Files are finished with a look at the clock, so the last one says since when everything is lost.
    let finished = node.clock.values().flatten().map(|row| row.wall_time.0).max();
    // In the middle of the first rotation there is none.
    let until = finished.map_or(began, |at| Duration::from_nanos(at.max(0).unsigned_abs()));
    let lost = killed.saturating_sub(until);
    if lost > ROTATION + SLACK {
        return Err(format!("{lost:?} are lost").into());
    }
    groups.keep(&mut tape);
    let flows = tape.nodes.iter().flat_map(|node| &node.flows);
    let operations = flows.map(|row| row.count).sum();
    if operations > SENT {
        return Err(format!("{operations} operations").into());
    }
    Ok(operations)
}

/// Whether any file was finished.
fn has_files(tape: &Path) -> Outcome<bool> {
    for entry in std::fs::read_dir(tape.join("node=lab"))? {
        if entry?
            .path()
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            return Ok(true);
        }
    }
    Ok(false)
}
