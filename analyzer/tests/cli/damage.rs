//! Damage of any kind in any file: an error that says so, or the right result, and never a panic.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

use crate::support::{Scratch, Shown, committed, scenario_files};

const SMALL: &str = "window 10s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  deployment shop/web labels app=web
  deployment shop/db labels app=db
  service shop/db 10.96.0.20 selects app=db ports sql:5432
traffic
  shop/web -> service shop/db:5432/TCP x3 at 1s..5s
";

static FILES: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| scenario_files(SMALL));
static EXPECTED: LazyLock<Shown> = LazyLock::new(|| good(&FILES));

fn small() -> BTreeMap<String, Vec<u8>> {
    FILES.clone()
}

/// What a whole tape gives.
fn good(files: &BTreeMap<String, Vec<u8>>) -> Shown {
    let scratch = Scratch::new();
    scratch.files("tape", files);
    let shown = scratch.run("generate tape --format json");
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    shown
}

/// A result, or an error of the documented form.
fn is_said(shown: &Shown) -> bool {
    let quiet = !shown.stderr.contains("panicked") && !shown.stderr.contains("internal error");
    quiet && (shown.code == 0 || (shown.code == 2 && shown.stdout.is_empty() && shown.stderr.starts_with("error: ")))
}

proptest! {
    // Each case starts a process; the decoder itself has a property test of its own in `schemas`.
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_is_found_by_the_manifest(
        file in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let mut files = small();
        let path = file.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        let content = files.get_mut(&path).unwrap();
        let index = place.index(content.len());
        content[index] ^= 1 << bit;
        let scratch = Scratch::new();
        scratch.files("tape", &files);
        let shown = scratch.run("generate tape --format json");
        prop_assert!(is_said(&shown), "{path} byte {index} bit {bit}: {shown:?}");
        // A flip in a table is always found; one in the manifest may be in what no policy depends on.
        if path != "manifest.json" {
            prop_assert_eq!(shown.code, 2, "{} byte {} bit {}", path, index, bit);
        } else if shown.code == 0 {
            let policies = |shown: &Shown| serde_json::from_str::<serde_json::Value>(&shown.stdout).unwrap()["policies"].clone();
            prop_assert_eq!(policies(&shown), policies(&EXPECTED));
        }
    }

    #[test]
    fn a_flipped_bit_without_manifest_never_panics(
        file in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let mut files = small();
        files.remove("manifest.json");
        let path = file.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        let content = files.get_mut(&path).unwrap();
        let index = place.index(content.len());
        content[index] ^= 1 << bit;
        let scratch = Scratch::new();
        scratch.files("tape", &files);
        let shown = scratch.run("generate tape --format json");
        prop_assert!(is_said(&shown), "{path} byte {index} bit {bit}: {shown:?}");
    }

    #[test]
    fn a_truncated_file_is_an_error(
        file in any::<prop::sample::Index>(), keep in any::<prop::sample::Index>(), has_manifest in any::<bool>(),
    ) {
        let mut files = small();
        if !has_manifest {
            files.remove("manifest.json");
        }
        let path = file.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        let content = files.get_mut(&path).unwrap();
        content.truncate(keep.index(content.len()));
        let scratch = Scratch::new();
        scratch.files("tape", &files);
        let shown = scratch.run("generate tape --format json");
        prop_assert!(is_said(&shown) && shown.code == 2, "{path}: {shown:?}");
    }
}

#[test]
fn the_committed_tapes_are_whole() {
    for tape in ["dvwa", "dvwa-2"] {
        good(&committed(tape));
    }
}
