//! Every released version of the schema is read for ever.
//!
//! `testdata/compat/vMAJOR.MINOR/` holds a tape that this version wrote, with every table, every column and every word
//! of every enumeration, and its rows as text. Neither is ever rewritten: a new version gets a directory of its own,
//! which `BLESS=1` writes if it is not there.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its data fails")]

mod cell;
mod sample;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flowtape_schemas::manifest::{
    ClusterRecording, ClusterSource, FileEntry, HookReport, HookState, MANIFEST_FILE, Manifest, NodeRecording, Origin,
    Stop, Tool, Window,
};
use flowtape_schemas::node::Hook;
use flowtape_schemas::parquet::{TableFile, encode_file};
use flowtape_schemas::table::{Place, Row};
use flowtape_schemas::time::Time;
use flowtape_schemas::validate::{CheckedRow, EachTable, check_file, each_table, tables};
use flowtape_schemas::value::Words as _;
use flowtape_schemas::version::CURRENT;

/// What can be done with the row type of a table.
struct Table {
    name: &'static str,
    place: Place,
    /// A file with sample rows, and how many they are.
    sample: fn() -> (u64, Vec<u8>),
    /// The named columns of a file's rows as text.
    text: fn(&Bytes, &[&str]) -> String,
    columns: fn() -> Vec<&'static str>,
}

struct AllTables(Vec<Table>);

impl EachTable for AllTables {
    fn table<R: CheckedRow>(&mut self) {
        self.0.push(Table {
            name: R::TABLE,
            place: R::PLACE,
            sample: || {
                let rows = sample::rows::<R>();
                (rows.len() as u64, encode_file(&rows).unwrap())
            },
            text: |content, columns| {
                let rows: Vec<R> = TableFile::open(content.clone()).unwrap().read_all().unwrap();
                text(&rows, columns)
            },
            columns: || R::columns().iter().map(|column| column.name).collect(),
        });
    }
}

fn all_tables() -> Vec<Table> {
    let mut all = AllTables(Vec::new());
    each_table(&mut all);
    all.0
}

/// One line for each row: the named columns, in that order, as JSON separated by tabs. The first line names them.
fn text<R: Row>(rows: &[R], columns: &[&str]) -> String {
    let batch = R::encode(rows);
    let mut text = columns.join("\t") + "\n";
    for row in 0..rows.len() {
        let cell = |column: &&str| cell::json(batch.column_by_name(column).unwrap().as_ref(), row);
        let cells: Vec<String> = columns.iter().map(cell).collect();
        let _ = writeln!(text, "{}", cells.join("\t"));
    }
    text
}

fn compat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/compat")
}

/// Writes the directory of the present version, unless it is there.
fn bless() {
    let home = compat().join(format!("v{CURRENT}"));
    if home.exists() {
        return;
    }
    let tool = Tool {
        name: "flowtape".to_owned(),
        version: "0.1.0".to_owned(),
    };
    let mut manifest = Manifest::new(tool, Origin::Recorded, format!("compat-{CURRENT}"));
    let window = Window {
        start: Time(1_767_225_600_000_000_000),
        end: Time(1_767_225_660_000_000_000),
    };
    manifest.window = Some(window);
    manifest.nodes = vec![recording(window)];
    manifest.cluster = Some(ClusterRecording::new(ClusterSource::Watch, vec![window.start]));
    let mut write = BTreeMap::new();
    for table in all_tables() {
        let folder = match table.place {
            Place::Node => "node=n1",
            Place::Cluster => "cluster",
            Place::Import => "import",
        };
        let path = format!("{folder}/{}-000001.parquet", table.name);
        let (rows, content) = (table.sample)();
        manifest
            .files
            .push(FileEntry::describe(path.clone(), table.name, rows, &content));
        let content = Bytes::from(content);
        let text = (table.text)(&content, &(table.columns)());
        write.insert(format!("rows/{}.tsv", table.name), Bytes::from(text));
        write.insert(format!("tape/{path}"), content);
    }
    write.insert(format!("tape/{MANIFEST_FILE}"), Bytes::from(manifest.render().unwrap()));
    for (path, content) in write {
        let path = home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn recording(window: Window) -> NodeRecording {
    let mut hooks: Vec<HookReport> = Hook::ALL.iter().map(|hook| HookReport::attached(*hook)).collect();
    hooks[1].state = HookState::Fallback;
    hooks[2].state = HookState::Unavailable;
    hooks[2].reason = Some("the kernel has no such tracepoint".to_owned());
    hooks[3].state = HookState::NotAskedFor;
    NodeRecording {
        name: "n1".to_owned(),
        window,
        kernel: "6.1.0".to_owned(),
        architecture: "x86_64".to_owned(),
        hooks,
        settings: [("events".to_owned(), "all".to_owned())].into(),
        stop: Stop::Unclean,
        lost_events: 7,
        lost_edges: 1,
        notes: Vec::new(),
    }
}

/// Every version that was released, oldest first.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is asked by `make bless` to write the tape of a new version"
)]
fn versions() -> Vec<PathBuf> {
    if std::env::var_os("BLESS").is_some() {
        bless();
    }
    let mut homes: Vec<PathBuf> = fs::read_dir(compat())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    homes.sort();
    assert!(!homes.is_empty(), "testdata/compat holds no version");
    homes
}

#[test]
fn every_released_version_reads_as_it_was_written() {
    for home in versions() {
        let manifest = Manifest::parse(&fs::read(home.join("tape").join(MANIFEST_FILE)).unwrap()).unwrap();
        let tables = all_tables();
        for entry in &manifest.files {
            let content = Bytes::from(fs::read(home.join("tape").join(&entry.path)).unwrap());
            let problems = check_file(&entry.table, &content, Some(entry));
            assert!(problems.is_empty(), "{}: {problems:?}", entry.path);
            let table = tables.iter().find(|table| table.name == entry.table).unwrap();
            let expected = fs::read_to_string(home.join(format!("rows/{}.tsv", entry.table))).unwrap();
            let columns: Vec<&str> = expected.lines().next().unwrap().split('\t').collect();
            assert_eq!((table.text)(&content, &columns), expected, "{}", entry.path);
            assert_eq!(expected.lines().count() as u64, entry.rows + 1, "{}", entry.path);
        }
    }
}

#[test]
fn the_present_version_is_there_with_every_table_and_column() {
    let home = versions()
        .into_iter()
        .find(|home| home.ends_with(format!("v{CURRENT}")));
    let home = home.expect("a new version of the schema needs its frozen tape: run this test with BLESS=1");
    for table in tables() {
        let rows = fs::read_to_string(home.join(format!("rows/{}.tsv", table.name)));
        let rows = rows.unwrap_or_else(|_| panic!("table `{}` needs a new version of the schema", table.name));
        let frozen: Vec<&str> = rows.lines().next().unwrap().split('\t').collect();
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(
            frozen, columns,
            "table `{}` changed and needs a new version of the schema",
            table.name
        );
    }
}
