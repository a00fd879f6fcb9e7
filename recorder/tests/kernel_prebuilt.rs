//! The committed kernel object belongs to the sources beside it.

use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};

/// A line of `BUILDINFO`.
fn recorded(buildinfo: &str, name: &str) -> String {
    let line = buildinfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no line `{name}` in BUILDINFO"))
        .to_owned()
}

#[test]
fn the_committed_object_is_built_from_these_sources() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recorder-ebpf");
    let buildinfo = std::fs::read_to_string(crate_root.join("prebuilt/BUILDINFO")).unwrap();
    let object = std::fs::read(crate_root.join("prebuilt/flowtape.bpf.o")).unwrap();
    let hash = Sha256::digest(&object)
        .iter()
        .fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"));
    assert_eq!(
        hash,
        recorded(&buildinfo, "object"),
        "the object was replaced by hand; run `make bpf`"
    );

    let output = Command::new("bash")
        .arg(crate_root.join("build.sh"))
        .arg("--hash")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sources = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        sources.trim(),
        recorded(&buildinfo, "sources"),
        "the object is stale; run `make bpf`"
    );
}
