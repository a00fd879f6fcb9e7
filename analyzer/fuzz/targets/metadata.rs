//! What the cluster looked like, in JSON or YAML: what is accepted becomes rows.

#![no_main]

use flowtape::parse::objects;
use flowtape_schemas::metadata::{Snapshot, rows};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(snapshot) = Snapshot::parse(bytes, None) {
        let _ = rows(vec![snapshot]);
    }
    if let Ok(documents) = objects::values(bytes)
        && let Ok(snapshot) = Snapshot::of_documents(documents.into_iter().map(Ok), None)
    {
        let _ = rows(vec![snapshot]);
    }
});
