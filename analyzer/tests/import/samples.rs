//! The samples in `testdata/import/`, one folder for each format: `sample.*`, what it becomes as `edges.csv`, and the
//! metadata that it is read with, if any. Where a tool prints in several ways, `sample-*.*` becomes `edges-*.csv`.
//!
//! `BLESS=1 cargo test -p flowtape --test import` rewrites the edges.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flowtape::import::Untold;
use flowtape::import::format::{ALL, Format, reference};
use flowtape_schemas::time::Time;

fn folder(format: &Format) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/import")
        .join(format.name)
}

/// The samples of a format; the first is that of its usual form.
fn files(format: &Format) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(format))
        .unwrap_or_else(|_| panic!("`{}` has no folder in testdata/import", format.name))
        .map(|entry| entry.unwrap().path())
        .filter(|path| stem(path).starts_with("sample"))
        .collect();
    files.sort_by_key(|path| stem(path));
    assert!(
        files.first().is_some_and(|first| stem(first) == "sample"),
        "`{}` has no sample",
        format.name
    );
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Records of this node that have no time are of 2026.
pub(crate) const fn untold(node: &str) -> Untold<'_> {
    Untold {
        node,
        time: Some(Time(1_767_225_600_000_000_000)),
    }
}

/// What a file of a format looks like.
pub(crate) fn sample(format: &Format) -> Vec<u8> {
    fs::read(&files(format)[0]).unwrap()
}

fn flowtape(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_flowtape"))
        .args(args)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "BLESS is how every test of the project rewrites what it expects"
)]
fn samples_become_the_expected_edges() {
    let samples = ALL
        .iter()
        .flat_map(|format| files(format).into_iter().map(move |file| (format, file)));
    for (format, file) in samples {
        let scratch = tempfile::tempdir().unwrap();
        let tape = scratch.path().join("tape");
        let tape = tape.to_str().unwrap();
        let metadata = folder(format).join("cluster.json");
        // Its own name and what its beginning looks like lead to the same reader.
        for (place, name) in [format.name, "auto"].into_iter().enumerate() {
            let tape = format!("{tape}-{place}");
            let mut args = vec!["import", name, file.to_str().unwrap(), "-o", &tape];
            args.extend(["--time", "2026-01-01T00:00:00Z"]);
            if metadata.exists() {
                args.extend(["--metadata", metadata.to_str().unwrap()]);
            }
            flowtape(&args);
            let edges = flowtape(&["flows", &tape, "--format", "csv"]);
            let expected = folder(format).join(format!("{}.csv", stem(&file).replace("sample", "edges")));
            if std::env::var_os("BLESS").is_some() {
                fs::write(&expected, &edges).unwrap();
            }
            assert_eq!(edges, fs::read_to_string(&expected).unwrap(), "{}", format.name);
        }
    }
}

#[test]
fn every_format_has_a_page_that_says_what_is_not_known() {
    let pages = reference();
    for format in ALL {
        assert!(
            format.page.starts_with(&format!("# {}\n", format.name)),
            "{}",
            format.name
        );
        assert!(format.page.contains("Not known:"), "{}", format.name);
        assert!(format.page.contains("Confidence:"), "{}", format.name);
        assert!(pages.contains(format.page), "{}", format.name);
    }
}
