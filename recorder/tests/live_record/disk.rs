//! A disk that is full, small or slow costs samples, and counts only if it stays so to the end.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use flowtape_schemas::node::{ClockRow, Counter, Direction, EventRow, FlowRow};
use tempfile::TempDir;

use crate::recording::{Recording, files, until};
use crate::tape::Tape;
use crate::worker::Worker;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("a_disk_that_was_full_for_a_while_costs_samples_only", full_for_a_while),
    (
        "a_disk_that_stays_full_ends_in_an_error_that_says_what_is_there",
        full_to_the_end,
    ),
    ("a_tape_of_limited_size_loses_samples_first_and_ends_cleanly", max_size),
    ("a_disk_that_stalls_stalls_nobody_and_loses_no_count", stalled),
];

/// Files are finished often, so that a disk is asked often.
const OFTEN: [&str; 4] = ["--rotation", "200ms", "--interval", "100ms"];

/// A file system of its own under the tape, gone when dropped. Until then it keeps the directory that it is in, which cannot be
/// removed from around it.
struct Disk {
    at: PathBuf,
    _home: Rc<TempDir>,
}

impl Disk {
    /// In memory.
    fn small(home: &Rc<TempDir>) -> Outcome<Self> {
        Self::mount(home, &["-t", "tmpfs", "-o", "size=16m", "none"])
    }

    /// In a file, as only a block device can be frozen.
    fn block(home: &Rc<TempDir>) -> Outcome<Self> {
        let image = home.path().join("image");
        fs::File::create(&image)?.set_len(64 << 20)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let disk = Self::mount(home, &["-o", "loop", &image.to_string_lossy()])?;
        fs::remove_dir(disk.at.join("lost+found"))?;
        Ok(disk)
    }

    fn mount(home: &Rc<TempDir>, what: &[&str]) -> Outcome<Self> {
        let at = home.path().join("tape");
        fs::create_dir(&at)?;
        run(Command::new("mount").args(what).arg(&at))?;
        Ok(Self {
            at,
            _home: Rc::clone(home),
        })
    }

