//! `flowtape-recorder metadata`: what `kubectl get ... -A -o json` or `-o yaml` prints becomes the metadata tables of a
//! tape.
//!
//! Everything is read and understood before the first file is written, so bad input leaves nothing behind.

mod yaml;

use std::fmt;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use flowtape_schemas::manifest::{ClusterRecording, ClusterSource, FileEntry, Manifest, Origin};
use flowtape_schemas::metadata::{ClusterRows, MetadataError, Snapshot, rows};
use flowtape_schemas::table::Row;
use flowtape_schemas::time::Time;

use crate::cli::MetadataArgs;
use crate::exit::Exit;
use crate::output;
pub use yaml::YamlError;

use crate::tape::{CLUSTER_DIRECTORY, TapeError, TapeFile, Target, tape_id, tool, write_manifest};

/// A text that names no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no file; expected FILE, FILE@2026-01-01T00:00:00Z, or `-` for stdin")]
pub struct SourceError(String);

/// A snapshot as the command line names it: `FILE`, `FILE@TIME`, `-` or `-@TIME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSource {
    /// The file; `None` is stdin.
    pub file: Option<PathBuf>,
    /// When it was printed.
    pub time: Option<Time>,
}

impl FromStr for SnapshotSource {
    type Err = SourceError;

    /// What follows the last `@` is a time if it reads as one, and part of the file's name otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let dated = text
            .rsplit_once('@')
            .and_then(|(name, time)| Some((name, time.parse().ok()?)));
        let (name, time) = dated.map_or((text, None), |(name, time)| (name, Some(time)));
        if name.is_empty() || (name.starts_with('-') && name != "-") {
            return Err(SourceError(text.to_owned()));
        }
        Ok(Self {
            file: (name != "-").then(|| PathBuf::from(name)),
            time,
        })
    }
}

impl fmt::Display for SnapshotSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => file.display().fmt(formatter),
            None => formatter.write_str("stdin"),
        }
    }
}

/// Why the input is no metadata.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file cannot be read.
    #[error("cannot read `{source_name}`{}", date_hint(source_name))]
    Read {
        /// The file, or stdin.
        source_name: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Its content is no YAML.
    #[error("`{source_name}` holds no metadata")]
    Yaml {
        /// The file, or stdin.
        source_name: String,
        /// Why not.
        #[source]
        error: YamlError,
    },
    /// Its content is no metadata.
    #[error("`{source_name}` holds no metadata")]
    Content {
        /// The file, or stdin.
        source_name: String,
        /// Why not.
        #[source]
        error: MetadataError,
    },
    /// Stdin can be read once.
    #[error("stdin (`-`) is named twice; it can be read once, so store one of the snapshots in a file")]
    StdinTwice,
}

/// The most likely mistake, where a name that cannot be read has an `@`.
fn date_hint(name: &str) -> String {
    name.rsplit_once('@').map_or_else(String::new, |(_, time)| {
        format!("; `{time}` is not a time either: write FILE@2026-01-01T00:00:00Z")
    })
}

/// Runs the verb.
pub fn run(arguments: &MetadataArgs) -> anyhow::Result<Exit> {
    let target = Target::check(&arguments.output, arguments.force)?;
    if arguments.watch {
        #[cfg(unix)]
        return crate::watch::run(&arguments.watching, target);
        #[cfg(not(unix))]
        anyhow::bail!("a cluster is watched from Unix only; convert what `kubectl get` prints with --from");
    }
    let snapshots = read(&arguments.from)?;
    let mut times: Vec<Time> = snapshots.iter().filter_map(Snapshot::time).collect();
    times.sort();
    let skipped = skipped(&snapshots);
    let rows = rows(snapshots).context("the snapshots do not go together")?;
    if !skipped.is_empty() {
        output::say(format_args!("left out, as no table holds them: {skipped}"));
    }
    let tape = target.prepare(CLUSTER_DIRECTORY)?;
    let files = write_tables(&tape, &rows)?;

    let count: u64 = files.iter().map(|file| file.rows).sum();
    if count == 0 {
        output::warn("no object of a kind that a tape holds; the tables are empty");
    }
    let mut manifest = Manifest::new(tool(), Origin::Recorded, tape_id(&files));
    manifest.cluster = Some(ClusterRecording::new(ClusterSource::Snapshots, times));
    manifest.files = files;
    write_manifest(&tape, &manifest)?;
    output::say(format_args!(
        "wrote {} into {}",
        summary(&manifest.files),
        tape.display()
    ));
    Ok(Exit::Done)
}

