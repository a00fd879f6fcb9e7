//! Sockets that are older than the recording: what is looked at, when, and with which privileges.

use std::collections::BTreeSet;

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::manifest::HookState;
use flowtape_schemas::node::{
    ClockRow, Counter, Direction, EventKind, EventRow, FlowRow, Hook, ListenRow, SocketFamily, SocketRow, SocketType,
    StatsRow,
};

use crate::holder::{Holder, SERVED};
use crate::recording::{Recording, until};
use crate::tape::Tape;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("what_is_older_is_found_at_the_start", at_the_start),
    ("later_looks_need_only_the_capabilities_that_are_kept", later),
    ("without_looks_in_between_the_last_one_finds_it", first_and_last),
    ("listeners_are_older_and_end_when_they_do", listeners),
    ("sockets_without_edges_are_found", without_edges),
    ("with_tracepoints_only_what_is_older_is_found", passive),
    ("a_look_that_fails_is_counted_and_the_window_goes_on", failing),
    ("in_a_container_it_says_that_it_cannot_look", in_a_container),
];

// IANA protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Rows of a holder at one of its ports, each of which must be of a look and older than the window.
fn older(tape: &Tape, holder: &Holder, direction: Direction, port: u16) -> Outcome<Vec<FlowRow>> {
    let mut rows = tape.rows::<FlowRow>()?;
    rows.retain(|row| (row.netns, row.direction, row.service_port) == (Some(holder.netns), direction, Some(port)));
    let is_older = |row: &FlowRow| row.hook == Hook::TaskFile && row.count == 0 && row.predates_window;
    match rows.iter().find(|row| !is_older(row)) {
        Some(row) => Err(format!("not of a look, or not older: {row:?}").into()),
        None => Ok(rows),
    }
}

/// The ends of the holder's connections that some process has, as rows.
fn must_have(tape: &Tape, holder: &Holder, accepted: bool) -> Outcome {
    for (direction, port, wanted) in [
        (Direction::Out, holder.port, 1),
        (Direction::In, holder.port, 1),
        (Direction::Out, holder.waiting, 1),
        (Direction::In, holder.waiting, usize::from(accepted)),
    ] {
        let rows = older(tape, holder, direction, port)?;
        if rows.len() != wanted {
            return Err(format!("{direction} at port {port}: {rows:?}").into());
        }
    }
    Ok(())
}

fn at_the_start() -> Outcome {
    let holder = Holder::start()?;
    let recording = Recording::start(&["--redact"])?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    must_have(&tape, &holder, false)?;
    let start = tape.manifest()?.nodes[0].window.start;
    let rows = older(&tape, &holder, Direction::Out, holder.port)?;
    assert_eq!((rows[0].samples, rows[0].first_seen), (2, start), "{rows:?}");
    let mut events = tape.rows::<EventRow>()?;
    events.retain(|event| event.netns == Some(holder.netns));
    let connections = events.iter().filter(|event| event.direction != Direction::None).count();
    assert_eq!((connections, events.len()), (4, 7), "three wait for others: {events:?}");
    for event in &events {
        assert_eq!((event.kind, event.hook), (EventKind::Snapshot, Hook::TaskFile));
        assert_eq!(event.pid, Some(holder.process()));
        assert_eq!(event.process, None, "no names with `--redact`");
    }
    tape.must_be_whole()
}

fn later() -> Outcome {
    let mut holder = Holder::start()?;
    let set = "-all,+bpf,+perfmon,+net_admin";
    let few = ["setpriv", "--bounding-set", set, "--inh-caps", set];
    let often = [
        "--interval",
        "100ms",
        "--rotation",
        "100ms",
        "--snapshot-interval",
        "100ms",
    ];
    let recording = Recording::start_as(&few, tempfile::tempdir()?, &often)?;
    let tape = Tape::at(recording.tape());
    until("the first look is in the tape", || {
        Ok(must_have(&tape, &holder, false).is_ok())
    })?;
    holder.accept()?;
    until("a later look is in the tape", || {
        Ok(must_have(&tape, &holder, true).is_ok())
    })?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    must_have(&Tape::at(ended.tape()), &holder, true)
}

fn first_and_last() -> Outcome {
    let mut holder = Holder::start()?;
    let options = ["--interval", "100ms", "--rotation", "100ms", "--snapshot-interval", "0"];
    let recording = Recording::start(&options)?;
    holder.accept()?;
    let tape = Tape::at(recording.tape());
    until("there were many rotations", || Ok(tape.rows::<ClockRow>()?.len() > 5))?;
    must_have(&tape, &holder, false)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    must_have(&Tape::at(ended.tape()), &holder, true)
}

/// What waits at a port of the holder: one row, with its protocol.
fn listener(tape: &Tape, holder: &Holder, protocol: u8, port: u16) -> Outcome<ListenRow> {
    let mut rows = tape.rows::<ListenRow>()?;
    rows.retain(|row| (row.netns, row.protocol, row.port) == (Some(holder.netns), protocol, port));
    match rows.as_slice() {
        [row] if (row.valid_from, row.from_bound, row.hook) == (None, Bound::Assumed, Hook::TaskFile) => {
            Ok(row.clone())
        }
        _ => Err(format!("not one that is older: {rows:?}").into()),
    }
}

