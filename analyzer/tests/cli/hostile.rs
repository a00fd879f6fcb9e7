//! Tapes made by somebody who means harm: nothing outside the tape is read, and no terminal is moved.

use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::node::CgroupRow;
use flowtape_schemas::parquet::encode_file;

use crate::support::{Scratch, Shown, committed, manifest, replace, rows, with_manifest};

const CGROUPS: &str = "node=n1/cgroups-000001.parquet";
const FLOWS: &str = "node=n1/flows-000001.parquet";

/// The only line of the error and the cause that names it.
#[track_caller]
fn refused(scratch: &Scratch, arguments: &str, what: &str) {
    let Shown { code, stdout, stderr } = scratch.run(arguments);
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(
        stderr.starts_with("error: ") && stderr.contains(what),
        "`{what}` is not in\n{stderr}"
    );
}

#[test]
fn manifest_paths_stay_inside_the_tape() {
    for path in [
        "../secret/flows-000001.parquet",
        "/etc/flows-000001.parquet",
        "node=n1/../../x/flows-000001.parquet",
    ] {
        let mut files = committed("dvwa");
        let text = String::from_utf8(files["manifest.json"].clone()).unwrap();
        files.insert("manifest.json".to_owned(), text.replace(FLOWS, path).into_bytes());
        let scratch = Scratch::new();
        refused(
            scratch.files("tape", &files),
            "inspect tape",
            &format!("file path `{path}` leaves the tape"),
        );
    }
}

#[test]
fn a_file_where_no_table_stands_is_refused() {
    for (path, table) in [
        ("secret.txt", "flows"),
        ("cluster/flows-000001.parquet", "flows"),
        (FLOWS, "listens"),
    ] {
        let mut files = committed("dvwa");
        files.insert(path.to_owned(), files[FLOWS].clone());
        with_manifest(&mut files, |manifest| {
            manifest.files.retain(|entry| entry.path != path);
            manifest.files.push(FileEntry::describe(path.to_owned(), table, 1, b""));
        });
        let scratch = Scratch::new();
        refused(
            scratch.files("tape", &files),
            "inspect tape",
            &format!("lists `{path}` as table `{table}`"),
        );
    }
}

#[test]
fn files_of_a_node_that_the_manifest_does_not_describe_are_refused() {
    let mut files = committed("dvwa");
    with_manifest(&mut files, |manifest| manifest.nodes.retain(|node| node.name != "n2"));
    refused(
        Scratch::new().files("tape", &files),
        "inspect tape",
        "does not describe the node",
    );
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    for (link, target) in [
        (FLOWS, "../../outside.parquet"),
        ("node=n1", "../outside"),
        ("manifest.json", "../outside.json"),
    ] {
        for has_manifest in [true, false] {
            let mut files = committed("dvwa");
            let scratch = Scratch::new();
            scratch
                .file("outside.parquet", &files[FLOWS])
                .file("outside.json", &files["manifest.json"]);
            for (path, content) in &files {
                if let Some(below) = path.strip_prefix("node=n1/") {
                    scratch.file(&format!("outside/{below}"), content);
                }
            }
            files.retain(|path, _| !path.starts_with(link) && (has_manifest || path != "manifest.json"));
            scratch.files("tape", &files);
            std::os::unix::fs::symlink(target, scratch.path("tape").join(link)).unwrap();
            refused(&scratch, "inspect tape", &format!("`{link}` is a link"));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_tape_may_itself_be_reached_through_a_link() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    std::os::unix::fs::symlink("tape", scratch.path("link")).unwrap();
    assert_eq!(scratch.run("inspect link"), scratch.run("inspect tape"));
}

#[test]
fn names_with_controls_reach_no_terminal() {
    let hostile = "n1\u{1b}[2J\u{9b}1m\r\nerror: fake\u{202e}";
    let mut files = committed("dvwa");
    for (path, content) in files.clone() {
        if let Some(below) = path.strip_prefix("node=n1/") {
            files.remove(&path);
            files.insert(format!("node={hostile}/{below}"), content);
        }
    }
    with_manifest(&mut files, |manifest| {
        manifest.tape_id = format!("id{hostile}");
        manifest.nodes[0].name = hostile.to_owned();
        manifest.nodes[0].kernel = hostile.to_owned();
        for entry in &mut manifest.files {
            entry.path = entry.path.replace("node=n1/", &format!("node={hostile}/"));
        }
    });
    let scratch = Scratch::new();
    scratch.files("tape", &files);
    let mut broken = files.clone();
    broken
        .get_mut(&format!("node={hostile}/flows-000001.parquet"))
        .unwrap()
        .truncate(9);
    scratch.files("broken", &broken);
    let commands = [
        "inspect tape",
        "inspect tape --format json",
        "generate tape",
        "generate tape --format json",
        "inspect broken",
    ];
    for command in commands {
        let Shown { stdout, stderr, .. } = scratch.run(command);
        for text in [stdout, stderr] {
            let bad = |character: char| character != '\n' && (character.is_control() || character == '\u{202e}');
            assert!(!text.contains(bad), "`{command}` shows {text:?}");
            assert!(
                !text.lines().any(|line| line.starts_with("error: fake")),
                "`{command}` shows {text}"
            );
        }
    }
}

#[test]
fn what_expands_beyond_all_reason_is_refused() {
    let mut files = committed("dvwa");
    // Text expands most: each of these cgroups has the same long path.
    let mut cgroups: Vec<CgroupRow> = rows(&files[CGROUPS]);
    cgroups.truncate(1);
    cgroups[0].path = format!("/{}", "x".repeat(20_000));
    let many: Vec<CgroupRow> = std::iter::repeat_n(cgroups[0].clone(), 40_000).collect();
    let content = encode_file(&many).unwrap();
    assert!(content.len() < 100_000, "{} bytes", content.len());
    replace(&mut files, CGROUPS, many.len() as u64, content);
    refused(
        Scratch::new().files("tape", &files),
        "inspect tape",
        "the tape expands to more than",
    );
}

#[test]
fn files_that_the_manifest_does_not_list_are_not_read() {
    let mut files = committed("dvwa");
    files.insert("node=n1/flows-000002.parquet".to_owned(), files[FLOWS].clone());
    files.insert("node=n1/flows-000003.parquet.tmp".to_owned(), b"unfinished".to_vec());
    let scratch = Scratch::new();
    scratch.files("tape", &files).files("plain", &committed("dvwa"));
    let (shown, plain) = (scratch.run("inspect tape"), scratch.run("inspect plain"));
    assert_eq!((shown.code, &shown.stdout), (0, &plain.stdout));
    let finding = "warning[FT1010]: `node=n1/flows-000002.parquet` is not listed and was not read\n";
    assert!(shown.stderr.contains(finding), "{}", shown.stderr);
    assert_eq!(manifest(&files).files.len(), manifest(&committed("dvwa")).files.len());
}
