//! Windows that end with a tape.

use flowtape_apiserver::fault::Effect;
use flowtape_schemas::manifest::Origin;

use crate::stage::Stage;

pub(crate) fn a_window_becomes_one_tape() {
    let stage = Stage::new();
    let (code, said) = stage.record(&["--duration", "1s", "--strict"]).end();
    assert_eq!(code, Some(0), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("complete: 30.0 s on 2 nodes, "), "{said}");
    let manifest = stage.valid_tape();
    let nodes: Vec<&str> = manifest.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!((nodes, manifest.origin), (vec!["n1", "n2"], Origin::Recorded));
    assert!(manifest.cluster.is_some());
    for part in ["node=n1/flows-", "node=n2/flows-", "cluster/pods-"] {
        assert!(manifest.files.iter().any(|file| file.path.starts_with(part)), "{part}");
    }
    stage.assert_nothing_is_left();
}

pub(crate) fn ctrl_c_ends_the_window_and_collects() {
    let stage = Stage::new();
    let mut plugin = stage.record(&["--duration", "1h"]);
    plugin.wait_for("recording on 2 nodes");
    plugin.interrupt();
    let (code, said) = plugin.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stage.valid_tape().nodes.len(), 2);
    stage.assert_nothing_is_left();
}

/// Whole nodes are recorded, and it says so.
pub(crate) fn namespaces_limit_the_metadata_and_nothing_else() {
    let stage = Stage::new();
    let mut plugin = stage.record(&["--duration", "1h", "--namespaces", "shop,web"]);
    plugin.wait_for("--namespaces limits the metadata only");
    plugin.wait_for("recording on 2 nodes");
    let objects = stage.server.tell("objects").unwrap();
    let limited = |kind: &str| {
        let mut of_kind = objects
            .as_array()
            .unwrap()
            .iter()
            .filter(|object| object["kind"] == kind);
        let spec = &of_kind.next().unwrap()["spec"]["template"]["spec"];
        spec["containers"][0]["args"]
            .to_string()
            .contains(r#""--namespaces","shop,web""#)
    };
    assert!(limited("Deployment") && !limited("DaemonSet"), "{objects}");
    plugin.interrupt();
    let (code, said) = plugin.end();
    assert_eq!(code, Some(0), "{said}");
    let files = stage.valid_tape().files;
    let flows = files.iter().filter(|file| file.table == "flows" && file.rows > 0);
    assert_eq!(flows.count(), 2);
    stage.assert_nothing_is_left();
}

pub(crate) fn a_stream_that_breaks_twice_goes_on() {
    let stage = Stage::new();
    // The first `exec` of each pod is `stop`, which says less than that.
    let cut = Effect::CutAfter { bytes: 12_000 };
    stage.server.fault("exec", "pods", Some(8), cut).unwrap();
    let (code, said) = stage.record(&["--duration", "1s", "--strict"]).end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.matches("broke").count() >= 2, "{said}");
    stage.valid_tape();
    stage.assert_nothing_is_left();
}

pub(crate) fn printed_manifests_are_collected_and_left() {
    let stage = Stage::new();
    let base = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base.yaml")).unwrap();
    let documents = base.split("---\n").map(|text| serde_yaml::from_str(text).unwrap());
    let objects: Vec<serde_json::Value> = documents.collect();
    stage.server.apply(&objects).unwrap();
    let before = stage.leftovers();
    let tape = stage.tape();
    let (code, said) = stage
        .start(&["collect", "-o", tape.to_str().unwrap(), "--strict"])
        .end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stage.valid_tape().nodes.len(), 2);
    assert_eq!(stage.leftovers(), before);

    let (code, said) = stage.start(&["remove"]).end();
    assert_eq!(code, Some(0), "{said}");
    stage.assert_nothing_is_left();
}
