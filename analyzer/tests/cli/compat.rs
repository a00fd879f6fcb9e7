//! Tapes of every released version are read by every verb, not only by the decoder.

use std::path::Path;

use serde_json::Value;

use crate::support::Scratch;

#[test]
fn every_verb_reads_every_released_version() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/compat");
    let mut versions = 0;
    for version in std::fs::read_dir(home).unwrap() {
        let tape = version.unwrap().path().join("tape");
        let tape = tape.to_str().unwrap();
        let scratch = Scratch::new();
        let inspected = scratch.run(&format!("inspect {tape} --format json"));
        let document: Value = serde_json::from_str(&inspected.stdout).unwrap();
        assert_eq!(
            (inspected.code, &document["health"]["complete"]),
            (0, &Value::Bool(false))
        );
        for (table, rows) in document["tables"].as_object().unwrap() {
            assert_eq!(rows, 60, "table `{table}` of {tape}");
        }
        for verb in ["flows", "generate"] {
            let shown = scratch.run(&format!("{verb} {tape} --format json"));
            // What was never a cluster may fail its proof; it must be answered.
            assert!(shown.code <= 1 && shown.stderr.is_empty(), "{verb} {tape}: {shown:?}");
        }
        versions += 1;
    }
    assert!(versions > 0);
}
