//! More than the ring buffer holds: edges and counts stay exact, and every event is either there or counted as lost.

use std::collections::BTreeMap;
use std::path::Path;

use flowtape::findings::Code;
use flowtape_schemas::node::{Counter, EventRow, Hook};
use flowtape_schemas::parquet::decode_file;

use crate::compare::same_edges;
use crate::recorded::{Opened, Recorded, Shared, traffic};
use crate::{Case, Outcome, scenario};

pub(crate) const CASES: &[Case] = &[("one_page_of_ring_buffer_loses_events_and_no_edge", one_page)];

/// Two thousand connections, a tenth of which nobody takes; made twice.
const BURST: &str = "window 30s
cluster
  node n1 172.31.0.11 fd00:172:31::11 pods 10.244.1.0/24 fd00:10:244:1::/64
  node n2 172.31.0.12 fd00:172:31::12 pods 10.244.2.0/24 fd00:10:244:2::/64 cgroups systemd
  deployment burst/client replicas 2 on n1,n2 labels app=client
  deployment burst/server replicas 2 on n2,n1 labels app=server ports http:8080
  service burst/server 10.96.0.20,fd00:10:96::14 selects app=server ports 80->http
traffic
  burst/client/0 -> service burst/server:80 x700
  burst/client/1 -> service burst/server:80 x500 ipv6
  burst/client -> burst/server/0:8080 x600
  burst/client -> burst/server/1:8081 x200 refused";

/// How often to try: an edge that was missed because its program was running on that processor is one that the recording
/// says it lacks, and all that can be asked then is that it says so.
const TRIES: usize = 5;

fn one_page(_: &Shared) -> Outcome<String> {
    for _ in 0..TRIES {
        let recorded = record()?;
        recorded.check_complete()?;
        let compiled = Opened::directory(recorded.compiled()?)?;
        let same = same_edges(&recorded.opened, &compiled, 2);
        if same.is_err() && recorded.missed() > 0 {
            continue;
        }
        let (edges, _) = same?;
        if !recorded.opened.findings.has(Code::EventsLost) {
            return Err("no finding says that events were lost".into());
        }
        let events = events(&recorded.recording())?;
        machine_adds_up(&recorded, &events)?;
        let (counted, sampled) = lab_adds_up(&recorded, &events)?;
        let missed = recorded.missed();
        return Ok(format!(
            "{edges} edges, {counted} operations, {sampled} with an event, {missed} interruptions"
        ));
    }
    Err(format!("{TRIES} times a program was interrupted by itself where an edge was").into())
}

/// The first half runs against a recorder that reads as fast as it can, the second against one that is stopped, so that
/// nearly all of its events find no room whatever the machine does meanwhile.
fn record() -> Outcome<Recorded> {
    // SAFETY: asks for a number, without any pointer.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.to_string();
    let options = ["--ring-bytes", &page, "--interval", "500ms"];
    Recorded::during(scenario::live(BURST)?, &options, |lab, recorder| {
        traffic(lab)?;
        recorder.pause()?;
        let second = traffic(lab);
        recorder.resume()?;
        second
    })
}

/// All rows of table `events`.
fn events(recording: &Path) -> Outcome<Vec<EventRow>> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(recording.join("node=lab"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("events-") {
            rows.extend(decode_file::<EventRow>(std::fs::read(entry.path())?.into())?);
        }
    }
    Ok(rows)
}

/// Whatever else the machine did: each TCP transition that the kernel handled is in `events` or counted as lost, to the last
/// one. The other hooks have sums of their own.
fn machine_adds_up(recorded: &Recorded, events: &[EventRow]) -> Outcome {
    let mut sums: BTreeMap<Counter, u64> = BTreeMap::new();
    let stats = recorded.machine.nodes.iter().flat_map(|node| &node.stats);
    for row in stats.filter(|row| matches!(row.hook, Hook::SetState | Hook::Writer)) {
        *sums.entry(row.counter).or_default() += row.value;
    }
    let sum = |counter| sums.get(&counter).copied().unwrap_or_default();
    let operations = sum(Counter::Invocations) - sum(Counter::Filtered);
    let lost = sum(Counter::RingFull) + sum(Counter::WriterDropped) + sum(Counter::SteppedDown);
    let events = u64::try_from(events.iter().filter(|row| row.hook == Hook::SetState).count())?;
    if events + lost != operations {
        return Err(format!("{events} events and {lost} lost are not {operations} operations: {sums:?}").into());
    }
    let flows = recorded.machine.nodes.iter().flat_map(|node| &node.flows);
    let transitions = flows.filter(|row| row.hook == Hook::SetState);
    let counted: u64 = transitions.map(|row| row.count).sum();
    if counted != sum(Counter::Counted) {
        return Err(format!("`flows` counts {counted}: {sums:?}").into());
    }
    Ok(())
}

/// Of the lab's own operations those that `flows` says were sampled are in `events`, and the stopped recorder's half is not.
fn lab_adds_up(recorded: &Recorded, events: &[EventRow]) -> Outcome<(u64, u64)> {
    let ids = recorded.groups.ids(&recorded.machine);
    let own = |row: &&EventRow| row.outcome.is_some() && row.cgroup_id.is_some_and(|id| ids.contains(&id));
    let rows = u64::try_from(events.iter().filter(own).count())?;
    let flows: Vec<_> = recorded.opened.tape.nodes.iter().flat_map(|node| &node.flows).collect();
    let (counted, samples) = flows.iter().fold((0, 0), |(counted, samples), row| {
        (counted + row.count, samples + row.samples)
    });
    if rows != samples {
        return Err(format!("{rows} events of the lab, {samples} by its flows").into());
    }
    // A refused connection has one end that records, an established one two.
    if counted != 2 * (2 * 1800 + 200) {
        return Err(format!("{counted} operations of the lab").into());
    }
    if samples > counted / 2 + 100 {
        return Err(
            format!("{samples} of {counted} events came through one page of which nobody read half the time").into(),
        );
    }
    Ok((counted, samples))
}
