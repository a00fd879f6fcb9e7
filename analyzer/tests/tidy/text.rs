//! What no file may hold, how long one may be, and that a link leads somewhere.

use crate::tree::{File, project, root};
use crate::{assert_accepted, assert_refused, assert_tidy};

/// The longest a source file may be, in lines.
const LONGEST: usize = 600;

/// The beginnings of paths that exist on one machine only. Put together here, so that this file does not hold them.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
];

/// Hosts that packages come from: which one a machine uses is its own business.
const REGISTRY_HOSTS: [&str; 7] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("deb.deb", "ian.org"),
    concat!("arti", "factory"),
];

/// A source file that grew past what one reads in one sitting.
fn long_files(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| ["rs", "sh", "py"].iter().any(|kind| file.is_kind(kind)) || file.name() == "Makefile")
        .filter_map(|file| {
            let lines = file.text()?.lines().count();
            (lines > LONGEST).then(|| format!("{}: {lines} lines, more than {LONGEST}; split it by purpose", file.path))
        })
        .collect()
}

/// Paths of one machine, in text and in binary files alike: a kernel object or a tape must not tell where it was made.
fn machine_paths(files: &[File]) -> Vec<String> {
    let here = format!("{}/", root().display());
    let mut complaints = Vec::new();
    for file in files {
        for path in MACHINE_PATHS.into_iter().chain([here.as_str()]) {
            if holds(&file.bytes, path) {
                complaints.push(format!("{}: holds a path of one machine, `{path}`", file.path));
                break;
            }
        }
    }
    complaints
}

/// Registry hosts; a lock file names the registry's index by design.
fn registry_hosts(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !file.is_kind("lock")) {
        for host in REGISTRY_HOSTS {
            if holds(&file.bytes, host) {
                complaints.push(format!("{}: names the registry host `{host}`", file.path));
            }
        }
    }
    complaints
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Links of a Markdown file to a file of the project that is not there.
fn broken_links(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_kind("md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in file.text().unwrap_or_default().split("](").skip(1) {
            let target = link.split([')', '#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue;
            }
            let path = joined(folder, target);
            let inside = format!("{path}/");
            if !files
                .iter()
                .any(|other| other.path == path || other.path.starts_with(&inside))
            {
                complaints.push(format!("{}: the link `{target}` leads nowhere", file.path));
            }
        }
    }
    complaints
}

/// `folder/target` with `.` and `..` taken out.
fn joined(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[test]
fn source_files_are_short() {
    assert_tidy(&long_files(&project()));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    assert_tidy(&machine_paths(&project()));
}

#[test]
fn no_file_names_a_registry_host() {
    assert_tidy(&registry_hosts(&project()));
}

#[test]
fn links_lead_somewhere() {
    assert_tidy(&broken_links(&project()));
}

#[test]
fn a_long_file_is_refused() {
    assert_refused(long_files, &[("a.rs", &"\n".repeat(LONGEST + 1))], "601 lines");
    assert_accepted(
        long_files,
        &[
            ("a.rs", &"\n".repeat(LONGEST)),
            ("SCHEMA.md", &"\n".repeat(LONGEST + 1)),
        ],
    );
}

#[test]
fn a_machine_path_is_refused_in_text_and_in_binary_files() {
    assert_refused(
        machine_paths,
        &[("a.md", concat!("see /ho", "me/me/x"))],
        "a path of one machine",
    );
    assert_refused(
        machine_paths,
        &[("a.o", concat!("\u{0}\u{1}/ro", "ot/build\u{0}"))],
        "a path of one machine",
    );
    let here = format!("{}/x", root().display());
    assert_refused(machine_paths, &[("a.txt", &here)], "a path of one machine");
    assert_accepted(
        machine_paths,
        &[("a.md", "`/sys/fs/cgroup` and `/proc/self` are the same everywhere")],
    );
}

#[test]
fn a_registry_host_is_refused() {
    assert_refused(
        registry_hosts,
        &[("a.toml", concat!("index = \"https://pypi", ".org/simple\""))],
        "registry host",
    );
    assert_accepted(
        registry_hosts,
        &[("Cargo.lock", concat!("registry+https://x/crates", ".io-index"))],
    );
}

#[test]
fn a_broken_link_is_refused() {
    assert_refused(
        broken_links,
        &[("a/b.md", "[x](../c.md#part)")],
        "`../c.md` leads nowhere",
    );
    assert_accepted(
        broken_links,
        &[
            ("a/b.md", "[x](../c.md#part), [y](#here), [z](https://example.com)"),
            ("c.md", "[a](a/)"),
        ],
    );
}
