//! Recordings of other tools: the first byte chooses the format, the rest is the file. Every record is accounted for.

#![no_main]

use flowtape::import::format::ALL;
use flowtape::import::{Source, Untold, import};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::time::Time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, content)) = bytes.split_first() else {
        return;
    };
    // Of other numbers than theirs, what the file looks like decides.
    let format = ALL.get(usize::from(*choice));
    let source = Source {
        name: "file".to_owned(),
        content: Box::new(content),
    };
    let untold = Untold {
        node: "n1",
        time: Some(Time(0)),
    };
    let Ok(imported) = import(format, vec![source], ClusterRows::default(), untold) else {
        return;
    };
    for recording in &imported.imports {
        let passed_over: u64 = recording.passed_over.values().sum();
        assert!(
            passed_over + recording.quarantined <= recording.records,
            "{recording:?}"
        );
    }
    let told: u64 = imported.imports.iter().map(|recording| recording.quarantined).sum();
    let rows: u64 = imported.quarantine.iter().map(|row| row.count).sum();
    assert_eq!(told, rows);
});
