//! Nodes that do not do what they should. The recording goes on without them, and the last line names them.

use std::fs;

use flowtape_schemas::manifest::{MANIFEST_FILE, Stop};

use crate::stage::Stage;

/// The last line, of which each part must be said of its node.
fn assert_incomplete(said: &str, parts: &[&str]) {
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("incomplete: "), "{said}");
    for part in parts {
        assert!(last.contains(part), "{part}: {said}");
    }
}

pub(crate) fn nodes_that_do_not_record_are_named() {
    let stage = Stage::new();
    for (node, script) in [
        ("n3", "image"),
        ("n4", "unschedulable"),
        ("n5", "waiting"),
        ("n6", "crash: no BTF"),
    ] {
        stage.node(node, script);
    }
    let (code, said) = stage
        .record(&["--duration", "1s", "--startup-timeout", "3s", "--strict"])
        .end();
    assert_eq!(code, Some(1), "{said}");
    assert_incomplete(
        &said,
        &[
            "node n3: did not record: ImagePullBackOff",
            "node n4: did not record: not schedulable: 0/1 nodes are available",
            "node n5: did not record: it had not begun in time",
            "node n6: did not record: no BTF",
        ],
    );
    let manifest = stage.valid_tape();
    let stops: Vec<(&str, Stop)> = manifest
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.stop))
        .collect();
    assert_eq!(stops[0], ("n1", Stop::Clean));
    assert_eq!(stops[2], ("n3", Stop::Unclean));
    assert_eq!(stops.len(), 6);
    for node in &manifest.nodes {
        let flows = format!("node={}/flows-000001.parquet", node.name);
        assert!(manifest.files.iter().any(|file| file.path == flows), "{flows}");
    }
    assert!(
        manifest.nodes[2].notes[0].starts_with("ImagePullBackOff"),
        "{:?}",
        manifest.nodes[2].notes
    );
    stage.assert_nothing_is_left();
}

pub(crate) fn nodes_that_leave_are_named() {
    let stage = Stage::new();
    for node in ["n3", "n4"] {
        stage.furnish(node);
        stage.node(node, "ready");
    }
    let mut plugin = stage.record(&["--duration", "1h"]);
    plugin.wait_for("recording on 4 nodes");
    stage.node("n2", "lost");
    plugin.wait_for("node n2: its node was lost");
    stage.node("n3", "evicted");
    plugin.wait_for("node n3: its pod was evicted: The node was low on resource");
    let node = serde_json::json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n4"}});
    stage.server.delete(&[node]).unwrap();
    plugin.wait_for("node n4: its pod is gone");
    plugin.interrupt();
    let (code, said) = plugin.end();
    assert_eq!(code, Some(0), "{said}");
    assert_incomplete(
        &said,
        &[
            "on 1 node,",
            "node n2: its node was lost",
            "node n3: its pod was evicted",
            "node n4: its pod is gone",
        ],
    );
    stage.valid_tape();
    stage.assert_nothing_is_left();
}

pub(crate) fn a_node_that_joins_is_named_and_collected() {
    let stage = Stage::new();
    let mut plugin = stage.record(&["--duration", "1h"]);
    plugin.wait_for("recording on 2 nodes");
    stage.furnish("n3");
    stage.node("n3", "ready");
    plugin.wait_for("node n3: joined");
    plugin.interrupt();
    let (_, said) = plugin.end();
    assert_incomplete(&said, &["on 3 nodes", "node n3: joined when the window had begun"]);
    assert_eq!(stage.valid_tape().nodes.len(), 3);
    stage.assert_nothing_is_left();
}

pub(crate) fn a_pod_that_must_go_is_collected_first() {
    let stage = Stage::new();
    let mut plugin = stage.record(&["--duration", "1h"]);
    plugin.wait_for("recording on 2 nodes");
    stage.node("n2", "leaving");
    plugin.wait_for("node n2: its pod was deleted");
    plugin.wait_for("bytes in");
    // From here on nobody can reach it.
    stage.node("n2", "lost");
    plugin.interrupt();
    let (_, said) = plugin.end();
    assert_incomplete(&said, &["on 2 nodes", "node n2: its pod was deleted"]);
    let manifest = stage.valid_tape();
    assert!(manifest.files.iter().any(|file| file.path.starts_with("node=n2/flows")));
    stage.assert_nothing_is_left();
}

/// A recorder that was killed left no manifest; another one followed it in the same pod.
pub(crate) fn a_crash_keeps_what_was_finished() {
    let stage = Stage::new();
    let home = stage.pod_home("n2", "DaemonSet");
    let (first, second) = (home.join("recording-000001"), home.join("recording-000002"));
    fs::create_dir_all(second.join("node=n2")).unwrap();
    for entry in fs::read_dir(first.join("node=n2")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, second.join("node=n2").join(path.file_name().unwrap())).unwrap();
    }
    fs::rename(first.join(MANIFEST_FILE), second.join(MANIFEST_FILE)).unwrap();
    let (_, said) = stage.record(&["--duration", "1s"]).end();
    let manifest = stage.valid_tape();
    let of_n2: Vec<Stop> = manifest
        .nodes
        .iter()
        .filter(|node| node.name == "n2")
        .map(|node| node.stop)
        .collect();
    assert_eq!(of_n2, [Stop::Unclean, Stop::Clean], "{said}");
    let flows = manifest
        .files
        .iter()
        .filter(|file| file.path.starts_with("node=n2/flows-"));
    assert_eq!(flows.count(), 2);
    stage.assert_nothing_is_left();
}

pub(crate) fn a_node_speaks_for_no_other() {
    let stage = Stage::new();
    let recording = stage.pod_home("n2", "DaemonSet").join("recording-000001");
    let manifest = fs::read_to_string(recording.join(MANIFEST_FILE)).unwrap();
    fs::rename(recording.join("node=n2"), recording.join("node=n1")).unwrap();
    fs::write(
        recording.join(MANIFEST_FILE),
        manifest.replace("node=n2", "node=n1").replace("\"n2\"", "\"n1\""),
    )
    .unwrap();
    let (_, said) = stage.record(&["--duration", "1s"]).end();
    assert_incomplete(
        &said,
        &[
            "on 1 node,",
            "node n2: a recording cannot be used",
            "which is no file of node=n2",
        ],
    );
    let manifest = stage.valid_tape();
    assert!(manifest.files.iter().all(|file| !file.path.starts_with("node=n2")));
    stage.assert_nothing_is_left();
}
