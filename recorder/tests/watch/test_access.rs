//! Who may read what, and where.

use std::collections::BTreeSet;

use flowtape_apiserver::fault::Effect;
use flowtape_apiserver::resource::Resource;
use flowtape_recorder::watch::{VERBS, WATCHED};
use flowtape_schemas::cluster::{NodeRow, PodRow, WorkloadRow};
use libtest_mimic::Trial;
use serde::Deserialize as _;
use serde_json::Value;

use crate::cluster::{everything, new_pod};
use crate::tape::{recording, rows, wait_for};
use crate::watcher::Watcher;
use crate::{server, test};

const FORBIDDEN: Effect = Effect::Refuse {
    code: 403,
    retry_after: None,
};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("a_missing_right_is_named_and_the_others_go_on", one_right),
        test("without_any_right_there_is_nothing_to_watch", no_right),
        test("only_the_named_namespaces_are_asked_for", namespaces),
        test("exactly_what_is_granted_is_asked_for", read_only),
        test("the_manifests_grant_what_is_watched_and_nothing_else", granted),
        test(
            "a_kubeconfig_that_leads_nowhere_is_said_before_anything_is_touched",
            nowhere,
        ),
    ]
}

fn one_right() {
    let server = server(&everything());
    server.fault("*", "jobs", None, FORBIDDEN).unwrap();
    server.fault("watch", "nodes", None, FORBIDDEN).unwrap();
    let watcher = Watcher::watching(&server, &["--strict"]);
    watcher.wait_until_said("cannot list `jobs`: 403");
    watcher.wait_until_said("cannot watch `nodes`: 403");
    let ended = watcher.stop();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.verdict().starts_with("incomplete: ") && ended.verdict().contains("`jobs` cannot list"),
        "{:?}",
        ended.said
    );
    let unread: Vec<(String, String)> = recording(ended.tape())
        .unread
        .into_iter()
        .map(|unread| (unread.resource, unread.reason))
        .collect();
    assert_eq!(unread.len(), 2, "{unread:?}");
    assert!(
        unread[0].0 == "jobs" && unread[0].1.starts_with("cannot list: 403"),
        "{unread:?}"
    );
    assert!(
        unread[1].0 == "nodes" && unread[1].1.starts_with("cannot watch: 403"),
        "{unread:?}"
    );
    assert_eq!(rows::<WorkloadRow>(ended.tape()).len(), 5);
    assert_eq!(rows::<NodeRow>(ended.tape()).len(), 1, "what was listed stays");
}

fn no_right() {
    let server = server(&everything());
    server.fault("*", "*", None, FORBIDDEN).unwrap();
    let watcher = Watcher::start(&server, &[]);
    let tape = watcher.tape();
    let ended = watcher.end();
    assert_eq!(ended.code, Some(2), "{:?}", ended.said);
    assert!(
        ended.verdict().contains("lets nothing be listed: 403"),
        "{:?}",
        ended.said
    );
    assert!(!tape.exists());
}

fn namespaces() {
    let server = server(&everything());
    server.apply(&[new_pod("far", "other")]).unwrap();
    let watcher = Watcher::watching(&server, &["--namespaces", "shop,none"]);
    wait_for("watches", || (server.open_watches("pods").unwrap() == 2).then_some(()));
    let ended = watcher.stop();
    let pods: Vec<String> = rows::<PodRow>(ended.tape()).into_iter().map(|row| row.name).collect();
    assert_eq!(pods, ["web"]);
    assert_eq!(rows::<NodeRow>(ended.tape()).len(), 1);
    let requests = server.tell("requests").unwrap();
    for seen in requests.as_array().unwrap() {
        let (path, query) = (seen["path"].as_str().unwrap(), seen["query"].as_str().unwrap());
        let is_inside = path.contains("/namespaces/shop/") || path.contains("/namespaces/none/");
        let is_one = path.ends_with("/namespaces") && query.contains("fieldSelector=metadata.name%3D");
        assert!(is_inside || is_one || path.ends_with("/nodes"), "{seen}");
    }
}

fn read_only() {
    let server = server(&everything());
    Watcher::watching(&server, &[]).stop();
    let requests = server.tell("requests").unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let asked: BTreeSet<(String, String)> = requests
        .as_array()
        .unwrap()
        .iter()
        .map(|seen| (word(&seen["resource"]), word(&seen["verb"])))
        .collect();
    // Each is granted, and each that is granted is used.
    let granted = WATCHED
        .iter()
        .flat_map(|resource| VERBS.map(|verb| (resource.plural, verb)));
    let granted = granted.map(|(plural, verb)| (plural.to_owned(), verb.to_owned()));
    assert_eq!(asked, granted.collect());
    for resource in WATCHED {
        let known = Resource::of_object(&resource.api_version(), resource.kind).unwrap();
        assert_eq!((known.plural, known.namespaced), (resource.plural, resource.namespaced));
    }
}

fn granted() {
    let manifests = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base.yaml")).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&manifests);
    let mut roles = documents
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| object["kind"] == "ClusterRole");
    let role = roles.next().unwrap();
    assert!(roles.next().is_none(), "there is one");
    let texts = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
    let mut found = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        assert_eq!(texts(&rule["verbs"]), VERBS, "{rule}");
        for group in texts(&rule["apiGroups"]) {
            found.extend(
                texts(&rule["resources"])
                    .into_iter()
                    .map(|plural| (group.clone(), plural)),
            );
        }
    }
    found.sort();
    let mut wanted = WATCHED.map(|resource| (resource.group.to_owned(), resource.plural.to_owned()));
    wanted.sort();
    assert_eq!(found, wanted);
}

fn nowhere() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("kubeconfig");
    for (text, says) in [
        (None, "No such file"),
        (Some("clusters: ["), "cannot read"),
        (Some("{}"), "does not lead to a cluster"),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let watcher = Watcher::with(&file, &[]);
        let tape = watcher.tape();
        let ended = watcher.end();
        assert_eq!(ended.code, Some(2));
        let said = ended.said.join("\n");
        assert!(said.starts_with("error: ") && said.contains(says), "{said}");
        assert!(!tape.exists());
    }
}
