//! Input that is no tape, or not all of one: one clear error that says what, where and what to do, and exit code 2.

use flowtape_schemas::node::FlowRow;
use flowtape_schemas::parquet::encode_file;
use flowtape_schemas::time::Time;

use crate::support::{Scratch, committed, replace, rows, with_manifest};

const FLOWS: &str = "node=n1/flows-000001.parquet";

/// One case: what is shown for a verb on the directory `tape`.
#[track_caller]
fn check(scratch: &Scratch, arguments: &str, expected: &str) {
    let shown = scratch.shown(arguments);
    assert!(
        shown == expected,
        "`flowtape {arguments}` shows\n{shown}\nexpected\n{expected}"
    );
}

#[test]
fn a_directory_that_is_not_there() {
    check(
        &Scratch::new(),
        "inspect tape",
        "exit 2\n--- stdout\n--- stderr\nerror: no such directory: `tape`\n",
    );
}

#[test]
fn an_empty_directory() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("tape")).unwrap();
    check(
        &scratch,
        "inspect tape",
        "\
exit 2
--- stdout
--- stderr
error: no tape: the directory is empty: `tape`

hint: `flowtape-recorder record -o DIR` makes a tape, `flowtape-recorder metadata --from FILE -o DIR` its metadata
",
    );
}

#[test]
fn a_directory_that_is_no_tape() {
    let scratch = Scratch::new();
    scratch
        .file("tape/notes.txt", "hello")
        .file("tape/node=n1/notes.txt", "hello");
    check(
        &scratch,
        "inspect tape",
        "\
exit 2
--- stdout
--- stderr
error: no tape: the directory holds neither `manifest.json` nor table files in `node=*/` or `cluster/`: `tape`

hint: `flowtape-recorder record -o DIR` makes a tape, `flowtape-recorder metadata --from FILE -o DIR` its metadata
",
    );
}

/// What a recorder leaves that is killed within its first minute.
#[test]
fn a_recording_of_which_no_file_is_finished() {
    let scratch = Scratch::new();
    scratch
        .file("tape/node=n1/reserve.tmp", "")
        .file("tape/node=n2/events-000001.parquet.tmp", "PAR1");
    check(
        &scratch,
        "inspect tape",
        "\
exit 2
--- stdout
--- stderr
error: no tape yet: a recording of n1, n2 was begun in `tape`, and no file of it is finished

hint: files are finished once a minute, or as `--rotation` says; if the recorder was killed before that, record again
",
    );
}

#[test]
fn a_file_instead_of_a_directory() {
    let scratch = Scratch::new();
    scratch.file("tape", "hello");
    check(
        &scratch,
        "inspect tape",
        "\
exit 2
--- stdout
--- stderr
error: a tape is a directory, and this is none: `tape`

hint: give the directory that holds `manifest.json`; unpack an archive first
",
    );
}

#[test]
fn a_truncated_file() {
    let mut files = committed("dvwa");
    files.get_mut(FLOWS).unwrap().truncate(1000);
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: 1 file of the tape cannot be used
caused by: has 1000 bytes, the manifest says 7852; the file was truncated or changed after it was recorded: `tape/node=n1/flows-000001.parquet`

hint: copy it again from where it was recorded; or remove it and `manifest.json`, and the rest is read as an incomplete recording
");
}

#[test]
fn a_truncated_file_of_a_recording_without_manifest() {
    let mut files = committed("dvwa");
    files.remove("manifest.json");
    files.get_mut(FLOWS).unwrap().truncate(1000);
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: 1 file of the tape cannot be used
caused by: not a readable Parquet file: Parquet error: Invalid Parquet file. Corrupt footer; it is damaged or was not closed; take it from the recording again: `tape/node=n1/flows-000001.parquet`

hint: copy it again from where it was recorded; or remove it and `manifest.json`, and the rest is read as an incomplete recording
");
}

#[test]
fn a_flipped_bit() {
    let mut files = committed("dvwa");
    files.get_mut(FLOWS).unwrap()[300] ^= 0x10;
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: 1 file of the tape cannot be used
caused by: SHA-256 is 349cd9d27bec98924e37716c1e52362c41b77eba7bbb45c9c7d5ca7031f69cc7, the manifest says 3961b6f10c262ea4b963659b3cdaa4c703be60ee5e735d8cf6052679bfda76b1; the file changed after it was recorded: `tape/node=n1/flows-000001.parquet`

hint: copy it again from where it was recorded; or remove it and `manifest.json`, and the rest is read as an incomplete recording
");
}

