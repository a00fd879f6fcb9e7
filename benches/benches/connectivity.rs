//! `flowtape connectivity` as a user runs it: from a dump of a cluster and files of policies to a written list of everything
//! that they allow, beside an evaluator that asks about one pair of pods after the other.
//!
//! `cargo bench -p flowtape-benches --bench connectivity` prints a row for each set of policies and size, and then how far the
//! evaluator comes. It asks one port of each pair of pods, where `connectivity` says all ports of all of them, and of addresses
//! and pods to come as well; so it is given an advantage.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use flowtape::findings::Findings;
use flowtape::identity::cluster::Cluster;
use flowtape::parse::kubernetes::parse;
use flowtape::policy::ports::Protocol;
use flowtape::replay::world::world;
use flowtape::semantics::eval::{Connection, eval};
use flowtape_benches::policies::{Kind, cluster, policies};
use flowtape_benches::program::{self, Cost, fastest, run_into};
use flowtape_schemas::metadata::{Snapshot, rows};

/// The one that `flowtape` has, because half of the processes here are `flowtape`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of each; the fastest counts.
const RUNS: usize = 3;

/// Workloads of one pod each.
const SIZES: [usize; 3] = [1_000, 3_000, 5_000];

/// Sizes at which the evaluator is asked, until one takes too long.
const NAIVE: [usize; 6] = [50, 100, 200, 400, 800, 1_600];

/// Too long.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    program::main(flowtape::cli::main, tables)
}

fn tables() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    writeln!(
        out,
        "| policies | workloads | in KiB | options | lines | out KiB | wall ms | processor ms | peak MiB |"
    )?;
    writeln!(out, "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")?;
    for kind in Kind::ALL {
        for workloads in SIZES {
            let directory = tempfile::tempdir()?;
            let read = write(directory.path(), kind, workloads)?;
            for options in [&[][..], &["--group"], &["--format", "json"]] {
                let found = directory.path().join("found");
                let cost = fastest(RUNS, |_| connectivity(directory.path(), options, &found))?;
                let (lines, bytes) = size(&found)?;
                let Cost { wall, processor, peak } = cost;
                writeln!(
                    out,
                    "| {} | {workloads} | {} | {} | {lines} | {} | {} | {} | {} |",
                    kind.word(),
                    read / 1024,
                    options.join(" "),
                    bytes / 1024,
                    wall.as_millis(),
                    processor.as_millis(),
                    peak / 1024
                )?;
            }
        }
    }
    writeln!(out, "\n| policies | workloads | pairs | one evaluation of each, ms |")?;
    writeln!(out, "| --- | ---: | ---: | ---: |")?;
    for kind in Kind::ALL {
        for workloads in NAIVE {
            let (pairs, took) = one_after_the_other(kind, workloads)?;
            writeln!(
                out,
                "| {} | {workloads} | {pairs} | {} |",
                kind.word(),
                took.as_millis()
            )?;
            if took > PATIENCE {
                break;
            }
        }
    }
    Ok(())
}

/// Writes a cluster and policies, and says how many bytes they are.
fn write(directory: &Path, kind: Kind, workloads: usize) -> io::Result<usize> {
    let cluster = cluster(workloads);
    fs::write(directory.join("cluster.json"), &cluster)?;
    let place = directory.join("policies");
    fs::create_dir(&place)?;
    let mut bytes = cluster.len();
    for (name, text) in policies(kind, workloads, 1) {
        fs::write(place.join(name), &text)?;
        bytes += text.len();
    }
    Ok(bytes)
}

/// Runs this very program as `flowtape connectivity`.
fn connectivity(directory: &Path, options: &[&str], found: &Path) -> io::Result<Cost> {
    let mut command = program::flowtape(["connectivity", "--policies"])?;
    command
        .arg(directory.join("policies"))
        .arg("--cluster")
        .arg(directory.join("cluster.json"))
        .args(options);
    run_into(Stdio::from(File::create(found)?), &mut command)
}

/// Lines and bytes of a file.
fn size(path: &Path) -> io::Result<(usize, usize)> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let (mut lines, mut bytes) = (0, 0);
    loop {
        let some = file.fill_buf()?;
        if some.is_empty() {
            return Ok((lines, bytes));
        }
        lines += some.split(|byte| *byte == b'\n').count() - 1;
        let read = some.len();
        bytes += read;
        file.consume(read);
    }
}

/// Asks the naive evaluator about one port of every pair of pods, until it takes too long: how many, and how long for all.
fn one_after_the_other(kind: Kind, workloads: usize) -> Result<(usize, Duration), Box<dyn Error>> {
    let files = policies(kind, workloads, 1);
    let set = parse(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))?.set;
    let documents = serde_json::from_str(&cluster(workloads))?;
    let snapshot = Snapshot::of_documents([Ok(documents)], None)?;
    let world = world(&Cluster::new(&rows(vec![snapshot])?, &mut Findings::default()));
    let ends: Vec<_> = world.pods().map(|pod| world.endpoint(pod)).collect();
    let mut allowed = 0_usize;
    let began = Instant::now();
    for &from in &ends {
        for &to in &ends {
            let connection = Connection {
                from,
                to,
                protocol: Protocol::Tcp,
                port: 8080,
            };
            allowed += usize::from(eval(&set, &world, &connection).allowed());
        }
    }
    let took = began.elapsed();
    assert!(allowed > 0, "a set that allows nothing measures nothing");
    Ok((ends.len() * ends.len(), took))
}
