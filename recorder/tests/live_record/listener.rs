//! Listeners that come and go faster than anybody wants to read of.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use flowtape_recorder_ebpf::abi::quota::LISTENERS;
use flowtape_schemas::node::{Counter, EventKind, EventRow, Hook, ListenRow, StatsRow};

use crate::recording::Recording;
use crate::tape::Tape;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("a_resolver_with_a_port_for_each_question_is_few_rows", resolver),
    ("a_resolver_takes_no_more_where_few_events_are_wanted", resolver_thinned),
];

/// How many ports it binds.
const QUESTIONS: u16 = 700;

/// Binds a port of its own choosing for each of its questions, in a network namespace of its own; gives its number.
fn ask() -> Outcome<u32> {
    let asked = thread::spawn(|| -> std::io::Result<u64> {
        // SAFETY: no pointers are involved; this thread alone changes its namespace.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        for port in 20_000..20_000 + QUESTIONS {
            drop(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?);
        }
        Ok(std::fs::metadata("/proc/thread-self/ns/net")?.ino())
    });
    let netns = asked.join().map_err(|_panic| "the resolver panicked")??;
    Ok(u32::try_from(netns)?)
}

/// What is written of it: rows with a port, and those without; checks that none is missing from the count.
fn check(tape: &Tape, netns: u32) -> Outcome {
    let mut rows = tape.rows::<ListenRow>()?;
    rows.retain(|row| row.netns == Some(netns));
    let (folded, own): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.port == 0);
    assert_eq!(own.len(), usize::try_from(LISTENERS)?, "{folded:?}");
    let [folded] = folded.as_slice() else {
        return Err(format!("not one row for the others: {folded:?}").into());
    };
    assert!(
        folded.valid_from.is_some() && folded.valid_from < folded.valid_to,
        "{folded:?}"
    );
    assert_eq!(
        (folded.protocol, folded.hook, folded.local_ip),
        (17, Hook::PostBind4, None)
    );
    let mut stats = tape.rows::<StatsRow>()?;
    stats.retain(|row| (row.hook, row.counter) == (Hook::PostBind4, Counter::Folded));
    let counted: u64 = stats.iter().map(|row| row.value).sum();
    // Others on this machine may have been as busy.
    assert!(counted >= u64::from(QUESTIONS) - LISTENERS, "{counted} counted");
    tape.must_be_whole()
}

fn resolver() -> Outcome {
    let recording = Recording::start(&[])?;
    let netns = ask()?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    check(&Tape::at(ended.tape()), netns)
}

fn resolver_thinned() -> Outcome {
    let recording = Recording::start(&["--events", "first:8"])?;
    let netns = ask()?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    check(&tape, netns)?;
    let mut events = tape.rows::<EventRow>()?;
    events.retain(|row| row.netns == Some(netns) && matches!(row.kind, EventKind::Bind | EventKind::Unlisten));
    let most = 2 * usize::try_from(LISTENERS)? + 8;
    assert!(events.len() <= most, "{} events of {QUESTIONS} questions", events.len());
    Ok(())
}
