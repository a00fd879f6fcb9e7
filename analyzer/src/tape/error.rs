//! Why a tape cannot be read.

use std::io;
use std::path::PathBuf;

use flowtape_schemas::manifest::ManifestError;
use flowtape_schemas::version::VersionError;

use crate::counted::counted;

/// Why a tape cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// There is nothing of this name.
    #[error("no such directory: `{}`", path.display())]
    NotFound {
        /// The path given.
        path: PathBuf,
    },
    /// It is a file.
    #[error("a tape is a directory, and this is none: `{}`", path.display())]
    NotDirectory {
        /// The path given.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The directory holds nothing of a tape.
    #[error("no tape: the directory {} `{}`", if *empty { "is empty:" } else { "holds neither `manifest.json` nor table files in `node=*/` or `cluster/`:" }, path.display())]
    NoTape {
        /// The path given.
        path: PathBuf,
        /// Whether it holds nothing at all.
        empty: bool,
    },
    /// A recording was begun in the directory, and nothing of it can be read.
    #[error("no tape yet: a recording of {} was begun in `{}`, and no file of it is finished", nodes.join(", "), path.display())]
    Begun {
        /// The nodes whose files are not finished.
        nodes: Vec<String>,
        /// The path given.
        path: PathBuf,
    },
    /// A part of the tape is a link or a device.
    #[error("`{name}` is a link or a special file, which no tape holds and no reader follows; do not trust this tape: `{}`", path.display())]
    Link {
        /// Path below the tape.
        name: String,
        /// The tape.
        path: PathBuf,
    },
    /// A file or directory is larger than any recorder makes it.
    #[error("`{name}` is larger than the {limit} {unit} a reader accepts; do not trust this tape: `{}`", path.display())]
    TooLarge {
        /// Path below the tape.
        name: String,
        /// What is accepted.
        limit: u64,
        /// Of what.
        unit: &'static str,
        /// The tape.
        path: PathBuf,
    },
    /// The manifest is damaged, hostile or too new.
    #[error("cannot use the manifest of the tape `{}`", path.display())]
    Manifest {
        /// What is wrong with it.
        source: ManifestError,
        /// The tape.
        path: PathBuf,
    },
    /// The manifest lists files that are not there.
    #[error("{} of the manifest {} missing from the tape `{}`", counted(files.len(), "file", "files"), if files.len() == 1 { "is" } else { "are" }, path.display())]
    MissingFiles {
        /// Paths below the tape.
        files: Vec<String>,
        /// The tape.
        path: PathBuf,
    },
    /// A table that every recording has is not there.
    #[error("table `{table}` of node `{node}` is missing from the tape `{}`", path.display())]
    MissingTable {
        /// The table.
        table: &'static str,
        /// The node.
        node: String,
        /// The tape.
        path: PathBuf,
    },
    /// The manifest lists a file where no table stands, or as another table than its name says.
    #[error("the manifest lists `{file}` as table `{table}`, and no such table stands there; the manifest is damaged: `{}`", path.display())]
    Misplaced {
        /// Path below the tape.
        file: String,
        /// The table that the manifest names.
        table: String,
        /// The tape.
        path: PathBuf,
    },
    /// The manifest lists files of a node that it does not describe.
    #[error("the manifest lists files of node `{node}` and does not describe the node; the manifest is damaged: `{}`", path.display())]
    UnknownNode {
        /// The node.
        node: String,
        /// The tape.
        path: PathBuf,
    },
    /// Files are damaged, or not what the manifest says.
    #[error("{} of the tape cannot be used", counted(files.len(), "file", "files"))]
    Damaged {
        /// Every one of them.
        files: Vec<Damage>,
    },
    /// The rows take more memory than is reasonable for the size of the files.
    #[error(
        "the tape expands to more than {limit} bytes, many times what recordings of its size do; it is damaged, or made to exhaust memory"
    )]
    Expands {
        /// What would have been accepted.
        limit: u64,
    },
    /// The threads asked for cannot be had.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        source: rayon::ThreadPoolBuildError,
    },
}

/// A file that cannot be used.
#[derive(Debug)]
pub struct Damage {
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
    /// Whether a newer version of flowtape wrote it.
    pub is_newer: bool,
    /// Where it lies.
    pub path: PathBuf,
}

impl TapeError {
    /// What lies behind the error, one sentence each.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        match self {
            Self::Io { source, .. } => vec![source.to_string()],
            Self::Manifest { source, .. } => vec![source.to_string()],
            Self::Threads { source, .. } => vec![source.to_string()],
            Self::MissingFiles { files, .. } => files.iter().map(|file| format!("`{file}` is not there")).collect(),
            Self::Damaged { files } => files.iter().flat_map(Damage::sentences).collect(),
            Self::NotFound { .. }
            | Self::NotDirectory { .. }
            | Self::NoTape { .. }
            | Self::Begun { .. }
            | Self::Link { .. }
            | Self::TooLarge { .. }
            | Self::MissingTable { .. }
            | Self::Misplaced { .. }
            | Self::UnknownNode { .. }
            | Self::Expands { .. } => Vec::new(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let copy = "copy the whole directory again from where it was recorded";
        let text = match self {
            Self::NotFound { .. } | Self::Threads { .. } => return None,
            Self::NotDirectory { .. } => "give the directory that holds `manifest.json`; unpack an archive first",
            Self::NoTape { .. } => {
                "`flowtape-recorder record -o DIR` makes a tape, `flowtape-recorder metadata --from FILE -o DIR` its metadata"
            }
            Self::Begun { .. } => {
                "files are finished once a minute, or as `--rotation` says; if the recorder was killed before that, record again"
            }
            Self::Io { .. } => "check that you may read the directory and every file below it",
            Self::Manifest {
                source: ManifestError::Version(VersionError::Newer { .. }),
                ..
            } => {
                return None; // The cause says what to do.
            }
            Self::Damaged { files } if files.iter().all(|file| file.is_newer) => return None,
            Self::Manifest { .. }
            | Self::MissingFiles { .. }
            | Self::MissingTable { .. }
            | Self::Misplaced { .. }
            | Self::UnknownNode { .. } => copy,
            Self::Damaged { files } if files.len() == 1 => {
                "copy it again from where it was recorded; or remove it and `manifest.json`, and the rest is read as an \
                 incomplete recording"
            }
            Self::Damaged { .. } => {
                "copy them again from where they were recorded; or remove them and `manifest.json`, and the rest is \
                 read as an incomplete recording"
            }
            Self::Link { .. } | Self::TooLarge { .. } | Self::Expands { .. } => {
                "take the tape from somebody you trust, or record it again"
            }
        };
        Some(text.to_owned())
    }
}

impl Damage {
    fn sentences(&self) -> Vec<String> {
        let sentence = |problem: &String| format!("{problem}: `{}`", self.path.display());
        self.problems.iter().map(sentence).collect()
    }
}