#[test]
fn every_damaged_file_is_named_at_once() {
    let mut files = committed("dvwa");
    for file in [FLOWS, "cluster/pods-000001.parquet"] {
        files.get_mut(file).unwrap().truncate(100);
    }
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: 2 files of the tape cannot be used
caused by: has 100 bytes, the manifest says 9577; the file was truncated or changed after it was recorded: `tape/cluster/pods-000001.parquet`
caused by: has 100 bytes, the manifest says 7852; the file was truncated or changed after it was recorded: `tape/node=n1/flows-000001.parquet`

hint: copy them again from where they were recorded; or remove them and `manifest.json`, and the rest is read as an incomplete recording
");
}

#[test]
fn a_file_that_is_missing() {
    let mut files = committed("dvwa");
    files.remove(FLOWS);
    check(
        Scratch::new().files("tape", &files),
        "generate tape -n dvwa",
        "\
exit 2
--- stdout
--- stderr
error: 1 file of the manifest is missing from the tape `tape`
caused by: `node=n1/flows-000001.parquet` is not there

hint: copy the whole directory again from where it was recorded
",
    );
}

#[test]
fn a_table_that_is_missing() {
    let mut files = committed("dvwa");
    files.remove(FLOWS);
    with_manifest(&mut files, |manifest| {
        manifest.files.retain(|entry| entry.path != FLOWS);
    });
    check(
        Scratch::new().files("tape", &files),
        "inspect tape",
        "\
exit 2
--- stdout
--- stderr
error: table `flows` of node `n1` is missing from the tape `tape`

hint: copy the whole directory again from where it was recorded
",
    );
}

#[test]
fn another_number_of_rows_than_the_manifest_says() {
    let mut files = committed("dvwa");
    with_manifest(&mut files, |manifest| {
        manifest
            .files
            .iter_mut()
            .find(|entry| entry.path == FLOWS)
            .unwrap()
            .rows = 7;
    });
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: 1 file of the tape cannot be used
caused by: holds 11 rows, the manifest says 7: `tape/node=n1/flows-000001.parquet`

hint: copy it again from where it was recorded; or remove it and `manifest.json`, and the rest is read as an incomplete recording
");
}

#[test]
fn a_table_under_the_name_of_another() {
    let mut files = committed("dvwa");
    let listens = files["node=n1/listens-000001.parquet"].clone();
    replace(&mut files, FLOWS, 4, listens);
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: 1 file of the tape cannot be used
caused by: holds table `listens`, expected `flows`; the file was renamed or misplaced: `tape/node=n1/flows-000001.parquet`

hint: copy it again from where it was recorded; or remove it and `manifest.json`, and the rest is read as an incomplete recording
");
}

#[test]
fn rows_that_contradict_themselves() {
    let mut files = committed("dvwa");
    let mut flows: Vec<FlowRow> = rows(&files[FLOWS]);
    flows[1].first_seen = Time(flows[1].last_seen.0 + 1);
    flows[3].interval_start = Time(flows[3].interval_end.0 + 1);
    let content = encode_file(&flows).unwrap();
    replace(&mut files, FLOWS, flows.len() as u64, content);
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: 1 file of the tape cannot be used
caused by: row 1: `first_seen` is after `last_seen`: `tape/node=n1/flows-000001.parquet`
caused by: row 3: `interval_start` is after `interval_end`: `tape/node=n1/flows-000001.parquet`

hint: copy it again from where it was recorded; or remove it and `manifest.json`, and the rest is read as an incomplete recording
");
}

