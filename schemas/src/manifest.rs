//! `manifest.json`: what a tape says about itself. Written last, so that its absence means *incomplete*.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::node::Hook;
use crate::time::Time;
use crate::value::Words as _;
use crate::version::{CURRENT, SchemaVersion};

/// Name of the file at the top of a tape.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The setting of a recording that says whether it is redacted: `true` or `false`; not redacted where it is absent.
pub const REDACT: &str = "redact";

/// The manifest of a tape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Schema version of every table.
    pub schema: SchemaVersion,
    /// Identifies the recording; tools treat it as opaque.
    pub tape_id: String,
    /// What wrote the tape.
    pub tool: Tool,
    /// How the rows came to be.
    pub origin: Origin,
    /// The time the tape covers; absent from a tape that holds metadata only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The recording of each node, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeRecording>,
    /// Where the metadata came from; absent from a tape without metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterRecording>,
    /// What was imported from other tools' recordings, by format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<ImportRecording>,
    /// Every table file, by path.
    pub files: Vec<FileEntry>,
}

/// Name and version of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Name of the program.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How the rows of a tape came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Observed by the recorder.
    Recorded,
    /// Converted from another tool's recording.
    Imported,
    /// Compiled from a scenario: nothing was observed.
    Synthetic,
    /// United from several tapes.
    Merged,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When the first hook was attached.
    pub start: Time,
    /// When the last one was detached.
    pub end: Time,
}

/// How the recording of a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// At the end of the window or on request, with everything written.
    Clean,
    /// In any other way; what was written is there.
    Unclean,
}

/// What one node's recorder did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecording {
    /// Name of the node, as in its directory.
    pub name: String,
    /// The time this node covers.
    pub window: Window,
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// Machine architecture, as `uname -m` prints it.
    pub architecture: String,
    /// What every hook of the recorder did on this node.
    pub hooks: Vec<HookReport>,
    /// Settings in force, as text.
    pub settings: BTreeMap<String, String>,
    /// How it ended.
    pub stop: Stop,
    /// Operations missing from `events`.
    pub lost_events: u64,
    /// Operations missing from `flows`; above zero the window is incomplete.
    pub lost_edges: u64,
    /// What else is worth knowing about this recording, such as why it ended early: sentences without final full stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl NodeRecording {
    /// Whether addresses outside the cluster are pseudonyms and processes have no name (`record --redact`).
    #[must_use]
    pub fn is_redacted(&self) -> bool {
        self.settings.get(REDACT).is_some_and(|value| value == "true")
    }
}

/// What became of one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// Name of the hook, as in the tables.
    pub hook: String,
    /// Whether it was attached.
    pub state: HookState,
    /// Why not, or what stood in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl HookReport {
    /// A hook that was attached.
    #[must_use]
    pub fn attached(hook: Hook) -> Self {
        Self {
            hook: hook.word().to_owned(),
            state: HookState::Attached,
            reason: None,
        }
    }
}

/// Whether a hook was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookState {
    /// It was attached for the whole window.
    Attached,
    /// Something less exact stood in for it.
    Fallback,
    /// It could not be attached.
    Unavailable,
    /// The settings of the recording leave it out, as `--passive-only` does.
    #[serde(rename = "not-asked-for")]
    NotAskedFor,
}

/// Where the metadata of a cluster came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecording {
    /// `watch` or `snapshots`.
    pub source: ClusterSource,
    /// Times of the snapshots, in order; empty for one without a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Time>,
    /// What was not seen as it happened, by resource and time; empty for snapshots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<ClusterGap>,
    /// What could not be read at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

impl ClusterRecording {
    /// Metadata without gaps.
    #[must_use]
    pub fn new(source: ClusterSource, snapshots: Vec<Time>) -> Self {
        Self {
            source,
            snapshots,
            gaps: Vec::new(),
            unread: Vec::new(),
        }
    }
}

/// A time in which a resource was not watched. The changes in it have `assumed` bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterGap {
    /// Plural name of the resource.
    pub resource: String,
    /// When the watch was lost.
    pub start: Time,
    /// When there was one again.
    pub end: Time,
    /// Whether the API server told every change of that time afterwards; if not, what came and went in it is unknown.
    pub caught_up: bool,
    /// Why the watch was lost.
    pub reason: String,
}

/// A resource, or an object of it, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Plural name of the resource.
    pub resource: String,
    /// Why, with the verb that was refused or the object that was not understood.
    pub reason: String,
}

/// How the metadata of a cluster was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterSource {
    /// List and watch against the API server.
    Watch,
    /// Converted from what `kubectl get -o json` printed.
    Snapshots,
}

