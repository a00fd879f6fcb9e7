//! `flowtape generate` as a user runs it: from the files of a tape to policies on disk, with the proof.
//!
//! `cargo bench -p flowtape-benches --bench generate` prints a table for clusters of 500 and 1,000 workloads;
//! `-- target` adds the one that is aimed at, 5,000 workloads and 100,000 lines of traffic, whose tape takes minutes to make.
//! There is no rival in it, so nobody should quote it as a comparison.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use flowtape_benches::program::{self, Cost};
use flowtape_benches::{Size, scenario};
use flowtape_scenario::{Scenario, tape};

/// The one that `flowtape` has, because half of the processes here are `flowtape`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of each size; the fastest counts.
const RUNS: usize = 3;

const SIZES: [Size; 2] = [of(500, 10_000), of(1_000, 20_000)];

/// The size that is aimed at: under 2 seconds on 2 processors.
const TARGET: Size = of(5_000, 100_000);

const fn of(workloads: usize, lines: usize) -> Size {
    Size {
        workloads,
        lines,
        connections: 4,
    }
}

fn main() -> ExitCode {
    program::main(flowtape::cli::main, table)
}

/// Prints a row for each size as soon as it is measured.
fn table() -> Result<(), Box<dyn Error>> {
    let mut sizes = SIZES.to_vec();
    sizes.extend(std::env::args().any(|argument| argument == "target").then_some(TARGET));
    let mut out = io::stdout();
    writeln!(
        out,
        "| workloads | lines of traffic | bytes of tape | wall ms | processor ms | peak KiB |"
    )?;
    writeln!(out, "| ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for size in sizes {
        writeln!(out, "{}", row(size)?)?;
    }
    Ok(())
}

/// Makes a tape and says what generating from it costs.
fn row(size: Size) -> Result<String, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let files = tape::compile(&Scenario::parse(&scenario(size, 1))?)?;
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    let place = directory.path().join("tape");
    tape::write(&place, &files)?;
    let Cost { wall, processor, peak } = program::fastest(RUNS, |run| {
        let output = directory.path().join(format!("policies-{run}"));
        program::run(program::flowtape(["generate"])?.arg(&place).arg("-o").arg(output))
    })?;
    Ok(format!(
        "| {} | {} | {} | {} | {} | {} |",
        size.workloads,
        size.lines,
        bytes,
        wall.as_millis(),
        processor.as_millis(),
        peak
    ))
}
