//! The watch is lost: what happened meanwhile is told afterwards or is marked as unknown, and nothing comes twice.

use std::time::Duration;

use flowtape_apiserver::fault::Effect;
use flowtape_schemas::cluster::{Bound, PodRow, ServiceRow};
use flowtape_schemas::manifest::ClusterGap;
use libtest_mimic::Trial;

use crate::cluster::{everything, pod, service};
use crate::tape::{now, recording, rows, service_versions, version, wait_for};
use crate::watcher::Watcher;
use crate::{server, test};

const OBSERVED: Bound = Bound::Observed;
const DECLARED: Bound = Bound::Declared;
const ASSUMED: Bound = Bound::Assumed;

const AWAY: Effect = Effect::Refuse {
    code: 503,
    retry_after: None,
};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("a_server_that_is_gone_for_a_minute_tells_afterwards", gone_for_a_minute),
        test("after_410_everything_is_listed_and_changes_are_assumed", forgotten),
        test("a_server_that_was_away_tells_afterwards", away),
        test("a_watch_goes_on_from_a_bookmark", bookmark),
        test("a_watch_that_is_silent_beyond_its_time_is_lost", silent),
        test("a_watch_that_ends_in_time_is_no_gap", renewed),
        test("a_server_that_is_not_there_yet_is_waited_for", late),
    ]
}

fn forgotten() {
    let server = server(&everything());
    server.apply(&[service("old", 70), service("kept", 60)]).unwrap();
    let watcher = Watcher::watching(&server, &["--strict"]);
    let start = now();
    server.fault("watch", "services", None, AWAY).unwrap();
    server.tell("break").unwrap();
    watcher.wait_until_said("no watch of");
    server.apply(&[service("web", 81), service("new", 90)]).unwrap();
    server.delete(&[service("old", 70)]).unwrap();
    server.tell("compact").unwrap();
    server.tell("mend").unwrap();
    watcher.wait_until_said("all watches are there again");
    let tape = watcher.tape();
    // The line may be that of another kind, which was lost for a moment only.
    wait_for("what is listed anew", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 81)
    });
    server.apply(&[service("web", 82)]).unwrap();
    wait_for("later change", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 82)
    });
    let end = now();
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(1), "{:?}", ended.said);
    assert!(ended.verdict().starts_with("incomplete: "), "{:?}", ended.said);
    let tape = ended.tape();
    assert_eq!(
        service_versions(tape, "web"),
        [
            version("80", DECLARED, ASSUMED),
            version("81", ASSUMED, OBSERVED),
            version("82", OBSERVED, ASSUMED)
        ]
    );
    assert_eq!(service_versions(tape, "old"), [version("70", DECLARED, ASSUMED)]);
    assert_eq!(service_versions(tape, "new"), [version("90", DECLARED, ASSUMED)]);
    assert_eq!(
        service_versions(tape, "kept"),
        [version("60", DECLARED, ASSUMED)],
        "once"
    );
    let gaps = recording(tape).gaps;
    let gap = gaps.iter().find(|gap| gap.resource == "services").unwrap();
    assert!(
        !gap.caught_up && start <= gap.start && gap.start < gap.end && gap.end <= end,
        "{gap:?}"
    );
    let changed = rows::<ServiceRow>(tape)
        .into_iter()
        .find(|row| row.ports[0].port == 81)
        .unwrap();
    let from = changed.valid_from.unwrap();
    assert!(gap.start <= from && from <= end, "{from}");
}

/// The process is killed and comes back with its history: every change is there, but nobody saw when it happened.
fn away() {
    let mut server = server(&everything());
    let watcher = Watcher::watching(&server, &["--strict"]);
    server.fault("*", "services", None, AWAY).unwrap();
    server.tell("break").unwrap();
    watcher.wait_until_said("no watch of");
    server.apply(&[service("web", 81)]).unwrap();
    server.apply(&[service("web", 82)]).unwrap();
    server.kill().unwrap();
    server.restart().unwrap();
    let line = watcher.wait_until_said("all watches are there again after");
    assert!(line.ends_with(" s"), "{line}");
    let tape = watcher.tape();
    wait_for("what happened meanwhile", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 82)
    });
    server.apply(&[service("web", 83)]).unwrap();
    wait_for("later change", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 83)
    });
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    assert!(
        ended.verdict().starts_with("complete: ") && ended.verdict().contains("not watched, but told afterwards"),
        "{:?}",
        ended.said
    );
    assert_eq!(
        service_versions(ended.tape(), "web"),
        [
            version("80", DECLARED, ASSUMED),
            version("81", ASSUMED, ASSUMED),
            version("82", ASSUMED, OBSERVED),
            version("83", OBSERVED, ASSUMED)
        ]
    );
    let gaps = recording(ended.tape()).gaps;
    assert!(gaps.len() >= 12 && gaps.iter().all(|gap| gap.caught_up), "{gaps:?}");
    let warnings = ended.said.iter().filter(|line| line.starts_with("warning: "));
    assert_eq!(warnings.count(), 1, "one line for one trouble: {:?}", ended.said);
}