/// What was imported from recordings of another tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImportRecording {
    /// Name of the format.
    pub format: String,
    /// Names of the files, without their directories, in the order in which they were read.
    pub files: Vec<String>,
    /// Which clock the times are of.
    pub clock: String,
    /// The source counted one of so many packets or flows, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<u64>,
    /// Records that were read: lines or packets.
    pub records: u64,
    /// Those of them that say nothing about connections, or repeat what another says, by what they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub passed_over: BTreeMap<String, u64>,
    /// Those of them that could not be used; table `quarantine` says why.
    pub quarantined: u64,
    /// Pods whose identity is what the source says, because no metadata knows them.
    pub named_by_source: u64,
    /// What such a source cannot know.
    pub limits: Vec<ImportLimit>,
}

/// Something that a source cannot know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImportLimit {
    /// What, in one sentence without final full stop.
    pub what: String,
    /// Whether edges may be missing because of it: the window is incomplete.
    pub costs_edges: bool,
}

/// One table file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path below the tape, `/` between parts, never absolute and never with `..`.
    pub path: String,
    /// Name of the table.
    pub table: String,
    /// Rows in the file.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, lower-case hexadecimal. Detects damage, not forgery.
    pub sha256: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file is not a manifest.
    #[error("not a Flowtape manifest: {0}; the tape is damaged, or this is not one")]
    Json(#[from] serde_json::Error),
    /// The tape was written by a newer major.
    #[error(transparent)]
    Version(#[from] crate::version::VersionError),
    /// A path leaves the tape.
    #[error("file path `{path}` leaves the tape; paths are relative, without `..`; do not trust this tape")]
    Path {
        /// The path found.
        path: String,
    },
    /// The same path is listed twice.
    #[error("file path `{path}` is listed twice; the manifest is damaged")]
    Duplicate {
        /// The path found.
        path: String,
    },
}

/// Only the version, readable from manifests of any major.
#[derive(Deserialize)]
struct VersionOnly {
    schema: SchemaVersion,
}

impl Manifest {
    /// An empty manifest of the current schema.
    #[must_use]
    pub fn new(tool: Tool, origin: Origin, tape_id: String) -> Self {
        Self {
            schema: CURRENT,
            tape_id,
            tool,
            origin,
            window: None,
            nodes: Vec::new(),
            cluster: None,
            imports: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Parses and checks a manifest; the version is looked at first, so that a newer major is named as such.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let VersionOnly { schema } = serde_json::from_slice(text)?;
        schema.check_readable()?;
        let manifest: Self = serde_json::from_slice(text)?;
        let mut seen = std::collections::BTreeSet::new();
        for FileEntry { path, .. } in &manifest.files {
            if !is_inside(path) {
                return Err(ManifestError::Path { path: path.clone() });
            }
            if !seen.insert(path) {
                return Err(ManifestError::Duplicate { path: path.clone() });
            }
        }
        Ok(manifest)
    }

    /// The manifest as stored: files sorted by path, one final newline.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let mut sorted = self.clone();
        sorted.files.sort_by(|a, b| a.path.cmp(&b.path));
        sorted.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(serde_json::to_string_pretty(&sorted)? + "\n")
    }
}

/// Whether a path of a manifest or archive stays inside the tape.
#[must_use]
pub fn is_inside(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0', ':']);
    path.split('/').all(plain)
}

impl FileEntry {
    /// Describes the bytes of a file.
    #[must_use]
    pub fn describe(path: String, table: &str, rows: u64, content: &[u8]) -> Self {
        Self {
            path,
            table: table.to_owned(),
            rows,
            bytes: content.len() as u64,
            sha256: sha256_hex(content),
        }
    }
}

/// SHA-256 as lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(content: &[u8]) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;
    sha2::Sha256::digest(content)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::{Manifest, ManifestError, Origin, Tool, is_inside};

    fn manifest() -> Manifest {
        let tool = Tool {
            name: "test".to_owned(),
            version: "0".to_owned(),
        };
        Manifest::new(tool, Origin::Synthetic, "id".to_owned())
    }

    #[test]
    fn round_trips() {
        let text = manifest().render().unwrap();
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest());
    }

    #[test]
    fn a_newer_major_is_refused_whatever_else_it_holds() {
        let error = Manifest::parse(br#"{"schema": "9.0", "shape": "unknown"}"#).unwrap_err();
        assert!(matches!(error, ManifestError::Version(_)), "{error}");
    }

    #[test]
    fn paths_stay_inside_the_tape() {
        for path in [
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "",
            "./a",
            "a\\b",
            "C:x",
            "a/..",
        ] {
            assert!(!is_inside(path), "{path}");
        }
        assert!(is_inside("node=n1/flows-000001.parquet"));
        let mut bad = manifest();
        bad.files
            .push(super::FileEntry::describe("../x".to_owned(), "flows", 0, b""));
        assert!(matches!(
            Manifest::parse(bad.render().unwrap().as_bytes()),
            Err(ManifestError::Path { .. })
        ));
    }

    #[test]
    fn a_path_is_listed_once() {
        let mut bad = manifest();
        bad.files = vec![super::FileEntry::describe("cluster/x".to_owned(), "flows", 0, b""); 2];
        assert!(matches!(
            Manifest::parse(bad.render().unwrap().as_bytes()),
            Err(ManifestError::Duplicate { .. })
        ));
    }
}
