//! Single requests and streams go wrong.

use std::time::{Duration, Instant};

use flowtape_apiserver::fault::Effect;
use flowtape_schemas::cluster::{Bound, PodRow, ServiceRow};
use libtest_mimic::Trial;
use serde_json::json;

use crate::cluster::{everything, pod, service};
use crate::tape::{recording, rows, service_versions, version, wait_for};
use crate::watcher::Watcher;
use crate::{server, test};

const OBSERVED: Bound = Bound::Observed;
const DECLARED: Bound = Bound::Declared;
const ASSUMED: Bound = Bound::Assumed;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("a_busy_server_is_left_alone_as_long_as_it_asks", busy),
        test("a_list_that_expires_on_the_way_begins_anew", expired_page),
        test("slow_answers_are_waited_for", slow),
        test("a_line_cut_in_the_middle_is_read_again_whole", cut),
        test("events_that_come_twice_count_once", twice),
        test("an_event_that_was_overtaken_does_not_lead_back", overtaken),
        test("an_error_in_the_stream_is_no_event", error_event),
        test("a_line_that_is_no_event_is_asked_for_again", garbage),
        test("an_object_of_another_shape_is_named_and_left_out", shapeless),
    ]
}

fn busy() {
    let server = server(&everything());
    let busy = Effect::Refuse {
        code: 429,
        retry_after: Some(3),
    };
    server.fault("list", "services", Some(1), busy).unwrap();
    let begun = Instant::now();
    let watcher = Watcher::watching(&server, &[]);
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    let ended = watcher.stop();
    assert_eq!(rows::<ServiceRow>(ended.tape()).len(), 1);
    let gaps = recording(ended.tape()).gaps;
    assert!(gaps.len() == 1 && gaps[0].reason.starts_with("429"), "{gaps:?}");
}

fn expired_page() {
    let pods: Vec<_> = (0..1_100_u32)
        .map(|number| {
            pod(
                &format!("pod-{number:04}"),
                &format!("10.1.{}.{}", number / 250, number % 250),
            )
        })
        .collect();
    let server = server(&pods);
    let gone = Effect::Refuse {
        code: 410,
        retry_after: None,
    };
    server.fault_after(1, "list", "pods", Some(1), gone).unwrap();
    let ended = Watcher::watching(&server, &[]).stop();
    assert_eq!(rows::<PodRow>(ended.tape()).len(), 1_100, "each once");
}

fn slow() {
    let server = server(&everything());
    server
        .fault("list", "*", Some(12), Effect::Delay { millis: 1_500 })
        .unwrap();
    server
        .fault("watch", "*", Some(12), Effect::Delay { millis: 1_500 })
        .unwrap();
    let watcher = Watcher::watching(&server, &["--strict"]);
    server.apply(&[service("web", 81)]).unwrap();
    let tape = watcher.tape();
    wait_for("change", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 81)
    });
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    assert!(recording(ended.tape()).gaps.is_empty());
}

/// Starts a watcher whose watch of services has a fault, changes the port of one to 81 and 82, and gives its versions.
fn versions_under(effect: Effect) -> (Vec<crate::tape::Version>, Vec<String>) {
    let server = server(&everything());
    server.fault("watch", "services", Some(1), effect).unwrap();
    let watcher = Watcher::watching(&server, &["--strict"]);
    wait_for("watch", || {
        (server.open_watches("services").unwrap() == 1).then_some(())
    });
    server.apply(&[service("web", 81), service("web", 82)]).unwrap();
    let tape = watcher.tape();
    let last = || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 82)
    };
    wait_for("last change", last);
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    (service_versions(ended.tape(), "web"), ended.said)
}

fn cut() {
    let (versions, said) = versions_under(Effect::BreakAfter { events: 1 });
    assert_eq!(
        versions,
        [
            version("80", DECLARED, OBSERVED),
            version("81", OBSERVED, ASSUMED),
            version("82", ASSUMED, ASSUMED)
        ]
    );
    assert!(
        said.iter().any(|line| line.contains("no watch of `services`")),
        "{said:?}"
    );
}

fn twice() {
    let (versions, _) = versions_under(Effect::Duplicate);
    assert_eq!(
        versions,
        [
            version("80", DECLARED, OBSERVED),
            version("81", OBSERVED, OBSERVED),
            version("82", OBSERVED, ASSUMED)
        ]
    );
}

fn overtaken() {
    let (versions, _) = versions_under(Effect::Reorder);
    assert_eq!(
        versions,
        [version("80", DECLARED, OBSERVED), version("82", OBSERVED, ASSUMED)]
    );
    // A change that arrives after the end of its object.
    let server = server(&everything());
    server.fault("watch", "services", Some(1), Effect::Reorder).unwrap();
    let watcher = Watcher::watching(&server, &[]);
    wait_for("watch", || {
        (server.open_watches("services").unwrap() == 1).then_some(())
    });
    server.apply(&[service("web", 81)]).unwrap();
    server.delete(&[service("web", 81)]).unwrap();
    let tape = watcher.tape();
    wait_for("end", || {
        rows::<ServiceRow>(&tape).into_iter().find(|row| row.valid_to.is_some())
    });
    let ended = watcher.stop();
    let found = rows::<ServiceRow>(ended.tape());
    assert!(
        found.iter().all(|row| row.valid_to.is_some()),
        "none lives on: {found:?}"
    );
}

fn error_event() {
    let (versions, said) = versions_under(Effect::ErrorEvent { code: 500 });
    assert_eq!(versions.len(), 3, "{versions:?}");
    assert!(
        said.iter().any(|line| line.contains("500: an error as ordered")),
        "{said:?}"
    );
}

fn garbage() {
    let line = "{\"type\":\"ADDED\",\"object\":{]}".to_owned();
    let (versions, said) = versions_under(Effect::Garbage { line });
    assert_eq!(versions.len(), 3, "{versions:?}");
    assert!(said.iter().any(|line| line.contains("not understood")), "{said:?}");
}

fn shapeless() {
    let mut odd = service("odd", 80);
    odd["spec"]["ports"] = json!([{"port": "many"}]);
    let server = server(&everything());
    server.apply(&[odd]).unwrap();
    let ended = Watcher::watching(&server, &["--strict"]).stop();
    assert_eq!(ended.code, Some(1));
    assert!(ended.verdict().contains("Service `shop/odd`"), "{:?}", ended.said);
    assert_eq!(recording(ended.tape()).unread[0].resource, "services");
    assert_eq!(rows::<ServiceRow>(ended.tape()).len(), 1);
}
