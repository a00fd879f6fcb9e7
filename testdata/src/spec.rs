//! Runs specifications: Markdown files whose examples are executed.
//!
//! Three kinds of fenced blocks mean something, all others are prose:
//!
//! - ` ```scenario NAME `: a scenario, or one line `include PATH` (relative to the Markdown file). It is compiled to
//!   the tape `NAME`, and its Kubernetes objects are written to `NAME.json`;
//! - ` ```yaml PATH ` (or any other language followed by a path): a file of that content;
//! - ` ```console `: commands after `$ `, each followed by exactly what it prints on standard output, and by a line
//!   `[exit N]` if it ends with another code than 0. `2>&1` at the end of a command adds standard error. `cat FILE` shows
//!   a file that a command wrote.
//!
//! All of one Markdown file happens in one fresh directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kubernetes::list_at;
use crate::layout::Layout;
use crate::model::{Offset, Scenario};
use crate::tape;

mod markdown;

use markdown::Block;

/// What running a specification showed.
#[derive(Debug, Default)]
pub struct Report {
    /// Commands run.
    pub commands: usize,
    /// What did not come out as written, each a text for a person.
    pub failures: Vec<String>,
    /// The same by what the commands are about, in the order of the text.
    pub units: Vec<Unit>,
}

/// A part of a specification that passes or fails: a scenario with all commands that name it, or the commands below one
/// heading that name none.
#[derive(Debug, Default)]
pub struct Unit {
    /// Name of the scenario, or the heading.
    pub name: String,
    /// How many commands it has.
    pub commands: usize,
    /// What of them did not come out as written.
    pub failures: Vec<String>,
}

/// Why a specification could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A file or program could not be used.
    #[error("cannot {action} `{}`: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
    /// A block is not what it should be.
    #[error("{}:{line}: {message}", path.display())]
    Block {
        /// The Markdown file.
        path: PathBuf,
        /// Line of the block.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

/// Runs one Markdown file with a `flowtape` binary. With `bless` the file is rewritten to say what was printed.
pub fn run(markdown: &Path, flowtape: &Path, bless: bool) -> Result<Report, SpecError> {
    let text = io("read", markdown, std::fs::read_to_string(markdown))?;
    let scratch = io("make a directory in", &std::env::temp_dir(), tempfile::tempdir())?;
    let mut report = Report {
        units: units(&text),
        ..Report::default()
    };
    let mut blessed = String::new();
    let mut heading = "";
    for block in markdown::blocks(&text) {
        match &block {
            Block::Prose(prose) => {
                heading = markdown::heading(prose).unwrap_or(heading);
                blessed.push_str(prose);
            }
            Block::Fenced {
                kind, name, line, body, ..
            } => {
                let block_error = |message: String| SpecError::Block {
                    path: markdown.to_owned(),
                    line: *line,
                    message,
                };
                let mut shown = body.clone();
                match (*kind, *name) {
                    ("scenario", Some(name)) => {
                        prepare(markdown, scratch.path(), name, body)?.map_err(block_error)?;
                    }
                    ("console", None) => {
                        let ran = console(body, flowtape, scratch.path(), *line, heading, &mut report)?;
                        shown = ran.map_err(block_error)?;
                    }
                    (_, Some(name)) => {
                        let path = inside(scratch.path(), name)
                            .ok_or_else(|| block_error(format!("`{name}` is not a relative path")))?;
                        write_file(&path, body.as_bytes())?;
                    }
                    (_, None) => {}
                }
                blessed.push_str(&block.with_body(&shown));
            }
        }
    }
    if bless && blessed != text {
        io("write", markdown, std::fs::write(markdown, blessed))?;
        report.failures.clear();
        report.units.iter_mut().for_each(|unit| unit.failures.clear());
    }
    Ok(report)
}

/// What passes or fails in a specification, in the order of the text, not run yet.
#[must_use]
pub fn units(text: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut add = |name: &str| {
        if !units.iter().any(|unit| unit.name == name) {
            let name = name.to_owned();
            units.push(Unit {
                name,
                ..Unit::default()
            });
        }
    };
    let blocks = markdown::blocks(text);
    let scenarios = scenarios(&blocks);
    let mut heading = "";
    for block in &blocks {
        match block {
            Block::Prose(prose) => heading = markdown::heading(prose).unwrap_or(heading),
            Block::Fenced {
                kind: "scenario",
                name: Some(name),
                ..
            } => add(name),
            Block::Fenced {
                kind: "console", body, ..
            } => {
                let commands = markdown::commands(body).into_iter();
                let words = commands.filter_map(|(command, _)| markdown::words(command));
                let names_none = |words: &[String]| !scenarios.iter().any(|name| names(words, name));
                if words.map(|(words, _)| words).any(|words| names_none(&words)) {
                    add(heading);
                }
            }
            Block::Fenced { .. } => {}
        }
    }
    units
}

fn scenarios<'t>(blocks: &[Block<'t>]) -> Vec<&'t str> {
    let scenario = |block: &Block<'t>| match block {
        Block::Fenced {
            kind: "scenario", name, ..
        } => *name,
        Block::Fenced { .. } | Block::Prose(_) => None,
    };
    blocks.iter().filter_map(scenario).collect()
}

/// Whether a command is about a scenario: it names its tape, a part of that, or its objects.
fn names(words: &[String], scenario: &str) -> bool {
    words.iter().any(|word| match word.strip_prefix(scenario) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || rest == ".json",
        None => false,
    })
}

