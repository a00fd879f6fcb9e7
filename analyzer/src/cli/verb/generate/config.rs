//! `flowtape.toml`: settings that a repository keeps, so that nobody has to type them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;

use crate::cli::args::generate::Options;
use crate::cli::failure::Failure;
use crate::cli::output;

/// What is read where no other file is named.
const FILE: &str = "flowtape.toml";

/// The largest file of settings. A person writes less.
const FILE_BYTES: u64 = 1 << 20;

/// The whole file. What is not a setting is a mistake, and said with its line.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    generate: Options,
}

/// What the command line asks for, and for the rest what the file of settings does: the one that is named, or that of the
/// working directory.
pub(in crate::cli::verb) fn options(asked: &Options, named: Option<&Path>) -> Result<Options, Failure> {
    let path = named.unwrap_or_else(|| Path::new(FILE));
    let text = match text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
            return Ok(asked.clone());
        }
        Err(error) => return Err(Failure::of(format!("cannot read `{}`", path.display()), &error)),
    };
    let config: Config = toml::from_str(&text).map_err(|error| {
        let message = format!("`{}` is no file of settings: {}", path.display(), error.message());
        let place = error.span().map(|span| place(&text, span.start));
        let failure = Failure::plain(format!("{message}{}", place.unwrap_or_default()));
        failure.hint("`flowtape generate --help` lists the options; in the file they have the same names without `--`")
    })?;
    output::say(&format!("settings of `{}`", path.display()));
    Ok(over(asked.clone(), config.generate))
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // One byte more than is accepted tells a file that is too long.
    File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES {
        let message = format!("it is larger than {FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Where in the text a byte is, as editors count.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.split('\n').count();
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!(" (line {line}, column {column})")
}

/// The first of the two that says something, option by option.
fn over(first: Options, second: Options) -> Options {
    let Options {
        namespaces,
        kind,
        default_deny,
        published,
        dns,
        include_failed,
        min_count,
        exclude,
        widen,
        split_directions,
        evidence,
        layout,
        cni,
    } = first;
    Options {
        namespaces: list(namespaces, second.namespaces),
        kind: kind.or(second.kind),
        cni: cni.or(second.cni),
        default_deny: default_deny.or(second.default_deny),
        published: published.or(second.published),
        dns: dns.or(second.dns),
        include_failed: include_failed.or(second.include_failed),
        min_count: min_count.or(second.min_count),
        exclude: list(exclude, second.exclude),
        widen: list(widen, second.widen),
        split_directions: split_directions.or(second.split_directions),
        evidence: evidence.or(second.evidence),
        layout: layout.or(second.layout),
    }
}

fn list<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    if first.is_empty() { second } else { first }
}
