//! Any tool can open a tape: pyarrow reads every table with the names, types and rows that the schema promises.
//!
//! The test makes a virtual environment of its own under `$FLOWTAPE_TOOLS` (outside the clone, so that a new clone finds
//! it) and is skipped, loudly, only where there is no Python or pip cannot get the package.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper that cannot do its work has failed the test")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::datatypes::DataType;
use flowtape_schemas::manifest::Manifest;
use flowtape_schemas::validate::tables;
use serde_json::Value;

const PACKAGE: &str = "pyarrow";
const VERSION: &str = "26.0.1";

/// Opens every table file of a tape and prints, by path: rows, column types, distinct words, and the ends of each time.
const SCRIPT: &str = r#"
import json, pathlib, sys
import pyarrow as pa, pyarrow.compute as pc, pyarrow.dataset as ds, pyarrow.parquet as pq

tape = pathlib.Path(sys.argv[1])
tables = {}
for path in sorted(tape.rglob("*.parquet")):
    # A file by its own schema, without what its directory adds.
    table = pq.ParquetFile(path).read()
    words, times = {}, {}
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_dictionary(field.type):
            words[field.name] = sorted({word for word in column.to_pylist() if word is not None})
        if pa.types.is_timestamp(field.type) and column.null_count < len(column):
            ends = pc.min_max(column.cast(pa.int64())).as_py()
            texts = pc.strftime(column.drop_null(), format="%Y-%m-%dT%H:%M:%SZ").to_pylist()
            times[field.name] = {**ends, "text": min(texts)}
    tables[str(path.relative_to(tape))] = {
        "rows": table.num_rows,
        "columns": [[field.name, str(field.type)] for field in table.schema],
        "docs": sum(b"doc" in (field.metadata or {}) for field in table.schema),
        "words": words,
        "times": times,
    }
nodes = []
if any(tape.glob("node=*")):
    files = sorted(str(path) for path in tape.glob("node=*/flows-*.parquet"))
    flows = ds.dataset(files, format="parquet", partitioning="hive", partition_base_dir=str(tape)).to_table()
    nodes = sorted(set(flows["node"].to_pylist()))
json.dump({"tables": tables, "nodes": nodes}, sys.stdout)
"#;

#[test]
fn pyarrow_opens_every_table() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut tapes = committed();
    assert!(!tapes.is_empty(), "testdata/tapes holds the tapes of the scenarios");
    tapes.push(metadata(home.path()));
    tapes.extend(recorded(home.path()));
    for tape in tapes {
        check(&python, &tape);
    }
}

/// Compares what pyarrow sees with what the schema and the manifest say.
fn check(python: &Path, tape: &Path) {
    let seen = open(python, tape);
    let manifest = Manifest::parse(&fs::read(tape.join("manifest.json")).unwrap()).unwrap();
    let at = |path: &str| format!("{} in {}", path, tape.display());
    assert_eq!(
        seen["tables"].as_object().unwrap().len(),
        manifest.files.len(),
        "{}",
        tape.display()
    );
    for entry in &manifest.files {
        let table = &seen["tables"][&entry.path];
        assert_eq!(table["rows"].as_u64(), Some(entry.rows), "{}", at(&entry.path));
        let columns = tables()
            .into_iter()
            .find(|known| known.name == entry.table)
            .unwrap()
            .columns;
        let expected: Vec<Value> = columns
            .iter()
            .map(|column| serde_json::json!([column.name, type_name(&column.data_type)]))
            .collect();
        assert_eq!(table["columns"], Value::Array(expected), "{}", at(&entry.path));
        assert_eq!(
            table["docs"].as_u64(),
            Some(columns.len() as u64),
            "{}: docs of columns",
            at(&entry.path)
        );
        for (column, words) in table["words"].as_object().unwrap() {
            let all_text = words
                .as_array()
                .unwrap()
                .iter()
                .all(|word| word.as_str().is_some_and(|text| !text.is_empty()));
            assert!(all_text, "{}: {column} {words}", at(&entry.path));
        }
        for (column, time) in table["times"].as_object().unwrap() {
            // To the second the two agree, so the column reads as a time and not as a number.
            let first = flowtape_schemas::time::Time(time["min"].as_i64().unwrap()).to_string();
            let text = time["text"].as_str().unwrap();
            let (pyarrow_says, we_say) = (&text[..19], &first[..19]);
            assert_eq!(pyarrow_says, we_say, "{}: {column}", at(&entry.path));
        }
    }
    let nodes: Vec<&str> = manifest.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(
        seen["nodes"],
        serde_json::json!(nodes),
        "{}: nodes are partitions",
        tape.display()
    );
}