impl Report {
    /// Notes a command that was run.
    fn note(&mut self, words: &[String], heading: &str, failure: Option<String>) {
        self.commands += 1;
        let named = self.units.iter().any(|unit| names(words, &unit.name));
        let concerned = |unit: &&mut Unit| {
            if named {
                names(words, &unit.name)
            } else {
                unit.name == heading
            }
        };
        for unit in self.units.iter_mut().filter(concerned) {
            unit.commands += 1;
            unit.failures.extend(failure.clone());
        }
        self.failures.extend(failure);
    }
}

fn io<T>(action: &'static str, path: &Path, result: std::io::Result<T>) -> Result<T, SpecError> {
    result.map_err(|error| SpecError::Io {
        action,
        path: path.to_owned(),
        error,
    })
}

/// A path below the scratch directory, if it stays there.
fn inside(scratch: &Path, name: &str) -> Option<PathBuf> {
    flowtape_schemas::manifest::is_inside(name).then(|| scratch.join(name))
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), SpecError> {
    if let Some(parent) = path.parent() {
        io("make", parent, std::fs::create_dir_all(parent))?;
    }
    io("write", path, std::fs::write(path, content))
}

/// Compiles a scenario; the inner error is about the block.
fn prepare(markdown: &Path, scratch: &Path, name: &str, body: &str) -> Result<Result<(), String>, SpecError> {
    let text = match body.trim().strip_prefix("include ") {
        Some(path) => {
            let path = markdown.parent().unwrap_or(markdown).join(path.trim());
            io("read", &path, std::fs::read_to_string(&path))?
        }
        None => body.to_owned(),
    };
    let compiled = Scenario::parse(&text)
        .map_err(|problems| problems.to_string())
        .and_then(|scenario| {
            let layout = Layout::of(&scenario).map_err(|problems| problems.to_string())?;
            let files = tape::compile(&scenario).map_err(|error| error.to_string())?;
            Ok((files, list_at(&scenario, &layout, Offset(0))))
        });
    let (files, objects) = match compiled {
        Ok(compiled) => compiled,
        Err(message) => return Ok(Err(message)),
    };
    let Some(directory) = inside(scratch, name) else {
        return Ok(Err(format!("`{name}` is not a name for a tape")));
    };
    io("write", &directory, tape::write(&directory, &files))?;
    write_file(
        &scratch.join(format!("{name}.json")),
        format!("{objects:#}\n").as_bytes(),
    )?;
    Ok(Ok(()))
}

/// Runs the commands of a block and says what the block should look like; the inner error is about the block.
fn console(
    body: &str,
    flowtape: &Path,
    scratch: &Path,
    line: usize,
    heading: &str,
    report: &mut Report,
) -> Result<Result<String, String>, SpecError> {
    let mut shown = String::new();
    for (command, expected) in markdown::commands(body) {
        let Some((words, with_errors)) = markdown::words(command) else {
            return Ok(Err(format!(
                "expected a command such as `$ flowtape flows NAME` or `$ cat FILE`, found `{command}`"
            )));
        };
        let (printed, errors) = match words.as_slice() {
            [name] if command.starts_with("cat ") => (file(scratch, name), String::new()),
            _ => run_flowtape(flowtape, scratch, &words, with_errors)?,
        };
        let failure = (printed != expected).then(|| {
            let difference = difference(&expected, &printed);
            format!("in the block on line {line}:\n$ {command}\n{difference}standard error:\n{errors}")
        });
        report.note(&words, heading, failure);
        // Writing to a string cannot fail.
        let _ = write!(shown, "$ {command}\n{printed}");
    }
    Ok(Ok(shown))
}

/// What a file holds, or that it cannot be shown.
fn file(scratch: &Path, name: &str) -> String {
    let path = inside(scratch, name).ok_or_else(|| format!("[`{name}` is not below the directory]\n"));
    path.and_then(|path| std::fs::read_to_string(path).map_err(|error| format!("[{error}]\n")))
        .unwrap_or_else(|error| error)
}

/// What a command prints, with its exit code, and its standard error by itself.
fn run_flowtape(
    flowtape: &Path,
    scratch: &Path,
    words: &[String],
    with_errors: bool,
) -> Result<(String, String), SpecError> {
    let output = Command::new(flowtape)
        .args(words)
        .current_dir(scratch)
        .env("NO_COLOR", "1")
        .output();
    let output = io("run", flowtape, output)?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if with_errors {
        printed.push_str(&errors);
    }
    if !printed.is_empty() && !printed.ends_with('\n') {
        printed.push_str("[no newline]\n");
    }
    match output.status.code() {
        Some(0) => {}
        // Writing to a string cannot fail.
        Some(code) => {
            let _ = writeln!(printed, "[exit {code}]");
        }
        None => printed.push_str("[killed]\n"),
    }
    Ok((printed, errors))
}

/// Both texts line by line: what is common, what was expected and what was printed.
fn difference(expected: &str, printed: &str) -> String {
    let (expected, printed): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), printed.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = expected.iter().zip(&printed).take_while(same).count();
    let rest = expected.len().min(printed.len()) - head;
    let tail = expected
        .iter()
        .rev()
        .zip(printed.iter().rev())
        .take(rest)
        .take_while(same)
        .count();
    let mut text = String::new();
    let mut show = |mark: char, lines: &[&str]| {
        for line in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{mark} {line}");
        }
    };
    show(' ', &expected[..head]);
    show('-', &expected[head..expected.len() - tail]);
    show('+', &printed[head..printed.len() - tail]);
    show(' ', &expected[expected.len() - tail..]);
    text
}
