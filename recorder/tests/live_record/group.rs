//! Control groups that the kernel has no room to tell of: those that are still there are found, the others are counted.

use std::fs;
use std::path::PathBuf;

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::{CgroupRow, Counter, Hook, StatsRow};

use crate::fault::page;
use crate::recording::{Recording, until};
use crate::tape::Tape;
use crate::worker::mount;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("control_groups_untold_are_looked_for_at_once", looked_for),
    ("control_groups_gone_untold_are_counted_and_make_it_incomplete", counted),
    (
        "a_ring_of_events_that_is_full_takes_no_name_from_anybody",
        beside_a_full_ring,
    ),
];

/// More than fit into a ring buffer of one page.
const GROUPS: usize = 40;

/// A control group with others in it, all gone after the test.
struct Parent(PathBuf);

impl Parent {
    fn new(name: &str) -> Outcome<Self> {
        let path = mount()?.join(format!("flowtape-{name}-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot make `{}`: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn make(&self, number: usize) -> Outcome<PathBuf> {
        let path = self.0.join(number.to_string());
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// The rows of those in it.
    fn rows(&self, tape: &Tape) -> Outcome<Vec<CgroupRow>> {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        let mut rows: Vec<CgroupRow> = tape.rows()?;
        rows.retain(|row| row.path.starts_with(&format!("/{name}/")));
        Ok(rows)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// Without a drain, after which everything is looked at anyway.
fn small(more: &[&str]) -> Outcome<Recording> {
    let page = page();
    let options = ["--ring-bytes", &page, "--interval", "1h", "--strict"];
    Recording::start(&[&options, more].concat())
}

/// The sum of a counter of what is told of new control groups.
fn of_made(tape: &Tape, counter: Counter) -> Outcome<u64> {
    let stats: Vec<StatsRow> = tape.rows()?;
    let rows = stats.iter().filter(|row| row.hook == Hook::CgroupMkdir);
    Ok(rows.filter(|row| row.counter == counter).map(|row| row.value).sum())
}

fn looked_for() -> Outcome {
    let parent = Parent::new("looked-for")?;
    let recording = small(&["--rotation", "200ms"])?;
    recording.signal(libc::SIGSTOP)?;
    let made = (0..GROUPS).map(|number| parent.make(number));
    let made: Vec<PathBuf> = made.collect::<Outcome<_>>()?;
    recording.signal(libc::SIGCONT)?;
    let tape = Tape::at(recording.tape());
    until("every control group has a row", || Ok(known(&parent, &tape) == GROUPS))?;
    made.iter().try_for_each(fs::remove_dir)?;
    let ended = recording.stop(libc::SIGTERM)?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    let rows = parent.rows(&tape)?;
    let supposed = rows.iter().filter(|row| row.from_bound == Bound::Assumed).count();
    assert!(rows.len() == GROUPS && supposed > 0, "{} rows, {supposed}", rows.len());
    let untold = of_made(&tape, Counter::Untold)?;
    assert!(untold >= supposed as u64, "{supposed} supposed, {untold} untold");
    // None of ours is among those without a name, if others on this machine have any.
    let unnamed = of_made(&tape, Counter::Unnamed)?;
    assert!(unnamed + supposed as u64 <= untold, "{unnamed} of {untold} unnamed");
    Ok(())
}

/// How many have a row by now. A file that is replaced meanwhile counts for the next look.
fn known(parent: &Parent, tape: &Tape) -> usize {
    parent.rows(tape).map_or(0, |rows| rows.len())
}

fn counted() -> Outcome {
    let parent = Parent::new("counted")?;
    let recording = small(&[])?;
    recording.signal(libc::SIGSTOP)?;
    for number in 0..GROUPS {
        fs::remove_dir(parent.make(number)?)?;
    }
    recording.signal(libc::SIGCONT)?;
    let ended = recording.stop(libc::SIGTERM)?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    let (named, unnamed) = (parent.rows(&tape)?.len() as u64, of_made(&tape, Counter::Unnamed)?);
    // Named and unnamed make what was there, to the last one; others on this machine may have lost the names of their own.
    let others = of_made(&tape, Counter::Invocations)? - GROUPS as u64;
    let all = named + unnamed;
    assert!(
        (GROUPS as u64..=GROUPS as u64 + others).contains(&all) && unnamed > 0,
        "{named} named, {unnamed} unnamed, {others} of others"
    );
    let verdict = ended.said.lines().last().unwrap_or_default();
    assert!(
        verdict.starts_with("incomplete: ") && verdict.contains(&format!("{unnamed} control groups were gone")),
        "{verdict}"
    );
    assert_eq!(ended.code, Some(1), "{verdict}");
    Ok(())
}

/// Nobody reads, and the buffer of events is full; the names of control groups come through another one.
fn beside_a_full_ring() -> Outcome {
    const RING: &str = "65536";
    let parent = Parent::new("beside")?;
    let recording = Recording::start(&["--ring-bytes", RING])?;
    recording.signal(libc::SIGSTOP)?;
    let flood = flood()?;
    let made = parent.make(0)?;
    fs::remove_dir(made)?;
    recording.signal(libc::SIGCONT)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    let full = tape.counter(Counter::RingFull)?;
    assert!(full > 0, "{flood} listeners were meant to be too many");
    let rows = parent.rows(&tape)?;
    let [row] = rows.as_slice() else {
        return Err(format!("not one row: {rows:?}").into());
    };
    assert_eq!((row.from_bound, row.to_bound), (Bound::Observed, Bound::Observed));
    Ok(())
}

/// Begins and ceases to listen more often than the buffer has room for.
fn flood() -> Outcome<usize> {
    const TIMES: usize = 1_000;
    for _ in 0..TIMES {
        std::net::TcpListener::bind("127.0.0.1:0")?;
    }
    Ok(TIMES)
}
