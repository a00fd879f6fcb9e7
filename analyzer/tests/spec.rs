//! Runs the written semantics of the product: every example in `testdata/spec/*.md`, against the real binary. Each scenario
//! is a test of its own, with every command that names it; so are the commands below a heading that name none.
//!
//! `BLESS=1 cargo test -p flowtape --test spec` rewrites what the examples print.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use flowtape_scenario::spec::{self, Report, SpecError};
use libtest_mimic::{Arguments, Failed, Trial};

/// A file, which is run as a whole when the first of its scenarios is asked for.
struct Page {
    path: PathBuf,
    report: OnceLock<Result<Report, SpecError>>,
}

impl Page {
    fn check(&self, place: usize) -> Result<(), Failed> {
        let run = || spec::run(&self.path, Path::new(env!("CARGO_BIN_EXE_flowtape")), bless());
        let unit = match self.report.get_or_init(run) {
            Ok(report) => report.units.get(place).ok_or("the file was changed while it was run")?,
            Err(error) => return Err(error.to_string().into()),
        };
        if unit.commands == 0 {
            return Err("no command shows what becomes of it".into());
        }
        if unit.failures.is_empty() {
            return Ok(());
        }
        Err(unit.failures.join("\n").into())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "BLESS is how every test of the project rewrites what it expects"
)]
fn bless() -> bool {
    std::env::var_os("BLESS").is_some_and(|bless| bless == "1")
}

fn trials() -> Result<Vec<Trial>, Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/spec");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|end| end == "md"));
    files.sort();
    let mut trials = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let report = OnceLock::new();
        let page = Arc::new(Page { path, report });
        let units = spec::units(&text);
        if units.is_empty() {
            return Err(format!("{stem}.md runs no command").into());
        }
        for (place, unit) in units.into_iter().enumerate() {
            let page = Arc::clone(&page);
            trials.push(Trial::test(format!("{stem}: {}", unit.name), move || page.check(place)));
        }
    }
    if trials.is_empty() {
        return Err("testdata/spec holds no specification".into());
    }
    Ok(trials)
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::from_args();
    Ok(libtest_mimic::run(&arguments, trials()?).exit_code())
}
