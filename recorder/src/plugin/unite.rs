//! One tape of what many pods recorded.
//!
//! What came from a pod is not trusted: its manifest may speak of its own node only, and of files that are there and hash
//! to what it says. A recording without a manifest ended in a crash; its finished files are kept, and it is called unclean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use flowtape_schemas::manifest::{
    ClusterRecording, ClusterSource, FileEntry, MANIFEST_FILE, Manifest, NodeRecording, Origin, Stop, Window,
    sha256_hex,
};
use flowtape_schemas::node::{ClockRow, FlowRow};
use flowtape_schemas::parquet::{TableFile, decode_file};
use flowtape_schemas::time::Time;

use crate::tape::{
    CLUSTER_DIRECTORY, TapeFile, is_node_name, is_tape_path, node_directory, tape_id, tool, write_manifest,
};

/// What one pod recorded, as it was received.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name of the node; none for the metadata of the cluster.
    pub node: Option<String>,
    /// Directory with one directory for each recording.
    pub directory: PathBuf,
}

/// A tape that is being united.
struct Union<'a> {
    tape: &'a Path,
    manifest: Manifest,
    /// Last number used for a table of a directory.
    numbers: BTreeMap<(String, String), u32>,
    /// What could not be used, and why.
    broken: Vec<String>,
}

/// Moves the files of every source into the directory of a tape and writes its manifest. `absent` are nodes that have
/// nothing, and why. Gives the manifest, and what of the sources could not be used.
pub fn unite(tape: &Path, sources: &[Source], absent: &[(String, String)]) -> anyhow::Result<(Manifest, Vec<String>)> {
    let mut union = Union {
        tape,
        manifest: Manifest::new(tool(), Origin::Recorded, String::new()),
        numbers: BTreeMap::new(),
        broken: Vec::new(),
    };
    for source in sources {
        let recordings = subdirectories(&source.directory)?;
        if recordings.is_empty() {
            union.broken.push(format!("{}: sent no recording", name_of(source)));
        }
        for recording in recordings {
            if let Err(error) = union.add(source, &recording) {
                union
                    .broken
                    .push(format!("{}: a recording cannot be used: {error:#}", name_of(source)));
            }
        }
    }
    let Union {
        mut manifest, broken, ..
    } = union;
    let windows = manifest.nodes.iter().map(|node| node.window);
    manifest.window = windows.reduce(|all, window| Window {
        start: all.start.min(window.start),
        end: all.end.max(window.end),
    });
    for (name, why) in absent.iter().filter(|(name, _)| is_node_name(name)) {
        manifest.nodes.push(nothing_of(name, why, manifest.window));
    }
    fill(tape, &mut manifest)?;
    manifest.tape_id = tape_id(&manifest.files);
    write_manifest(tape, &manifest)?;
    Ok((manifest, broken))
}

/// Gives every node a table of flows: without one a reader must think that a file was lost on the way.
fn fill(tape: &Path, manifest: &mut Manifest) -> anyhow::Result<()> {
    let names: BTreeSet<String> = manifest.nodes.iter().map(|node| node.name.clone()).collect();
    for place in names.iter().map(|name| node_directory(name)) {
        let is_flows = |file: &FileEntry| file.table == "flows" && file.path.starts_with(&format!("{place}/"));
        if !manifest.files.iter().any(is_flows) {
            fs::create_dir_all(tape.join(&place)).context("the tape cannot be written")?;
            manifest
                .files
                .push(TapeFile::<FlowRow>::create(tape, &place, 1)?.finish()?);
        }
    }
    Ok(())
}

fn name_of(source: &Source) -> String {
    source
        .node
        .as_ref()
        .map_or_else(|| "metadata of the cluster".to_owned(), |node| format!("node {node}"))
}

