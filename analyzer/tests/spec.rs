//! Runs the written semantics of the product: every example in `testdata/spec/*.md`, against the real binary.
//!
//! `BLESS=1 cargo test -p flowtape --test spec` rewrites what the examples print.
use std::path::{Path, PathBuf};

use flowtape_scenario::spec;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "BLESS is how every test of the project rewrites what it expects"
)]
fn the_specifications_print_what_they_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/spec");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "testdata/spec holds no specification");
    let bless = std::env::var_os("BLESS").is_some_and(|bless| bless == "1");
    let mut failures = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let report = spec::run(&file, Path::new(env!("CARGO_BIN_EXE_flowtape")), bless);
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        assert!(report.commands > 0, "{name} runs no command");
        failures.extend(report.failures.into_iter().map(|failure| format!("{name}, {failure}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