/// The name of a type in pyarrow.
fn type_name(data_type: &DataType) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "pyarrow's names of numbers are Arrow's in lower case"
    )]
    match data_type {
        DataType::Timestamp(..) => "timestamp[ns, tz=UTC]".to_owned(),
        DataType::Dictionary(..) => "dictionary<values=string, indices=int32, ordered=0>".to_owned(),
        DataType::FixedSizeBinary(width) => format!("fixed_size_binary[{width}]"),
        DataType::Utf8 => "string".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::List(item) => format!("list<{}: {} not null>", item.name(), type_name(item.data_type())),
        DataType::Struct(fields) => {
            let field = |field: &std::sync::Arc<arrow::datatypes::Field>| {
                let null = if field.is_nullable() { "" } else { " not null" };
                format!("{}: {}{null}", field.name(), type_name(field.data_type()))
            };
            format!("struct<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

fn open(python: &Path, tape: &Path) -> Value {
    let ran = Command::new(python).args(["-c", SCRIPT]).arg(tape).output().unwrap();
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}: {stderr}", tape.display());
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// The tapes that stand in the tree.
fn committed() -> Vec<PathBuf> {
    let tapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tapes");
    let mut found: Vec<PathBuf> = fs::read_dir(tapes)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.retain(|path| path.join("manifest.json").exists());
    found.sort();
    found
}

/// A tape that `metadata` writes, with something in every nested column.
fn metadata(home: &Path) -> PathBuf {
    let cluster = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}},
         "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": "i", "ports": [{"name": "http", "containerPort": 80}],
                  "livenessProbe": {"httpGet": {"port": "http"}}}]},
         "status": {"phase": "Running", "podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}], "startTime": "2026-01-01T00:00:05Z"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
         "spec": {"clusterIPs": ["10.9.0.1"], "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"podSelector": {}}}
    ]});
    let (input, tape) = (home.join("cluster.json"), home.join("metadata"));
    fs::write(&input, cluster.to_string()).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_flowtape-recorder"))
        .args(["metadata", "--from"])
        .arg(input)
        .arg("-o")
        .arg(&tape)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    tape
}

/// A tape that is recorded now, where this machine allows it: this process connects to itself.
fn recorded(home: &Path) -> Option<PathBuf> {
    let recorder = || Command::new(env!("CARGO_BIN_EXE_flowtape-recorder"));
    if !recorder().arg("check").output().unwrap().status.success() {
        skipped("nothing is recorded here: `flowtape-recorder check` says why");
        return None;
    }
    let tape = home.join("recorded");
    let mut recording = recorder()
        .args(["record", "--node", "n1", "--duration", "2s", "-o"])
        .arg(&tape)
        .spawn()
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    while recording.try_wait().unwrap().is_none() {
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        drop((listener.accept().unwrap(), client));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(recording.wait().unwrap().success());
    let rows: BTreeMap<String, u64> = Manifest::parse(&fs::read(tape.join("manifest.json")).unwrap())
        .unwrap()
        .files
        .into_iter()
        .map(|file| (file.table, file.rows))
        .collect();
    assert!(rows["events"] > 0 && rows["flows"] > 0, "{rows:?}");
    Some(tape)
}

/// The interpreter of an environment that has the package, made on the first run; `None` where that is not possible.
fn python() -> Option<PathBuf> {
    let tools = std::env::var_os("FLOWTAPE_TOOLS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache/flowtape-tools"),
        PathBuf::from,
    );
    let home = tools.join(format!("{PACKAGE}-{VERSION}"));
    let python = home.join("bin/python");
    fs::create_dir_all(&tools).unwrap();
    // Two test runs at once would write over each other.
    let lock = File::create(tools.join(format!("{PACKAGE}.lock"))).unwrap();
    lock.lock().unwrap();
    let ready = home.join("ready");
    if !ready.exists() {
        let requirement = format!("{PACKAGE}=={VERSION}");
        let steps = [
            (Path::new("python3"), vec!["-m", "venv", "--clear", home.to_str()?]),
            (
                &python,
                vec![
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--only-binary=:all:",
                    &requirement,
                ],
            ),
        ];
        for (program, arguments) in steps {
            let ran = Command::new(program).args(&arguments).output();
            let problem = match ran {
                Ok(ran) if ran.status.success() => continue,
                Ok(ran) => String::from_utf8_lossy(&ran.stderr).trim().to_owned(),
                Err(error) => error.to_string(),
            };
            skipped(&format!(
                "`{} {}` failed: {problem}",
                program.display(),
                arguments.join(" ")
            ));
            return None;
        }
        fs::write(&ready, "").unwrap();
    }
    Some(python)
}

/// Says so even where the output of tests that pass is not shown.
fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
