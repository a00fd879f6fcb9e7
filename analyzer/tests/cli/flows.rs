//! `flowtape flows`: what the filters leave, and its rows for spreadsheets.

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use arrow::util::display::array_value_to_string;
use flowtape_schemas::node::EventRow;
use flowtape_schemas::parquet::encode_file;
use flowtape_schemas::time::Time;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{Scratch, committed, replace, rows, scenario_files};

/// The servers and ports of the edges that are left, in order.
fn servers(scratch: &Scratch, filters: &str) -> Vec<String> {
    let shown = scratch.run(&format!("flows tape --format csv {filters}"));
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let lines = shown.stdout.lines().skip(1);
    let server = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        format!("{}:{}/{}", cells[9], cells[12], cells[15])
    };
    lines.map(server).collect()
}

#[test]
fn each_filter_narrows_and_together_they_narrow_more() {
    const MYSQL: &str = "dvwa-mysql:3306/established";
    const REFUSED: &str = "dvwa-mysql:3307/refused";
    const DNS: &str = "coredns:53/established";
    const WEB: &str = "dvwa-web:80/established";
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    for (filters, left) in [
        ("", vec![MYSQL, REFUSED, DNS, WEB]),
        ("-n kube-system", vec![DNS]),
        ("--from dvwa/dvwa-web", vec![MYSQL, REFUSED, DNS]),
        ("--from type:external", vec![WEB]),
        ("--from 203.0.113.0/24 --from dvwa/dvwa-web --port 80", vec![WEB]),
        ("--to role:dns", vec![DNS]),
        ("--to dvwa/Deployment/dvwa-mysql --outcome refused", vec![REFUSED]),
        ("--port 3306-3307", vec![MYSQL, REFUSED]),
        ("--port 53/UDP,80/TCP", vec![DNS, WEB]),
        ("--port 53/TCP", vec![]),
        ("--outcome refused,timeout", vec![REFUSED]),
        ("--since 2026-01-01T00:00:15Z", vec![MYSQL, DNS]),
        ("--until 2026-01-01T00:00:02Z", vec![MYSQL, DNS]),
        ("--to dvwa", vec![MYSQL, REFUSED, WEB]),
        ("--to dvwa --from dvwa", vec![MYSQL, REFUSED]),
    ] {
        assert_eq!(servers(&scratch, filters), left, "`{filters}`");
    }
}

#[test]
fn a_filter_changes_no_edge_and_no_finding() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    let (all, left) = (scratch.run("flows tape"), scratch.run("flows tape --port 1-65535"));
    assert_eq!(all, left);
    let narrow = scratch.run("flows tape --to role:dns");
    assert_eq!(narrow.stderr, all.stderr);
    let words = |text: &str| -> Vec<Vec<String>> {
        let line = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        text.lines().map(line).collect()
    };
    assert!(
        words(&narrow.stdout)
            .iter()
            .all(|line| words(&all.stdout).contains(line))
    );
}

#[test]
fn rows_have_a_head_and_findings_stay_beside_them() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    let shown = scratch.run("flows tape --format csv --from type:external");
    assert_eq!(
        shown.stdout,
        "id,from_type,from_namespace,from_kind,from_name,from_role,to_type,to_namespace,to_kind,to_name,to_role,protocol,\
         port,port_name,services,outcome,count,first_seen,last_seen,seen_by,predates_window,assumed,node_ports,\
         translated\n\
         e6399d7c8992e8d6,external,,,203.0.113.7/32,,workload,dvwa,Deployment,dvwa-web,,TCP,80,http,,established,5,\
         2026-01-01T00:00:02.000000000Z,2026-01-01T00:00:12.000000000Z,server,false,false,,\n"
    );
    assert!(shown.stderr.starts_with("info[FT1009]"), "{}", shown.stderr);
}

/// The only batch of a Parquet file.
fn batch(scratch: &Scratch, name: &str) -> RecordBatch {
    let file = std::fs::File::open(scratch.path(name)).unwrap();
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    batches.next().unwrap().unwrap()
}

#[test]
fn parquet_holds_what_csv_holds_with_types_and_words_for_the_columns() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    let shown = scratch.run("flows tape --format parquet -o edges.parquet");
    assert_eq!((shown.code, shown.stdout.as_str()), (0, ""), "{}", shown.stderr);
    assert!(shown.stderr.starts_with("info[FT1009]"), "{}", shown.stderr);
    let batch = batch(&scratch, "edges.parquet");
    let csv = scratch.run("flows tape --format csv").stdout;
    let mut lines = csv
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let names: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(lines.next().unwrap(), names);
    let rows: Vec<Vec<String>> = lines.collect();
    assert_eq!((rows.len(), batch.num_rows()), (4, 4));
    for (column, field) in batch.schema().fields().iter().enumerate() {
        assert!(field.metadata().contains_key("doc"), "{field}");
        for (row, cells) in rows.iter().enumerate() {
            let values = batch.column(column);
            let cell = match values.as_primitive_opt::<TimestampNanosecondType>() {
                Some(times) => Time(times.value(row)).to_string(),
                None => array_value_to_string(values, row).unwrap(),
            };
            assert_eq!(cell, cells[column], "{} of {cells:?}", field.name());
        }
    }
    let types: Vec<String> = ["port", "first_seen", "assumed"]
        .map(|name| batch.schema().field_with_name(name).unwrap().data_type().to_string())
        .to_vec();
    assert_eq!(types, ["Int64", "Timestamp(ns, \"UTC\")", "Boolean"]);
}