    /// Fills what is left.
    fn fill(&self) -> Outcome {
        let mut ballast = fs::File::options().append(true).create(true).open(self.ballast())?;
        for size in [1 << 16, 1 << 12] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    fn freeze(&self, option: &str) -> Outcome {
        run(Command::new("fsfreeze").arg(option).arg(&self.at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.at).output();
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn run(command: &mut Command) -> Outcome {
    let done = command.output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)).into())
}

fn sends(worker: &Worker, tape: &Tape) -> Outcome<u64> {
    tape.operations(worker.cgroup_id, Direction::Out)
}

fn full_for_a_while() -> Outcome {
    let home = Rc::new(tempfile::tempdir()?);
    let disk = Disk::small(&home)?;
    let recording = Recording::start_in(home, &OFTEN)?;
    let reserve = recording.tape().join("node=n1/reserve.tmp");
    assert!(reserve.exists(), "room is set aside");
    let before = Worker::connects(1, 100)?;
    disk.fill()?;
    until("the room that was set aside is used", || Ok(!reserve.exists()))?;
    let with_reserve = Worker::connects(1, 100)?;
    // Until nothing at all fits.
    disk.fill()?;
    let without = Worker::connects(1, 100)?;
    std::thread::sleep(Duration::from_millis(500));
    disk.fill()?;

    fs::remove_file(disk.ballast())?;
    run(Command::new("mount").args(["-o", "remount,size=256m"]).arg(&disk.at))?;
    until("there is room again", || Ok(reserve.exists()))?;
    // The programs are told of it a moment later.
    let mut after = Worker::connects(1, 100)?;
    let tape = Tape::at(recording.tape());
    until("samples come again", || {
        let rotations = tape.rows::<ClockRow>()?.len();
        until("files are finished", || {
            Ok(tape.rows::<ClockRow>()?.len() > rotations + 1)
        })?;
        let come = tape
            .rows::<EventRow>()?
            .iter()
            .any(|row| row.cgroup_id == Some(after.cgroup_id));
        if !come {
            after = Worker::connects(1, 100)?;
        }
        Ok(come)
    })?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    assert!(files(tape.path(), ".tmp")?.is_empty(), "nothing is left behind");
    for worker in [&before, &with_reserve, &without, &after] {
        assert_eq!(sends(worker, &tape)?, 101);
    }
    let events: Vec<EventRow> = tape.rows()?;
    let of = |worker: &Worker| {
        events
            .iter()
            .filter(|row| row.cgroup_id == Some(worker.cgroup_id))
            .count()
    };
    assert_eq!(of(&without), 0);
    assert!(of(&after) > 0, "samples stay");
    let left_out = tape.counter(Counter::WriterDropped)? + tape.counter(Counter::SteppedDown)?;
    assert!(left_out >= 2 * 101, "{left_out}");
    let node = &tape.manifest()?.nodes[0];
    assert_eq!(node.lost_events, left_out + tape.counter(Counter::RingFull)?);
    let told = |note: &String| note.starts_with("samples are missing from ") && note.contains("No space left");
    assert!(node.notes.iter().any(told), "{:?}", node.notes);
    assert!(ended.said.contains("samples are missing from "), "{}", ended.said);
    Ok(())
}

fn full_to_the_end() -> Outcome {
    let home = Rc::new(tempfile::tempdir()?);
    let disk = Disk::small(&home)?;
    let recording = Recording::start_in(home, &OFTEN)?;
    let reserve = recording.tape().join("node=n1/reserve.tmp");
    let _before = Worker::connects(1, 100)?;
    until("something is finished", || {
        Ok(!files(&recording.tape(), ".parquet")?.is_empty())
    })?;
    disk.fill()?;
    until("the room that was set aside is used", || Ok(!reserve.exists()))?;
    disk.fill()?;
    let _late = Worker::connects(1, 100)?;
    // A file that is replaced makes room for a moment.
    disk.fill()?;
    let ended = recording.stop(libc::SIGTERM)?;
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    for part in [
        "the tape is incomplete",
        "finished files hold what was counted until",
        "No space left",
    ] {
        assert!(ended.said.contains(part), "{part}: {}", ended.said);
    }
    let tape = Tape::at(ended.tape());
    assert!(!tape.path().join("manifest.json").exists());
    assert!(!tape.rows::<FlowRow>()?.is_empty(), "what was finished opens");
    assert!(files(tape.path(), ".tmp")?.is_empty(), "nothing is left behind");
    Ok(())
}

fn max_size() -> Outcome {
    let home = Rc::new(tempfile::tempdir()?);
    let _disk = Disk::small(&home)?;
    // Every rotation writes seven files of a few KiB, so the limit is reached without much traffic.
    let options = ["--max-size", "1MiB", "--rotation", "20ms", "--interval", "10ms"];
    let recording = Recording::start_in(home, &options)?;
    let worker = Worker::connects(2, 500)?;
    let ended = recording.wait()?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    assert_eq!(tape.operations(worker.cgroup_id, Direction::Out)?, 1_001);
    let size: u64 = files(tape.path(), "")?
        .iter()
        .map(|file| Ok(fs::metadata(file)?.len()))
        .sum::<Outcome<u64>>()?;
    assert!((512 << 10..=1 << 20).contains(&size), "{size} bytes");
    let notes = tape.manifest()?.nodes[0].notes.join("; ");
    for part in ["`--max-size` was nearly reached", "the window ended early"] {
        assert!(
            notes.contains(part) && ended.said.contains(part),
            "{part}: {notes}: {}",
            ended.said
        );
    }
    Ok(())
}

fn stalled() -> Outcome {
    let home = Rc::new(tempfile::tempdir()?);
    let disk = Disk::block(&home)?;
    let recording = Recording::start_in(home, &["--rotation", "100ms", "--interval", "50ms"])?;
    disk.freeze("--freeze")?;
    // The traffic goes on, and so does the recorder: a SIGTERM is not what it waits for. It lasts for many times what may
    // wait on the way to the writer: sixteen hand-overs, two in 100 ms.
    let (frozen, mut groups) = (Instant::now(), BTreeSet::new());
    while frozen.elapsed() < Duration::from_secs(4) {
        groups.insert(Some(Worker::connects(1, 300)?.cgroup_id));
    }
    recording.signal(libc::SIGTERM)?;
    disk.freeze("--unfreeze")?;
    let ended = recording.wait()?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    let flows: Vec<FlowRow> = tape.rows()?;
    let sent = |row: &&FlowRow| groups.contains(&row.cgroup_id) && row.direction == Direction::Out;
    let counted: u64 = flows.iter().filter(sent).map(|row| row.count).sum();
    assert_eq!(counted, groups.len() as u64 * 301);
    let dropped = tape.counter(Counter::WriterDropped)?;
    assert!(dropped > 0, "the writer was meant to be too far behind");
    let notes = tape.manifest()?.nodes[0].notes.join("; ");
    assert!(notes.contains("stepped down from `all` to `first:8`"), "{notes}");
    Ok(())
}
