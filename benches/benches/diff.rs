//! `flowtape diff` of two sets of policies as a user runs it, from files to a written list: of the same policies, of
//! policies of which ten changed, and of policies that all changed.
//!
//! `cargo bench -p flowtape-benches --bench diff` prints a row for each.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use flowtape_benches::policies::{Kind, cluster, policies};
use flowtape_benches::program::{self, Cost, fastest, run_into};

/// The one that `flowtape` has, because half of the processes here are `flowtape`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of each; the fastest counts.
const RUNS: usize = 3;

/// Workloads of one pod each.
const SIZES: [usize; 3] = [1_000, 3_000, 5_000];

/// How the ports of rules begin, before and after.
const PORT: (&str, &str) = ("port: 80", "port: 70");

/// How many files differ; with the last, all of them.
const CHANGED: [usize; 3] = [0, 10, usize::MAX];

fn main() -> ExitCode {
    program::main(flowtape::cli::main, table)
}

fn table() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    writeln!(
        out,
        "| policies | workloads | files that differ | lines | wall ms | processor ms | peak MiB |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for kind in Kind::ALL {
        for workloads in SIZES {
            for changed in CHANGED {
                let directory = tempfile::tempdir()?;
                let changed = write(directory.path(), kind, workloads, changed)?;
                let found = directory.path().join("found");
                let cost = fastest(RUNS, |_| diff(directory.path(), &found))?;
                let lines = fs::read(&found)?.split(|byte| *byte == b'\n').count() - 1;
                let Cost { wall, processor, peak } = cost;
                writeln!(
                    out,
                    "| {} | {workloads} | {changed} | {lines} | {} | {} | {} |",
                    kind.word(),
                    wall.as_millis(),
                    processor.as_millis(),
                    peak / 1024
                )?;
            }
        }
    }
    Ok(())
}

/// Writes a cluster and two sets that differ in as many files as `changed` says: in one rule of each, and where all differ, in all.
/// Says how many that are.
fn write(directory: &Path, kind: Kind, workloads: usize, changed: usize) -> io::Result<usize> {
    fs::write(directory.join("cluster.json"), cluster(workloads))?;
    for side in ["before", "after"] {
        fs::create_dir(directory.join(side))?;
    }
    let mut count = 0;
    for (name, text) in policies(kind, workloads, 1) {
        let other = match changed {
            usize::MAX => text.replace(PORT.0, PORT.1),
            _ if count < changed => text.replacen(PORT.0, PORT.1, 1),
            _ => text.clone(),
        };
        count += usize::from(other != text);
        fs::write(directory.join("after").join(&name), other)?;
        fs::write(directory.join("before").join(&name), &text)?;
    }
    Ok(count)
}

/// Runs this very program as `flowtape diff`, which is to pass whatever it finds.
fn diff(directory: &Path, found: &Path) -> io::Result<Cost> {
    let mut command = program::flowtape(["diff"])?;
    command
        .arg(directory.join("before"))
        .arg(directory.join("after"))
        .arg("--cluster")
        .arg(directory.join("cluster.json"))
        .args(["--fail-on", "none"]);
    run_into(Stdio::from(File::create(found)?), &mut command)
}
