//! What a recording leaves behind: on the machine nothing, after a kill whole files, and of what must not be told nothing.

use std::process::Command;
use std::time::{Duration, SystemTime};

use flowtape_schemas::node::{ClockRow, Direction, EventRow, FlowRow};
use flowtape_schemas::pseudonym::is_pseudonym;
use flowtape_schemas::validate::check_file;

use crate::recording::{Recording, files};
use crate::tape::Tape;
use crate::worker::Worker;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("twenty_kills_leave_whole_files_and_cost_one_rotation_at_most", kills),
    ("rules_routes_and_pinned_objects_stay_as_they_were", untouched),
    ("a_redacted_tape_names_no_process_and_no_address_outside", redacted),
];

/// What a kill may cost beyond one rotation on a machine that is busy with other things.
const SLACK: Duration = Duration::from_secs(3);

fn kills() -> Outcome {
    // A linear congruential generator (Knuth, MMIX): the moments differ, and are the same every time.
    let mut state = 20_u64;
    for moment in 0..20 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let recording = Recording::start(&["--rotation", "50ms", "--interval", "20ms"])?;
        let _worker = (moment % 4 == 0).then(|| Worker::connects(1, 20)).transpose()?;
        std::thread::sleep(Duration::from_millis(state >> 56));
        let killed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let ended = recording.stop(libc::SIGKILL)?;
        let tape = Tape::at(ended.tape());
        assert!(!tape.path().join("manifest.json").exists());
        for file in files(tape.path(), ".parquet")? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let table = name.rsplit_once('-').map_or("", |(table, _)| table);
            let problems = check_file(table, &std::fs::read(&file)?.into(), None);
            assert!(problems.is_empty(), "moment {moment}, {name}: {problems:?}");
        }
        let samples: Vec<ClockRow> = tape.rows()?;
        if let Some(last) = samples.iter().map(|row| row.wall_time).max() {
            let lost = killed.saturating_sub(Duration::from_nanos(last.0.max(0).unsigned_abs()));
            assert!(
                lost < Duration::from_millis(50) + SLACK,
                "moment {moment}: {lost:?} lost"
            );
        }
    }
    Ok(())
}

fn untouched() -> Outcome {
    let home = tempfile::tempdir()?;
    let script = "set -e
        ip link set lo up
        ip route add 10.99.0.0/16 dev lo
        nft add table inet kept
        nft add chain inet kept input '{ type filter hook input priority 0; }'
        nft add rule inet kept input tcp dport 4444 drop
        show() {
            ip route show table all; ip -6 route show table all; ip rule show; nft list ruleset
            if command -v iptables-save > /dev/null; then iptables-save; ip6tables-save; fi
            tc qdisc show; find /sys/fs/bpf
        }
        show > \"$1/before\"
        \"$2\" record --node n1 --duration 1s -o \"$1/tape\"
        show > \"$1/after\"";
    let done = Command::new("unshare")
        .args(["--net", "sh", "-c", script, "sh"])
        .arg(home.path())
        .arg(env!("CARGO_BIN_EXE_flowtape-recorder"))
        .output()?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = |name| std::fs::read_to_string(home.path().join(name));
    let (before, after) = (text("before")?, text("after")?);
    assert!(
        before.contains("tcp dport 4444 drop") && before.contains("10.99.0.0/16"),
        "{before}"
    );
    assert_eq!(before, after);
    Ok(())
}

fn redacted() -> Outcome {
    let outside = "203.0.113.7";
    let recording = Recording::start(&["--redact"])?;
    let worker = Worker::reaches(outside)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_done()?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    assert!(tape.manifest()?.nodes[0].is_redacted());
    let flows: Vec<FlowRow> = tape.rows()?;
    let events: Vec<EventRow> = tape.rows()?;
    let own = |row: &&FlowRow| row.cgroup_id == Some(worker.cgroup_id);
    let addresses = |direction| {
        let rows = flows.iter().filter(own).filter(move |row| row.direction == direction);
        let ends = rows.flat_map(|row| [row.local_ip, row.remote_ip]).flatten();
        ends.filter(|ip| is_pseudonym(*ip))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (clients, servers) = (addresses(Direction::Out), addresses(Direction::In));
    assert_eq!(
        (clients.len(), &clients),
        (1, &servers),
        "one pseudonym for one address"
    );
    let in_events = events.iter().flat_map(|row| [row.local_ip, row.remote_ip]).flatten();
    let mut in_all = flows
        .iter()
        .flat_map(|row| [row.local_ip, row.remote_ip])
        .flatten()
        .chain(in_events);
    assert!(in_all.all(|ip| ip.to_string() != outside));
    assert!(events.iter().any(|row| row.cgroup_id == Some(worker.cgroup_id)));
    assert!(events.iter().all(|row| row.process.is_none()));
    Ok(())
}
