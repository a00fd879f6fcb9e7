//! Nothing goes wrong: what is written, and what never is.

use flowtape_schemas::cluster::{
    Bound, ContainerRow, EndpointSliceRow, NamespaceRow, NetworkPolicyRow, NodeRow, PodRow, ServiceRow, WorkloadRow,
};
use flowtape_schemas::manifest::ClusterSource;
use flowtape_schemas::time::Time;
use libtest_mimic::Trial;
use serde_json::json;

use crate::cluster::{CANARY, STARTED, everything, new_pod, pod, service};
use crate::tape::{files, now, pod_versions, recording, rows, service_versions, sound_manifest, version, wait_for};
use crate::watcher::Watcher;
use crate::{server, test};

const OBSERVED: Bound = Bound::Observed;
const DECLARED: Bound = Bound::Declared;
const ASSUMED: Bound = Bound::Assumed;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("every_change_is_a_version_with_observed_ends", every_change),
        test("a_pod_holds_its_address_from_its_declared_start", declared_times),
        test("nothing_outside_the_allow_list_is_in_any_file", canary),
        test("what_was_finished_before_a_kill_opens", killed),
        test("a_window_ends_by_itself", window),
        test("five_thousand_pods_come_in_pages_and_stay_small", many),
    ]
}

fn every_change() {
    let server = server(&everything());
    let watcher = Watcher::watching(&server, &[]);
    let tape = watcher.tape();
    let before = now();
    server.apply(&[service("web", 81)]).unwrap();
    server.apply(&[service("api", 90)]).unwrap();
    wait_for("second service", || {
        rows::<ServiceRow>(&tape).iter().find(|row| row.name == "api").cloned()
    });
    let between = now();
    server.delete(&[service("web", 81)]).unwrap();
    wait_for("end of the first", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 81 && row.valid_to.is_some())
    });
    let after = now();
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    assert!(ended.verdict().starts_with("complete: "), "{:?}", ended.said);
    assert!(ended.said.contains(&"stopped as asked".to_owned()));
    let tape = ended.tape();
    assert_eq!(
        service_versions(tape, "web"),
        [version("80", DECLARED, OBSERVED), version("81", OBSERVED, OBSERVED)]
    );
    assert_eq!(service_versions(tape, "api"), [version("90", DECLARED, ASSUMED)]);
    let changed = rows::<ServiceRow>(tape)
        .into_iter()
        .find(|row| row.ports[0].port == 81)
        .unwrap();
    let (from, to) = (changed.valid_from.unwrap(), changed.valid_to.unwrap());
    assert!(
        before <= from && from <= between && between <= to && to <= after,
        "{from} {to}"
    );
    let recording = recording(tape);
    assert_eq!(recording.source, ClusterSource::Watch);
    assert!(recording.gaps.is_empty() && recording.unread.is_empty());
    let counts = [
        rows::<NamespaceRow>(tape).len(),
        rows::<NodeRow>(tape).len(),
        rows::<PodRow>(tape).len(),
        rows::<ContainerRow>(tape).len(),
        rows::<EndpointSliceRow>(tape).len(),
        rows::<NetworkPolicyRow>(tape).len(),
        rows::<WorkloadRow>(tape).len(),
    ];
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 6], "one version of everything else");
}

fn declared_times() {
    let server = server(&[]);
    let watcher = Watcher::watching(&server, &[]);
    let tape = watcher.tape();
    let has = |phase: &'static str| {
        let tape = tape.clone();
        move || rows::<PodRow>(&tape).into_iter().find(|row| row.phase == phase)
    };
    server.apply(&[new_pod("job", "shop")]).unwrap();
    let made = wait_for("new pod", has("Pending")).valid_from.unwrap();
    let mut running = pod("job", "10.1.0.7");
    let start = now();
    running["status"]["startTime"] = json!(start.to_string());
    server.apply(&[running.clone()]).unwrap();
    wait_for("running pod", has("Running"));
    let end = now();
    running["status"]["phase"] = json!("Succeeded");
    running["status"]["containerStatuses"][0]["state"] =
        json!({"terminated": {"finishedAt": end.to_string(), "message": CANARY}});
    server.apply(&[running.clone()]).unwrap();
    wait_for("pod that ended", has("Succeeded"));
    server.delete(&[running]).unwrap();
    let gone = || {
        rows::<PodRow>(&tape)
            .into_iter()
            .find(|row| row.phase == "Succeeded" && row.valid_to.is_some())
    };
    wait_for("removed pod", gone);
    let ended = watcher.stop();
    let tape = ended.tape();
    assert_eq!(
        pod_versions(tape, "job"),
        [
            version("Pending", OBSERVED, DECLARED),
            version("Running", DECLARED, DECLARED),
            version("Succeeded", DECLARED, DECLARED)
        ]
    );
    let found: Vec<PodRow> = rows(tape);
    let row = found.iter().find(|row| row.phase == "Running").unwrap();
    assert!(made < start);
    assert_eq!((row.valid_from, row.valid_to), (Some(start), Some(end)));
    let containers: Vec<ContainerRow> = rows(tape);
    let with_id = containers
        .iter()
        .find(|row| row.container_id.as_deref() == Some("id-job"))
        .unwrap();
    assert_eq!(with_id.valid_from, Some(start));
}