#[test]
fn a_newer_major_in_the_manifest() {
    let mut files = committed("dvwa");
    let text = String::from_utf8(files["manifest.json"].clone()).unwrap();
    files.insert(
        "manifest.json".to_owned(),
        text.replacen("\"1.0\"", "\"2.0\"", 1).into_bytes(),
    );
    check(Scratch::new().files("tape", &files), "generate tape", "\
exit 2
--- stdout
--- stderr
error: cannot use the manifest of the tape `tape`
caused by: schema version 2.0 is newer than 1.0, the newest this build reads; analyze the tape with the release of flowtape that recorded it, or a later one
");
}

#[test]
fn a_newer_major_in_a_table_file() {
    let mut files = committed("dvwa");
    files.retain(|path, _| path == FLOWS);
    // The version stands in the footer as plain text, so that a test can forge one of the same length.
    let content = files.get_mut(FLOWS).unwrap();
    let key = b"flowtape.schema";
    let at = content.windows(key.len()).rposition(|window| window == key).unwrap();
    let version = content[at..].windows(3).position(|window| window == b"1.0").unwrap();
    content[at + version] = b'7';
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: 1 file of the tape cannot be used
caused by: schema version 7.0 is newer than 1.0, the newest this build reads; analyze the tape with the release of flowtape that recorded it, or a later one: `tape/node=n1/flows-000001.parquet`
");
}

#[test]
fn a_newer_minor_is_read() {
    let mut files = committed("dvwa");
    let text = String::from_utf8(files["manifest.json"].clone()).unwrap();
    files.insert(
        "manifest.json".to_owned(),
        text.replacen("\"1.0\"", "\"1.9\"", 1).into_bytes(),
    );
    with_manifest(&mut files, |manifest| {
        let dreams = flowtape_schemas::manifest::FileEntry::describe(
            "cluster/dreams-000001.parquet".to_owned(),
            "dreams",
            1,
            b"x",
        );
        manifest.files.push(dreams);
    });
    files.insert("cluster/dreams-000001.parquet".to_owned(), b"x".to_vec());
    let scratch = Scratch::new();
    scratch.files("new", &files).files("old", &committed("dvwa"));
    assert_eq!(scratch.run("inspect new"), scratch.run("inspect old"));
}

#[test]
fn a_manifest_that_is_none() {
    let mut files = committed("dvwa");
    files.insert(
        "manifest.json".to_owned(),
        b"{\"schema\": \"1.0\", \"tape_id\": 7}".to_vec(),
    );
    check(Scratch::new().files("tape", &files), "inspect tape", "\
exit 2
--- stdout
--- stderr
error: cannot use the manifest of the tape `tape`
caused by: not a Flowtape manifest: invalid type: integer `7`, expected a string at line 1 column 30; the tape is damaged, or this is not one

hint: copy the whole directory again from where it was recorded
");
}

#[test]
fn an_empty_window_is_inspected_and_gives_no_policies() {
    let scratch = Scratch::new();
    scratch.scenario(
        "tape",
        "window 10s\ncluster\n  node n1 172.31.0.11 pods 10.244.1.0/24\n  deployment a/b\ntraffic\n",
    );
    check(
        &scratch,
        "inspect tape",
        "\
exit 0
--- stdout
complete

tape    c0fbc1a14abdbe53
window  2026-01-01T00:00:00.000000000Z to 2026-01-01T00:00:10.000000000Z

nodes
  NAME  KERNEL  STOP   OPERATIONS  FLOWS  EVENTS  LISTENS
  n1    6.12.0  clean           0      0       0        0

workloads
  NAMESPACE  WORKLOAD      CLIENTS  SERVERS  SERVES
  a          Deployment/b        0        0

cluster
  containers        1
  endpoint_slices   0
  namespaces        1
  network_policies  0
  nodes             1
  pods              1
  services          0
  workloads         2
--- stderr
warning[FT1002]: no node recorded any flow in the window
hint: `flowtape explain FT1002` says what it means and what to do
peers of 0 edges: none unknown or ambiguous

",
    );
    check(
        &scratch,
        "generate tape -o out",
        "\
exit 2
--- stdout
--- stderr
error: nothing was recorded: the window is empty, so there is nothing to make policies of

hint: `flowtape inspect` shows what the tape holds; give the recording together with its metadata
",
    );
    assert!(!scratch.path("out").exists());
}

#[test]
fn an_output_directory_that_is_not_empty() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa")).file("out/mine.txt", "mine");
    check(
        &scratch,
        "generate tape -n dvwa -o out",
        "\
exit 2
--- stdout
--- stderr
error: `out` is not empty, and nothing was written

hint: choose a new directory, or replace files of the same name with `--force`
",
    );
    assert_eq!(std::fs::read_dir(scratch.path("out")).unwrap().count(), 1);
}

#[test]
fn an_output_directory_that_is_a_file() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa")).file("out", "mine");
    check(
        &scratch,
        "generate tape -n dvwa -o out --force",
        "\
exit 2
--- stdout
--- stderr
error: cannot write into `out`
caused by: Not a directory (os error 20)
",
    );
    assert_eq!(std::fs::read_to_string(scratch.path("out")).unwrap(), "mine");
}

#[test]
fn force_replaces_files_of_the_same_name_only() {
    let scratch = Scratch::new();
    scratch
        .files("tape", &committed("dvwa"))
        .file("out/mine.txt", "mine")
        .file("out/dvwa/dvwa-web.yaml", "old");
    assert_eq!(scratch.run("generate tape -n dvwa -o out --force").code, 0);
    assert_eq!(std::fs::read_to_string(scratch.path("out/mine.txt")).unwrap(), "mine");
    let policy = std::fs::read_to_string(scratch.path("out/dvwa/dvwa-web.yaml")).unwrap();
    assert!(policy.contains("kind: NetworkPolicy"), "{policy}");
    assert_eq!(std::fs::read_dir(scratch.path("out/dvwa")).unwrap().count(), 2);
}
