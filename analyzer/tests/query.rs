//! `flowtape query`, in builds that have it: example questions with their answers, and what holds for every answer.
//!
//! `BLESS=1` rewrites what the examples print.
#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its case fails")]

use std::path::Path;
use std::process::{Command, Output};

use flowtape_scenario::spec;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const FLOWTAPE: &str = env!("CARGO_BIN_EXE_flowtape");

fn testdata(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}

fn query(sql: &str, options: &[&str]) -> Output {
    Command::new(FLOWTAPE)
        .arg("query")
        .arg(testdata("tapes/dvwa"))
        .arg(sql)
        .args(options)
        .output()
        .unwrap()
}

fn answer(sql: &str, options: &[&str]) -> String {
    let Output { status, stdout, stderr } = query(sql, options);
    assert_eq!(status.code(), Some(0), "{sql}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "BLESS is how every test of the project rewrites what it expects"
)]
fn the_example_questions_have_these_answers() {
    let bless = std::env::var_os("BLESS").is_some_and(|bless| bless == "1");
    let report = spec::run(&testdata("query/questions.md"), Path::new(FLOWTAPE), bless);
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    assert!(report.commands > 15, "{} commands", report.commands);
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
}

#[test]
fn the_same_question_has_the_same_answer_where_no_order_is_asked_for() {
    for sql in [
        "SELECT remote_port, COUNT(*) AS n FROM events GROUP BY remote_port",
        "SELECT remote_port FROM events GROUP BY remote_port LIMIT 5",
        "SELECT DISTINCT local_port, remote_port FROM events",
        "SELECT local_port FROM events UNION SELECT remote_port FROM events",
        "SELECT local_port, kind FROM events ORDER BY kind",
        "SELECT a.local_port, b.remote_port FROM events a JOIN events b ON a.kind = b.kind AND a.local_name = b.local_name",
    ] {
        let first = answer(sql, &["--format", "csv"]);
        assert!(first.lines().count() > 5, "{first}");
        for threads in ["1", "2", "3", "4", "5"] {
            assert_eq!(first, answer(sql, &["--format", "csv", "--threads", threads]), "{sql}");
        }
    }
}

#[test]
fn every_table_of_the_reference_can_be_asked() {
    let reference = Command::new(FLOWTAPE).args(["schema", "query"]).output().unwrap();
    let reference = String::from_utf8(reference.stdout).unwrap();
    let mut tables = Vec::new();
    for section in reference.split("\n## ").skip(1) {
        let (table, rest) = section.split_once('\n').unwrap();
        let columns = rest
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let columns: Vec<&str> = columns.map(|(column, _)| column).collect();
        let head = answer(&format!("SELECT * FROM {table} LIMIT 0"), &["--format", "csv"]);
        assert_eq!(head, columns.join(",") + "\n", "{table}");
        tables.push(table.to_owned());
    }
    tables.sort();
    let shown = answer("SHOW TABLES", &["--format", "csv"]);
    assert_eq!(shown.lines().skip(1).collect::<Vec<_>>(), tables);
}

#[test]
fn a_document_has_columns_and_rows() {
    let sql = "SELECT to_name, port, count / 8 AS part, first_seen, assumed, to_role FROM edges WHERE port = 3306";
    let document: serde_json::Value = serde_json::from_str(&answer(sql, &["--format", "json"])).unwrap();
    assert_eq!(document["schema"], "flowtape.query/v1");
    let columns: Vec<String> = document["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].to_string())
        .collect();
    assert_eq!(columns.join(" "), r#""text" "integer" "number" "time" "bool" "text""#);
    let row = serde_json::json!({
        "to_name": "dvwa-mysql",
        "port": 3306,
        "part": 1.5,
        "first_seen": "2026-01-01T00:00:01.000000000Z",
        "assumed": false,
        "to_role": null,
    });
    assert_eq!(document["rows"], serde_json::json!([row]));
}

#[test]
fn an_answer_is_written_as_parquet() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("answer.parquet");
    let sql = "SELECT to_name, port, first_seen, assumed, count / 4.0 AS quarter, to_role FROM edges ORDER BY port";
    let printed = query(sql, &["--format", "parquet", "-o", path.to_str().unwrap()]);
    assert_eq!((printed.status.code(), printed.stdout.as_slice()), (Some(0), &b""[..]));
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let types: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(
        types,
        ["Utf8", "Int64", "Timestamp(ns, \"UTC\")", "Boolean", "Float64", "Utf8"]
    );
    assert_eq!(batch.num_rows(), 4);
    assert_eq!(batch.column(5).null_count(), 3);
}

#[test]
fn a_hostile_name_of_a_column_is_escaped() {
    let text = answer("SELECT 1 AS \"a\u{1b}[2J\"", &[]);
    assert!(text.starts_with("a\\u{1b}[2J\n"), "{text:?}");
    let csv = answer("SELECT 'x' AS \"=1+1\", '=2+2' AS y, -3 AS z", &["--format", "csv"]);
    assert_eq!(csv, "'=1+1,y,z\nx,'=2+2,-3\n");
}

#[test]
fn a_query_as_deep_as_it_can_be_is_answered_or_refused() {
    for (head, part, tail) in [
        ("SELECT ", "1+", "1 AS a"),
        ("SELECT ", "a||", "a AS b FROM (SELECT 'x' AS a) t"),
        ("SELECT ", "NOT ", "TRUE AS a"),
        ("SELECT 1 AS a FROM edges WHERE port = 1", " OR port", ""),
        ("", "SELECT 1 AS a UNION ALL ", "SELECT 1 AS a"),
        ("SELECT ", "(", "1"),
        ("SELECT ", "abs(", "1"),
    ] {
        for times in [62, 500] {
            let deep = query(&format!("{head}{}{tail}", part.repeat(times)), &[]);
            let said = String::from_utf8_lossy(&deep.stderr).into_owned();
            let code = deep.status.code();
            assert!(
                matches!(code, Some(0 | 2)),
                "{head}{part} {times}: {:?} {said}",
                deep.status
            );
            assert!(times == 62 || code == Some(2), "{head}{part}: {said}");
        }
    }
    let long = query(&format!("SELECT 1 {}", " ".repeat(5000)), &[]);
    let said = String::from_utf8_lossy(&long.stderr).into_owned();
    assert!(said.contains("bytes, and 4096 is the most"), "{said}");
}
