//! What goes wrong is counted, said, and costs no more than it must.

use flowtape_schemas::node::{Counter, Direction, EventRow, FlowRow};
use flowtape_schemas::validate::check_file;

use crate::recording::{Recording, files};
use crate::tape::Tape;
use crate::worker::Worker;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("a_ring_of_one_page_loses_events_and_says_how_many", one_page),
    ("a_map_of_sixteen_loses_nothing", small_map),
    ("edges_that_fit_nowhere_are_counted_and_make_it_incomplete", edges_lost),
    ("kill_leaves_what_was_finished", kill),
];

pub(crate) fn page() -> String {
    // SAFETY: no pointers are involved.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.to_string()
}

fn one_page() -> Outcome {
    let recording = Recording::start(&["--ring-bytes", &page()])?;
    let worker = Worker::connects(2, 2_000)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_complete()?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    for direction in [Direction::Out, Direction::In] {
        assert_eq!(tape.operations(worker.cgroup_id, direction)?, 4_001);
    }
    let full = tape.counter(Counter::RingFull)?;
    assert!(full > 0, "a page was meant to be too small");
    // It steps down when it sees that, which may be after the worker is done.
    let lost = full + tape.counter(Counter::SteppedDown)? + tape.counter(Counter::WriterDropped)?;
    // Listeners and connections are events; what the two maps counted and what travels adds up exactly.
    let events = tape.rows::<EventRow>()?;
    let connections = events.iter().filter(|row| row.direction != Direction::None).count() as u64;
    let listeners = events.len() as u64 - connections;
    assert_eq!(
        tape.counter(Counter::Samples)? - told_of_groups(&tape)?,
        connections + listeners
    );
    assert_eq!(tape.manifest()?.nodes[0].lost_events, lost);
    assert_eq!(
        tape.rows::<FlowRow>()?.iter().map(|row| row.samples).sum::<u64>(),
        connections
    );
    Ok(())
}

/// Records of control groups travel through the ring as well.
fn told_of_groups(tape: &Tape) -> Outcome<u64> {
    use flowtape_schemas::node::{Hook, StatsRow};
    let stats: Vec<StatsRow> = tape.rows()?;
    let of_groups = |row: &&StatsRow| matches!(row.hook, Hook::CgroupMkdir | Hook::CgroupRmdir);
    let samples = stats
        .iter()
        .filter(of_groups)
        .filter(|row| row.counter == Counter::Samples);
    Ok(samples.map(|row| row.value).sum())
}

fn small_map() -> Outcome {
    let recording = Recording::start(&["--flow-entries", "16"])?;
    let worker = Worker::connects(100, 3)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_complete()?;
    let tape = Tape::at(ended.tape());
    for direction in [Direction::Out, Direction::In] {
        assert_eq!(tape.operations(worker.cgroup_id, direction)?, 301, "{direction}");
        let ports: std::collections::BTreeSet<_> = tape
            .flows(worker.cgroup_id, direction)?
            .iter()
            .map(|row| row.service_port)
            .collect();
        assert_eq!(ports.len(), 100, "{direction}");
    }
    assert!(tape.counter(Counter::MapFull)? > 0, "sixteen were meant to be too few");
    Ok(())
}

fn edges_lost() -> Outcome {
    let recording = Recording::start(&[
        "--flow-entries",
        "16",
        "--ring-bytes",
        &page(),
        "--interval",
        "1h",
        "--strict",
    ])?;
    let worker = Worker::connects(400, 10)?;
    let ended = recording.stop(libc::SIGTERM)?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    let lost = tape.counter(Counter::EdgesLost)?;
    assert!(lost > 0, "the map and the ring were meant to be too small");
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let verdict = ended.said.lines().last().unwrap_or_default();
    assert!(
        verdict.starts_with("incomplete: ") && verdict.contains(&format!("{lost} operations are missing")),
        "{verdict}"
    );
    assert_eq!(tape.manifest()?.nodes[0].lost_edges, lost);
    // Recorded and lost make what was sent, to the last one; others on this machine may have added their own.
    let counted =
        tape.operations(worker.cgroup_id, Direction::Out)? + tape.operations(worker.cgroup_id, Direction::In)?;
    let others = tape.rows::<FlowRow>()?.iter().map(|row| row.count).sum::<u64>() - counted;
    assert!(
        counted + lost >= 2 * 4_001 && counted + lost <= 2 * 4_001 + 800 + others,
        "{counted} counted, {lost} lost"
    );
    Ok(())
}

fn kill() -> Outcome {
    let recording = Recording::start(&["--rotation", "200ms", "--interval", "100ms"])?;
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(Worker::connects(1, 200)?.cgroup_id);
        std::thread::sleep(std::time::Duration::from_millis(400));
    }
    // The last one is in no finished file yet, perhaps.
    let _late = Worker::connects(1, 200)?;
    let ended = recording.stop(libc::SIGKILL)?;
    let tape = Tape::at(ended.tape());
    assert!(!tape.path().join("manifest.json").exists());
    for file in files(tape.path(), ".parquet")? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let table = name.rsplit_once('-').map_or("", |(table, _)| table);
        let problems = check_file(table, &std::fs::read(&file)?.into(), None);
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
    let counted: u64 = workers
        .iter()
        .map(|&group| tape.operations(group, Direction::Out))
        .sum::<Outcome<u64>>()?;
    assert!(counted >= 3 * 201, "{counted} of what was finished before the kill");

    // Only `--force` records over what is left, `.tmp` files included.
    let home = ended.into_home();
    let again = Recording::start_in(home, &["--duration", "200ms", "--force"])?.wait()?;
    again.must_be_complete()?;
    Tape::at(again.tape()).must_be_whole()
}