#[test]
fn the_same_edges_are_the_same_bytes_wherever_they_go() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    for format in ["text", "json", "csv"] {
        let printed = scratch.run(&format!("flows tape --format {format}"));
        let written = scratch.run(&format!("flows tape --format {format} -o {format}"));
        assert_eq!((written.code, written.stdout.as_str()), (0, ""));
        assert_eq!(written.stderr, printed.stderr);
        assert_eq!(std::fs::read_to_string(scratch.path(format)).unwrap(), printed.stdout);
    }
    for name in ["one", "two"] {
        assert_eq!(
            scratch
                .run(&format!("flows tape --format parquet --output {name}"))
                .code,
            0
        );
    }
    let bytes = |name| std::fs::read(scratch.path(name)).unwrap();
    assert_eq!(bytes("one"), bytes("two"));
}

#[test]
fn no_file_is_replaced_unasked() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa")).file("there", "kept");
    for (arguments, says) in [
        ("-o there", "`there` is there already, and nothing was written"),
        ("-o tape", "`tape` is a directory, give the name of a file"),
        ("-o tape --force", "`tape` is a directory, give the name of a file"),
        ("-o missing/edges", "cannot write `missing/edges`"),
        ("--force", "--output <FILE>"),
    ] {
        let shown = scratch.run(&format!("flows tape --format parquet {arguments}"));
        assert_eq!((shown.code, shown.stdout.as_str()), (2, ""), "{arguments}");
        assert!(shown.stderr.contains(says), "{arguments}: {}", shown.stderr);
        assert_eq!(std::fs::read_to_string(scratch.path("there")).unwrap(), "kept");
    }
    assert_eq!(scratch.run("flows tape --format parquet -o there --force").code, 0);
    assert_eq!(batch(&scratch, "there").num_rows(), 4);
    assert!(!scratch.path("there.tmp").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn parquet_is_not_written_to_a_terminal() {
    use std::fs::OpenOptions;
    use std::process::{Command, Stdio};

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flowtape"))
        .args(["flows", "tape", "--format", "parquet"])
        .current_dir(scratch.path(""))
        .stdout(Stdio::from(terminal))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(
        stderr,
        "error: Parquet is not for a terminal\n\nhint: write it into a file with `-o FILE`\n"
    );
}

/// An address that passes from one pod to another within one interval, seen by the client only.
const REUSE: &str = "window 30s
cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  node n2 172.31.0.12 pods 10.244.2.0/24 unrecorded
  deployment shop/client on n1 labels app=client
  pod shop/old on n2 labels app=old ports 8080 address 10.244.2.50 from 0s to 5s
  pod shop/new on n2 labels app=new ports 8080 address 10.244.2.50 from 7s
traffic
  shop/client -> pod shop/old:8080/TCP x2 at 2s..4s
  shop/client -> pod shop/new:8080/TCP x3 at 8s..9s
";
const EVENTS: &str = "node=n1/events-000001.parquet";

/// Name or address of each server, and how often it was reached.
fn reached(scratch: &Scratch) -> Vec<(String, String)> {
    let shown = scratch.run("flows tape --format csv");
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let cells = |line: &str| -> Vec<String> { line.split(',').map(str::to_owned).collect() };
    let lines = shown.stdout.lines().skip(1).map(cells);
    lines.map(|cells| (cells[9].clone(), cells[16].clone())).collect()
}

#[test]
fn what_has_no_sample_stays_a_count_and_nothing_is_lost() {
    let told = |rows: &[(&str, &str)]| -> Vec<(String, String)> {
        rows.iter()
            .map(|(name, count)| ((*name).to_owned(), (*count).to_owned()))
            .collect()
    };
    let files = scenario_files(REUSE);
    let events: Vec<EventRow> = rows(&files[EVENTS]);
    assert_eq!(events.len(), 5);
    for (samples, left) in [
        (&events[..], told(&[("new", "3"), ("old", "2")])),
        (&events[..1], told(&[("old", "1"), ("10.244.2.50", "4")])),
        (&events[..0], told(&[("10.244.2.50", "5")])),
    ] {
        let mut files = files.clone();
        let content = encode_file(samples).unwrap();
        replace(&mut files, EVENTS, samples.len() as u64, content);
        let scratch = Scratch::new();
        scratch.files("tape", &files);
        assert_eq!(reached(&scratch), left, "{} samples", samples.len());
    }
}

#[test]
fn damaged_samples_are_told_where_they_are_needed() {
    let mut files = scenario_files(REUSE);
    let rows = rows::<EventRow>(&files[EVENTS]).len() as u64;
    let mut content = files[EVENTS].clone();
    for byte in &mut content[4..200] {
        *byte = 0x5a;
    }
    replace(&mut files, EVENTS, rows, content);
    let scratch = Scratch::new();
    scratch.files("tape", &files);
    let shown = scratch.run("flows tape");
    assert_eq!((shown.code, shown.stdout.as_str()), (2, ""), "{}", shown.stderr);
    assert!(shown.stderr.contains(EVENTS), "{}", shown.stderr);
}