fn read(sources: &[SnapshotSource]) -> Result<Vec<Snapshot>, InputError> {
    if sources.iter().filter(|source| source.file.is_none()).count() > 1 {
        return Err(InputError::StdinTwice);
    }
    let snapshot = |source: &SnapshotSource| {
        let source_name = source.to_string();
        let text = match &source.file {
            Some(file) => std::fs::read(file),
            None => read_stdin(),
        };
        let text = text.map_err(|error| InputError::Read {
            source_name: source_name.clone(),
            error,
        })?;
        parse(&text, source.time, source_name)
    };
    sources.iter().map(snapshot).collect()
}

/// Both spellings of a snapshot. Every JSON text is YAML too, but its own reader is faster and its messages fit better.
fn parse(text: &[u8], time: Option<Time>, source_name: String) -> Result<Snapshot, InputError> {
    let is_json = text
        .trim_ascii_start()
        .first()
        .is_none_or(|first| b"{[".contains(first));
    let parsed = if is_json {
        Snapshot::parse(text, time)
    } else {
        match yaml::documents(text) {
            Ok(documents) => Snapshot::of_documents(documents.into_iter().map(Ok), time),
            Err(error) => return Err(InputError::Yaml { source_name, error }),
        }
    };
    parsed.map_err(|error| InputError::Content { source_name, error })
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

/// What was left out, so that nobody wonders later: `2 ConfigMap, 1 Secret`.
fn skipped(snapshots: &[Snapshot]) -> String {
    let mut skipped = std::collections::BTreeMap::<&str, u64>::new();
    for (kind, count) in snapshots.iter().flat_map(Snapshot::skipped) {
        *skipped.entry(kind).or_default() += count;
    }
    let kinds: Vec<String> = skipped.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    kinds.join(", ")
}

fn write_tables(tape: &std::path::Path, rows: &ClusterRows) -> Result<Vec<FileEntry>, TapeError> {
    let ClusterRows {
        pods,
        containers,
        services,
        endpoint_slices,
        namespaces,
        nodes,
        workloads,
        network_policies,
    } = rows;
    Ok(vec![
        write_table(tape, pods)?,
        write_table(tape, containers)?,
        write_table(tape, services)?,
        write_table(tape, endpoint_slices)?,
        write_table(tape, namespaces)?,
        write_table(tape, nodes)?,
        write_table(tape, workloads)?,
        write_table(tape, network_policies)?,
    ])
}

fn write_table<R: Row>(tape: &std::path::Path, rows: &[R]) -> Result<FileEntry, TapeError> {
    let mut file = TapeFile::create(tape, CLUSTER_DIRECTORY, 1)?;
    file.write(rows)?;
    file.finish()
}

/// `3 pods, 2 services`, or `no rows`.
fn summary(files: &[FileEntry]) -> String {
    let filled = files.iter().filter(|file| file.rows > 0);
    let parts: Vec<String> = filled
        .map(|file| format!("{} {}", file.rows, file.table.replace('_', " ")))
        .collect();
    if parts.is_empty() {
        "no rows".to_owned()
    } else {
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::SnapshotSource;

    fn parsed(text: &str) -> (Option<String>, bool) {
        let source: SnapshotSource = text.parse().unwrap();
        (
            source.file.map(|file| file.display().to_string()),
            source.time.is_some(),
        )
    }

    #[test]
    fn a_time_is_what_reads_as_one() {
        let file = |name: &str| Some(name.to_owned());
        assert_eq!(parsed("c.json"), (file("c.json"), false));
        assert_eq!(parsed("c.json@2026-01-01T00:00:00Z"), (file("c.json"), true));
        assert_eq!(parsed("c@prod.json"), (file("c@prod.json"), false));
        assert_eq!(parsed("c@prod.json@2026-01-01T00:00:00Z"), (file("c@prod.json"), true));
        assert_eq!(parsed("-"), (None, false));
        assert_eq!(parsed("-@2026-01-01T01:00:00+01:00"), (None, true));
    }

    #[test]
    fn an_option_is_no_file() {
        for text in ["", "-o", "--from", "@2026-01-01T00:00:00Z"] {
            assert!(text.parse::<SnapshotSource>().is_err(), "{text}");
        }
        assert_eq!(parsed("./-o"), (Some("./-o".to_owned()), false));
    }
}
