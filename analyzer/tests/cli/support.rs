//! What the tests of the command share: a scratch directory with tapes in it, and the real binary run there.
//!
//! The binary runs in the scratch directory and is given relative paths, so that whole outputs can be compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use flowtape_scenario::{Scenario, tape};
use flowtape_schemas::manifest::{FileEntry, MANIFEST_FILE, Manifest};

/// A scratch directory.
pub(crate) struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a scratch directory can be made"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the tape that a scenario compiles to.
    pub(crate) fn scenario(&self, name: &str, text: &str) -> &Self {
        self.files(name, &scenario_files(text))
    }

    /// Writes files below a directory.
    pub(crate) fn files(&self, name: &str, files: &BTreeMap<String, Vec<u8>>) -> &Self {
        for (file, content) in files {
            self.file(&format!("{name}/{file}"), content);
        }
        self
    }

    /// Writes one file, with the directories it needs.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file has a directory")).expect("directories can be made");
        std::fs::write(path, content).expect("a file can be written");
        self
    }

    /// Everything a command showed, as one text: exit code, stdout, stderr.
    pub(crate) fn shown(&self, arguments: &str) -> String {
        let Shown { code, stdout, stderr } = self.run(arguments);
        format!("exit {code}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }

    /// Runs the binary; arguments are split at blanks.
    pub(crate) fn run(&self, arguments: &str) -> Shown {
        let output = Command::new(env!("CARGO_BIN_EXE_flowtape"))
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        Shown {
            code: output.status.code().expect("the binary ends by itself"),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

/// What a command showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The files of a committed tape.
pub(crate) fn committed(name: &str) -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/tapes")
        .join(name);
    let mut files = BTreeMap::new();
    collect(&root, "", &mut files);
    assert!(files.contains_key(MANIFEST_FILE), "`{name}` is no committed tape");
    files
}

fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).expect("a committed tape can be listed") {
        let entry = entry.expect("a committed tape can be listed");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, std::fs::read(entry.path()).expect("a committed file can be read"));
        }
    }
}

/// The files of the tape that a scenario compiles to.
pub(crate) fn scenario_files(text: &str) -> BTreeMap<String, Vec<u8>> {
    let scenario = Scenario::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    let files = tape::compile(&scenario).unwrap_or_else(|error| panic!("{error}"));
    files.into_iter().collect()
}

/// Changes the manifest among files.
pub(crate) fn with_manifest(files: &mut BTreeMap<String, Vec<u8>>, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = manifest(files);
    change(&mut manifest);
    let text = manifest.render().expect("a manifest can be written");
    files.insert(MANIFEST_FILE.to_owned(), text.into_bytes());
}

pub(crate) fn manifest(files: &BTreeMap<String, Vec<u8>>) -> Manifest {
    Manifest::parse(&files[MANIFEST_FILE]).expect("the manifest is one")
}

/// Replaces the content of a listed file, and what the manifest says of it.
pub(crate) fn replace(files: &mut BTreeMap<String, Vec<u8>>, path: &str, rows: u64, content: Vec<u8>) {
    with_manifest(files, |manifest| {
        let entry = manifest.files.iter_mut().find(|entry| entry.path == path);
        let entry = entry.expect("the file is listed");
        *entry = FileEntry::describe(path.to_owned(), &entry.table.clone(), rows, &content);
    });
    files.insert(path.to_owned(), content);
}

/// The rows of a table file.
pub(crate) fn rows<R: flowtape_schemas::table::Row>(content: &[u8]) -> Vec<R> {
    flowtape_schemas::parquet::decode_file(Bytes::copy_from_slice(content)).expect("the file is a table")
}
