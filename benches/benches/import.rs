//! `flowtape import` as a user runs it, beside programs that read the same fields of the same file in the same run.
//!
//! `cargo bench -p flowtape-benches --bench import`. A rival that is not installed is named with how to install it: `tshark`, `jq`, and
//! `DuckDB` as a module of `python3`. What they do is less: they print or count fields, and neither follow connections nor write a tape.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};

use flowtape_benches::program::{self, Cost};
use flowtape_benches::recording;

/// The one that `flowtape` has, because half of the processes here are `flowtape`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of each; the fastest counts.
const RUNS: usize = 3;

const CONNECTIONS: usize = 40_000;

const FLOWS: usize = 400_000;

/// What an importer needs of a packet.
const FIELDS: [&str; 8] = [
    "frame.time_epoch",
    "ip.src",
    "ip.dst",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "tcp.flags",
];

/// What an importer needs of a flow, summed up as far as a query can.
const QUERY: &str = "import duckdb, sys
print(len(duckdb.sql(f\"\"\"SELECT flow.IP.source, flow.IP.destination, flow.l4.TCP.destination_port, flow.verdict,
  flow.source.namespace, flow.source.pod_name, flow.destination.namespace, flow.destination.pod_name, flow.traffic_direction,
  flow.is_reply, count(*), min(flow.time)::VARCHAR, max(flow.time)::VARCHAR FROM read_json('{sys.argv[1]}', format='newline_delimited')
  GROUP BY ALL\"\"\").fetchall()))";

const FILTER: &str = "[.flow.time, .flow.IP.source, .flow.IP.destination, .flow.l4.TCP.destination_port, .flow.verdict,
  .flow.source.pod_name, .flow.destination.pod_name, .flow.traffic_direction, .flow.is_reply]";

fn main() -> ExitCode {
    program::main(flowtape::cli::main, tables)
}

fn tables() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let mut out = io::stdout();

    let capture = at("capture.pcap");
    let mut file = BufWriter::new(File::create(&capture)?);
    let packets = recording::capture(&mut file, CONNECTIONS, 1)?;
    file.flush()?;
    let bytes = capture.metadata()?.len();
    writeln!(out, "A capture of {} MiB, {packets} packets:\n", bytes >> 20)?;
    head(&mut out)?;
    row(
        &mut out,
        "flowtape import pcap",
        bytes,
        packets,
        import("pcap", &capture, directory.path()),
    )?;
    let mut tshark = vec!["-n", "-r", text(&capture)?, "-T", "fields"];
    tshark.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
    row(&mut out, "tshark -T fields", bytes, packets, rival("tshark", &tshark))?;
    row(
        &mut out,
        "tcpdump -n -r",
        bytes,
        packets,
        rival("tcpdump", &["-n", "-r", text(&capture)?]),
    )?;

    let flows = at("flows.jsonl");
    let mut file = BufWriter::new(File::create(&flows)?);
    recording::hubble(&mut file, FLOWS, 1)?;
    file.flush()?;
    let bytes = flows.metadata()?.len();
    let lines = FLOWS as u64;
    writeln!(out, "\nFlows of Hubble, {} MiB, {lines} lines:\n", bytes >> 20)?;
    head(&mut out)?;
    row(
        &mut out,
        "flowtape import hubble",
        bytes,
        lines,
        import("hubble", &flows, directory.path()),
    )?;
    row(
        &mut out,
        "DuckDB read_json, GROUP BY",
        bytes,
        lines,
        rival("python3", &["-c", QUERY, text(&flows)?]),
    )?;
    row(
        &mut out,
        "jq",
        bytes,
        lines,
        rival("jq", &["-c", FILTER, text(&flows)?]),
    )?;
    Ok(())
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other("a path that is no text"))
}

fn head(out: &mut impl io::Write) -> io::Result<()> {
    writeln!(
        out,
        "| program | wall ms | processor ms | MiB/s | records/s | peak MiB |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: |")
}

fn row(out: &mut impl io::Write, name: &str, bytes: u64, records: u64, cost: io::Result<Cost>) -> io::Result<()> {
    let Cost { wall, processor, peak } = match cost {
        Ok(cost) => cost,
        Err(error) => return writeln!(out, "| {name} | not run: {error} | | | | |"),
    };
    let millis = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX).max(1);
    let (megabytes, per_second) = (bytes * 1_000 / millis / (1 << 20), records * 1_000 / millis);
    writeln!(
        out,
        "| {name} | {} | {} | {megabytes} | {per_second} | {} |",
        wall.as_millis(),
        processor.as_millis(),
        peak / 1_024
    )
}

/// Runs this very program as `flowtape import`.
fn import(format: &str, file: &Path, directory: &Path) -> io::Result<Cost> {
    program::fastest(RUNS, |run| {
        let tape = directory.join(format!("tape-{format}-{run}"));
        program::run(program::flowtape(["import", format])?.arg(file).arg("-o").arg(tape))
    })
}

fn rival(name: &str, arguments: &[&str]) -> io::Result<Cost> {
    program::fastest(RUNS, |_| program::run(Command::new(name).args(arguments)))
}