/// Also while it is being written, and although the server gives everything away.
fn canary() {
    let server = server(&everything());
    let watcher = Watcher::watching(&server, &[]);
    let mut searched = 0;
    let mut search = |tape: &std::path::Path| {
        for file in files(tape) {
            // A file that was being written may have its name by now.
            let Ok(bytes) = std::fs::read(&file) else { continue };
            let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!found, "the canary reached {}", file.display());
            searched += 1;
        }
    };
    for round in 0..40 {
        server.apply(&[pod("web", &format!("10.1.0.{}", round + 1))]).unwrap();
        search(&watcher.tape());
    }
    let ended = watcher.stop();
    let tape = ended.tape();
    search(tape);
    assert!(searched > 8, "{searched}");
    assert!(!format!("{:?}", ended.said).contains(CANARY), "nor the terminal");
    // Files are compressed: the rows must not hold it either.
    let texts = [
        format!("{:?}", rows::<NamespaceRow>(tape)),
        format!("{:?}", rows::<NodeRow>(tape)),
        format!("{:?}", rows::<PodRow>(tape)),
        format!("{:?}", rows::<ContainerRow>(tape)),
        format!("{:?}", rows::<ServiceRow>(tape)),
        format!("{:?}", rows::<EndpointSliceRow>(tape)),
        format!("{:?}", rows::<NetworkPolicyRow>(tape)),
        format!("{:?}", rows::<WorkloadRow>(tape)),
    ];
    for text in texts {
        assert!(text.len() > 100 && !text.contains(CANARY), "{text}");
    }
}

fn killed() {
    let server = server(&everything());
    let watcher = Watcher::watching(&server, &[]);
    let tape = watcher.tape();
    server.apply(&[service("web", 81)]).unwrap();
    wait_for("change", || {
        rows::<ServiceRow>(&tape)
            .into_iter()
            .find(|row| row.ports[0].port == 81)
    });
    let ended = watcher.kill();
    let tape = ended.tape();
    assert!(!tape.join("manifest.json").exists(), "which says that it is incomplete");
    assert_eq!(rows::<PodRow>(tape).len(), 1);
    assert_eq!(
        service_versions(tape, "web"),
        [version("80", DECLARED, OBSERVED), version("81", OBSERVED, ASSUMED)]
    );
}

fn window() {
    let server = server(&everything());
    let ended = Watcher::start(&server, &["--duration", "2s", "--strict"]).end();
    assert_eq!(ended.code, Some(0), "{:?}", ended.said);
    assert!(
        ended.said[0].starts_with("watching 12 objects through 12 watches"),
        "{:?}",
        ended.said
    );
    assert!(
        ended.verdict().starts_with("complete: 13 versions, 12 objects"),
        "{:?}",
        ended.said
    );
    let start: Time = STARTED.parse().unwrap();
    let pods = rows::<PodRow>(ended.tape());
    assert_eq!((pods[0].valid_from, pods[0].from_bound), (Some(start), DECLARED));
}

fn many() {
    let pods: Vec<_> = (0..5_000_u32)
        .map(|number| {
            pod(
                &format!("pod-{number:04}"),
                &format!("10.{}.{}.1", number / 250, number % 250),
            )
        })
        .collect();
    let server = server(&pods);
    let watcher = Watcher::watching(&server, &[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", watcher.pid())).unwrap_or_default();
    let ended = watcher.stop();
    assert!(
        ended.verdict().starts_with("complete: 10000 versions, 5000 objects"),
        "{:?}",
        ended.said
    );
    assert_eq!(sound_manifest(ended.tape()).files.len(), 8);
    let pages = server.tell("requests").unwrap();
    let lists = pages
        .as_array()
        .unwrap()
        .iter()
        .filter(|seen| seen["verb"] == "list" && seen["resource"] == "pods");
    assert_eq!(lists.count(), 10);
    let peak = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    if let Some(kibibytes) = peak {
        assert!(kibibytes < 256 << 10, "{kibibytes} KiB at most");
    }
}