fn listeners() -> Outcome {
    for (option, bound) in [(&[][..], Bound::Observed), (&["--passive-only"], Bound::Assumed)] {
        let mut holder = Holder::start()?;
        let often = [
            "--interval",
            "100ms",
            "--rotation",
            "100ms",
            "--snapshot-interval",
            "100ms",
        ];
        let recording = Recording::start(&[&often, option].concat())?;
        let tape = Tape::at(recording.tape());
        until("the listeners are in the tape", || {
            Ok(listener(&tape, &holder, UDP, SERVED).is_ok() && listener(&tape, &holder, TCP, holder.port).is_ok())
        })?;
        holder.close()?;
        until("the end of one is in the tape", || {
            Ok(listener(&tape, &holder, UDP, SERVED).is_ok_and(|row| row.valid_to.is_some()))
        })?;
        let ended = recording.stop(libc::SIGTERM)?;
        ended.must_be_done()?;
        let tape = Tape::at(ended.tape());
        let served = listener(&tape, &holder, UDP, SERVED)?;
        assert_eq!((served.to_bound, served.backlog), (bound, None), "{served:?}");
        let port = listener(&tape, &holder, TCP, holder.port)?;
        assert!(port.valid_to.is_none() && port.backlog > Some(0), "{port:?}");
    }
    Ok(())
}

fn without_edges() -> Outcome {
    let holder = Holder::start()?;
    let ended = Recording::start(&[])?.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    let mut rows = Tape::at(ended.tape()).rows::<SocketRow>()?;
    rows.retain(|row| row.netns == Some(holder.netns));
    let shown: BTreeSet<_> = rows
        .iter()
        .map(|row| (row.family, row.socket_type, row.protocol, row.count, row.hook))
        .collect();
    let found = |family, protocol| (family, SocketType::Raw, protocol, 0, Hook::TaskFile);
    // ICMP, and what asks for addresses.
    assert_eq!(
        shown,
        [found(SocketFamily::Inet, 1), found(SocketFamily::Packet, 0x0806)].into(),
        "{rows:?}"
    );
    Ok(())
}

fn passive() -> Outcome {
    let holder = Holder::start()?;
    let ended = Recording::start(&["--passive-only"])?.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    must_have(&Tape::at(ended.tape()), &holder, false)
}

/// What it holds already, and asks whether there is anything to read of.
const FEW: libc::rlim_t = 3;

/// Lets the recorder open files, or none.
fn let_open(recording: &Recording, files: bool) -> Outcome {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let process = libc::pid_t::try_from(recording.process())?;
    // SAFETY: live limits, and a child that was not waited for.
    unsafe {
        if libc::prlimit(process, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit) == 0 {
            limit.rlim_cur = if files { limit.rlim_max } else { FEW };
            if libc::prlimit(process, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()) == 0 {
                return Ok(());
            }
        }
    }
    Err(std::io::Error::last_os_error().into())
}

fn failing() -> Outcome {
    let often = [
        "--interval",
        "100ms",
        "--snapshot-interval",
        "100ms",
        "--rotation",
        "1h",
        "--strict",
    ];
    let mut recording = Recording::start(&often)?;
    let_open(&recording, false)?;
    recording.wait_for("read which sockets are open")?;
    let_open(&recording, true)?;
    let holder = Holder::start()?;
    let ended = recording.stop(libc::SIGTERM)?;
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let last = ended.said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("incomplete: ") && last.contains("nobody could look at the open sockets"),
        "{last}"
    );
    let tape = Tape::at(ended.tape());
    let mut stats = tape.rows::<StatsRow>()?;
    stats.retain(|row| row.counter == Counter::BlindNanos);
    assert!(!stats.is_empty(), "no blind time");
    for row in &stats {
        let length = row.interval_end.0 - row.interval_start.0;
        assert_eq!(
            (row.hook, i64::try_from(row.value)?),
            (Hook::TaskFile, length),
            "{row:?}"
        );
    }
    let manifest = tape.manifest()?;
    let node = &manifest.nodes[0];
    assert!(
        node.notes
            .iter()
            .any(|note| note.contains("looks at the open sockets failed")),
        "{:?}",
        node.notes
    );
    // What was opened afterwards is there.
    let mut flows = tape.rows::<FlowRow>()?;
    flows.retain(|row| row.netns == Some(holder.netns) && row.count > 0);
    assert!(!flows.is_empty(), "the window did not go on");
    tape.must_be_whole()
}

fn in_a_container() -> Outcome {
    let holder = Holder::start()?;
    let alone = ["unshare", "--pid", "--fork", "--kill-child=SIGTERM"];
    let recording = Recording::start_as(&alone, tempfile::tempdir()?, &["--duration", "500ms"])?;
    let ended = recording.wait()?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    let manifest = tape.manifest()?;
    let mut hooks = manifest.nodes[0].hooks.iter();
    let hook = hooks.find(|hook| hook.hook == "iter/task_file").ok_or("no such hook")?;
    let reason = hook.reason.as_deref().unwrap_or_default();
    assert_eq!(hook.state, HookState::Unavailable);
    assert!(
        reason.contains("hostPID") && ended.said.contains(reason),
        "{}",
        ended.said
    );
    assert_eq!(older(&tape, &holder, Direction::Out, holder.port)?, []);
    Ok(())
}