impl Union<'_> {
    fn add(&mut self, source: &Source, recording: &Path) -> anyhow::Result<()> {
        let place = match &source.node {
            Some(node) if is_node_name(node) => node_directory(node),
            Some(node) => bail!("`{}` is no name of a node", node.escape_debug()),
            None => CLUSTER_DIRECTORY.to_owned(),
        };
        let (files, mut nodes, cluster) = match fs::read(recording.join(MANIFEST_FILE)) {
            Ok(text) => {
                let Manifest {
                    files, nodes, cluster, ..
                } = Manifest::parse(&text)?;
                (files, nodes, cluster)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => crashed(source, recording, &place)?,
            Err(error) => return Err(error).context("its manifest cannot be read"),
        };
        for file in &files {
            check(recording, &place, file)?;
        }
        // Whoever speaks for a node speaks for no other.
        nodes.retain(|node| Some(&node.name) == source.node.as_ref());
        if source.node.is_some() && nodes.is_empty() {
            bail!("it does not say what its node recorded");
        }
        fs::create_dir_all(self.tape.join(&place)).context("the tape cannot be written")?;
        for mut file in files {
            let number = self.numbers.entry((place.clone(), file.table.clone())).or_default();
            *number += 1;
            let path = format!("{place}/{}-{number:06}.parquet", file.table);
            fs::rename(recording.join(&file.path), self.tape.join(&path)).context("the tape cannot be written")?;
            file.path = path;
            self.manifest.files.push(file);
        }
        self.manifest.nodes.extend(nodes);
        if let (None, Some(mut cluster)) = (&source.node, cluster) {
            // A watcher that was started again has told what it missed in each of its lives.
            if let Some(earlier) = self.manifest.cluster.take() {
                cluster.gaps = [earlier.gaps, cluster.gaps].concat();
                cluster.unread = [earlier.unread, cluster.unread].concat();
            }
            self.manifest.cluster = Some(cluster);
        }
        Ok(())
    }
}

/// That a file is what a manifest says it is, and stands where it may.
fn check(recording: &Path, place: &str, file: &FileEntry) -> anyhow::Result<()> {
    let shown = file.path.escape_debug();
    let is_of_table = |name: &str| name.rsplit_once('-').is_some_and(|(table, _)| table == file.table);
    let is_here = file
        .path
        .split_once('/')
        .is_some_and(|(first, name)| first == place && is_of_table(name));
    if !is_here || !is_tape_path(&file.path) {
        bail!("its manifest names `{shown}`, which is no file of {place}");
    }
    let content = fs::read(recording.join(&file.path)).with_context(|| format!("`{shown}` is missing"))?;
    if sha256_hex(&content) != file.sha256 || content.len() as u64 != file.bytes {
        bail!("`{shown}` is not what its manifest says");
    }
    Ok(())
}

type Contents = (Vec<FileEntry>, Vec<NodeRecording>, Option<ClusterRecording>);

/// What a recording amounts to that has no manifest: its finished files, and the time that its clocks span.
fn crashed(source: &Source, recording: &Path, place: &str) -> anyhow::Result<Contents> {
    let (mut files, mut times) = (Vec::new(), Vec::<Time>::new());
    let listed = fs::read_dir(recording.join(place)).context("it has no finished file")?;
    for entry in listed {
        let name = entry.context("its files cannot be listed")?.file_name();
        let path = format!("{place}/{}", name.to_string_lossy());
        let Some((table, _)) = path.rsplit_once('/').and_then(|(_, name)| name.rsplit_once('-')) else {
            continue;
        };
        let content = Bytes::from(fs::read(recording.join(&path)).context("its files cannot be read")?);
        // A file that does not open is left out; the recording is unclean anyway.
        let Ok(opened) = TableFile::open(content.clone()) else {
            continue;
        };
        if table == "clock" {
            let rows: Vec<ClockRow> = decode_file(content.clone())?;
            times.extend(rows.iter().map(|row| row.wall_time));
        }
        files.push(FileEntry::describe(path.clone(), table, opened.rows(), &content));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let Some(name) = &source.node else {
        let cluster = ClusterRecording::new(ClusterSource::Watch, Vec::new());
        return Ok((files, Vec::new(), Some(cluster)));
    };
    let (Some(start), Some(end)) = (times.iter().min(), times.iter().max()) else {
        bail!("it died before its first files were finished");
    };
    let window = Window {
        start: *start,
        end: *end,
    };
    let node = unclean(name, "its recorder died", window);
    Ok((files, vec![node], None))
}

/// A node that has nothing in the tape.
fn nothing_of(name: &str, why: &str, window: Option<Window>) -> NodeRecording {
    let start = window.map_or(Time(0), |window| window.start);
    unclean(name, why, Window { start, end: start })
}

fn unclean(name: &str, why: &str, window: Window) -> NodeRecording {
    NodeRecording {
        name: name.to_owned(),
        window,
        kernel: String::new(),
        architecture: String::new(),
        hooks: Vec::new(),
        settings: BTreeMap::new(),
        notes: vec![why.to_owned()],
        stop: Stop::Unclean,
        lost_events: 0,
        lost_edges: 0,
    }
}

/// The directories in a directory, in the order of their names.
fn subdirectories(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot look into `{}`", directory.display()))? {
        let entry = entry.with_context(|| format!("cannot look into `{}`", directory.display()))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