/// The same for as long as an API server takes to come back on another machine.
fn gone_for_a_minute() {
    const MINUTE: Duration = Duration::from_mins(1);
    let mut server = server(&everything());
    let watcher = Watcher::watching(&server, &["--strict"]);
    server.kill().unwrap();
    watcher.wait_until_said("no watch of");
    std::thread::sleep(MINUTE);
    server.restart().unwrap();
    server.apply(&[service("web", 81)]).unwrap();
    watcher.wait_until_said("all watches are there again after");
    let tape = watcher.tape();
    let is_there = || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 81)
    };
    wait_for("what happened afterwards", is_there);
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    assert!(ended.verdict().starts_with("complete: "), "{:?}", ended.said);
    let gaps = recording(ended.tape()).gaps;
    // Each watch is lost at its own moment, all of them before the minute has begun or soon after.
    let nearly = i64::try_from((MINUTE * 9 / 10).as_nanos()).unwrap();
    let is_that = |gap: &ClusterGap| gap.caught_up && gap.end.0 - gap.start.0 >= nearly;
    assert!(gaps.len() >= 12 && gaps.iter().all(is_that), "{gaps:?}");
    let warnings = ended.said.iter().filter(|line| line.starts_with("warning: "));
    assert_eq!(warnings.count(), 1, "one line for one trouble: {:?}", ended.said);
}

/// Services did not change for so long that their version is forgotten; the bookmark has a newer one.
fn bookmark() {
    let server = server(&everything());
    let watcher = Watcher::watching(&server, &["--strict"]);
    wait_for("every watch", || {
        (server.open_watches("services").unwrap() == 1).then_some(())
    });
    server.apply(&[pod("web", "10.1.0.8"), pod("web", "10.1.0.9")]).unwrap();
    server.tell("bookmark").unwrap();
    let tape = watcher.tape();
    wait_for("pods", || (rows::<PodRow>(&tape).len() >= 3).then_some(()));
    server.tell("compact").unwrap();
    server.tell("break").unwrap();
    watcher.wait_until_said("all watches are there again");
    server.apply(&[service("web", 81)]).unwrap();
    wait_for("change", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 81)
    });
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    let lists = server.tell("requests").unwrap();
    let full = |seen: &&serde_json::Value| {
        seen["verb"] == "list"
            && seen["resource"] == "services"
            && seen["query"].as_str().unwrap().contains("limit=500")
    };
    assert_eq!(lists.as_array().unwrap().iter().filter(full).count(), 1, "listed once");
}

fn silent() {
    let server = server(&everything());
    server.fault("watch", "services", Some(1), Effect::Hang).unwrap();
    let watcher = Watcher::watching(&server, &["--watch-time", "1s"]);
    server.apply(&[service("web", 81)]).unwrap();
    let tape = watcher.tape();
    wait_for("change", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 81)
    });
    let ended = watcher.stop();
    assert!(ended.verdict().starts_with("complete: "), "{:?}", ended.said);
    assert_eq!(
        service_versions(ended.tape(), "web"),
        [version("80", DECLARED, ASSUMED), version("81", ASSUMED, ASSUMED)]
    );
    let gaps = recording(ended.tape()).gaps;
    assert!(
        gaps.len() == 1 && gaps[0].caught_up && gaps[0].resource == "services",
        "{gaps:?}"
    );
    assert!(gaps[0].reason.contains("without a word"), "{gaps:?}");
}

fn renewed() {
    let server = server(&everything());
    let watcher = Watcher::watching(&server, &["--watch-time", "1s", "--strict"]);
    wait_for("third watch", || {
        let requests = server.tell("requests").unwrap();
        let is_watch = |seen: &&serde_json::Value| seen["verb"] == "watch" && seen["resource"] == "pods";
        let count = requests.as_array().unwrap().iter().filter(is_watch).count();
        (count >= 3).then_some(())
    });
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    assert!(recording(ended.tape()).gaps.is_empty());
}

fn late() {
    let mut server = server(&everything());
    server.kill().unwrap();
    let watcher = Watcher::start(&server, &[]);
    watcher.wait_until_said("no watch of");
    server.restart().unwrap();
    watcher.wait_until_said("watching ");
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    assert!(
        ended.verdict().starts_with("incomplete: "),
        "the window began before: {:?}",
        ended.said
    );
    assert_eq!(recording(ended.tape()).gaps.len(), 12);
}
