use super::{Progress, Stage, Unit};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

fn pod(name: &str, more: &Value) -> Pod {
    let mut pod = json!({"metadata": {"name": name, "labels": {"app.kubernetes.io/component": "node"}},
        "spec": {"nodeName": "n1", "containers": []}});
    for (field, value) in more.as_object().unwrap() {
        for (name, value) in value.as_object().unwrap() {
            pod[field][name] = value.clone();
        }
    }
    serde_json::from_value(pod).unwrap()
}

fn running(ready: bool, restarts: u32) -> Value {
    json!({"status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        "containerStatuses": [{"name": "recorder", "image": "i", "imageID": "", "ready": ready, "started": true,
            "restartCount": restarts, "state": {"running": {}}}]}})
}

fn member(progress: &Progress) -> &super::Member {
    &progress.members[&Unit::Node("n1".to_owned())]
}

#[test]
fn a_container_that_has_just_begun_is_not_lost() {
    let mut progress = Progress::default();
    assert!(progress.look(&[pod("p", &running(false, 0))]).is_empty());
    assert_eq!(member(&progress).stage, Stage::Waiting);
    assert_eq!(progress.look(&[pod("p", &running(true, 0))]), ["node n1: records"]);
    assert!(
        progress.look(&[pod("p", &running(true, 0))]).is_empty(),
        "what is not new is not said"
    );
    assert_eq!(
        progress.look(&[pod("p", &running(false, 0))]),
        ["node n1: its node was lost: nothing was heard of it"]
    );
    assert_eq!(
        progress.look(&[pod("p", &running(true, 0))]),
        ["node n1: is seen again"]
    );
    assert_eq!(member(&progress).troubles.len(), 1);
}

#[test]
fn a_restart_and_a_replacement_are_troubles() {
    let mut progress = Progress::default();
    progress.look(&[pod("p", &running(true, 0))]);
    progress.look(&[pod("p", &running(true, 1))]);
    progress.look(&[pod("q", &running(true, 0))]);
    let troubles = &member(&progress).troubles;
    assert_eq!(troubles.len(), 2, "{troubles:?}");
    assert!(troubles[1].contains("replaced"), "{troubles:?}");
}

#[test]
fn words_of_the_cluster_move_no_terminal() {
    let mut progress = Progress::default();
    let evicted =
        json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "low\u{1b}[2J\nnode n2: records"}});
    let news = progress.look(&[pod("p", &evicted)]);
    assert_eq!(
        news,
        ["node n1: does not record: its pod was evicted: low [2J node n2: records"]
    );
}

#[test]
fn everybody_is_waited_for_but_those_who_cannot() {
    let mut progress = Progress::default();
    let mut watcher = pod("w", &running(true, 0));
    let labels = watcher.metadata.labels.as_mut().unwrap();
    labels.insert("app.kubernetes.io/component".to_owned(), "watcher".to_owned());
    progress.look(&[pod("p", &running(true, 0))]);
    assert!(!progress.is_settled(1), "the watcher has no pod yet");
    progress.look(&[pod("p", &running(true, 0)), watcher.clone()]);
    assert!(progress.is_settled(1) && !progress.is_settled(2));
    let image = json!({"spec": {"nodeName": "n2"}, "status": {"phase": "Pending", "containerStatuses": [{"name": "recorder",
        "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}});
    let news = progress.look(&[pod("p", &running(true, 0)), pod("q", &image), watcher]);
    assert_eq!(news, ["node n2: does not record: ErrImagePull: no such image"]);
    assert!(progress.is_settled(2));
}
