//! `flowtape import`: a tape from another tool's recording.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flowtape_schemas::manifest::{
    ClusterRecording, ClusterSource, HookReport, ImportRecording, Manifest, NodeRecording, Origin, Stop, Tool, Window,
};
use flowtape_schemas::metadata::{ClusterRows, MetadataError, Snapshot, rows};
use flowtape_schemas::node::Hook;
use flowtape_schemas::time::Time;

use crate::cli::args::Global;
use crate::cli::args::import::ImportArgs;
use crate::cli::directory;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::counted::counted;
use crate::findings::Findings;
use crate::import::format::{self, Format};
use crate::import::{self, ImportError, Imported, NodeRows, Source, Untold};
use crate::json::Input;
use crate::json::import::Import;
use crate::parse::objects;
use crate::tape::write::NewTape;
use crate::tape::{self};

pub(in crate::cli) fn run(args: &ImportArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let format = chosen(&args.import_format)?;
    directory::check(&args.output, args.force)?;
    let (metadata, looks) = metadata(&args.metadata)?;
    let sources = args
        .files
        .iter()
        .map(|path| source(path))
        .collect::<Result<Vec<_>, _>>()?;
    let untold = Untold {
        node: &args.node,
        time: args.time,
    };
    let imported = import::import(format, sources, metadata, untold).map_err(|error| failure(&error))?;
    write(imported, looks, &args.output)?;

    let mut findings = Findings::default();
    let tape = tape::open(std::slice::from_ref(&args.output), &mut findings)?;
    let body = Import::of(&tape);
    let report = Report {
        schema: "flowtape.import/v1",
        inputs: Input::of_tape(&tape),
        health: tape.health.clone(),
        shares: Vec::new(),
        remark: String::new(),
        findings,
    };
    report.print(global, &body, text)
}

fn chosen(name: &str) -> Result<Option<&'static Format>, Failure> {
    if name == "auto" {
        return Ok(None);
    }
    format::named(name).map(Some).ok_or_else(|| {
        let names: Vec<&str> = format::ALL.iter().map(|format| format.name).collect();
        let failure = Failure::plain(format!("no format is called `{name}`"));
        failure.hint(format!("formats are auto, {}", names.join(", ")))
    })
}

fn source(path: &Path) -> Result<Source<'static>, Failure> {
    if path == Path::new("-") {
        return Ok(Source {
            name: "stdin".to_owned(),
            content: Box::new(io::stdin()),
        });
    }
    let file = File::open(path).map_err(|error| Failure::of(format!("cannot read `{}`", path.display()), &error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Source {
        name,
        content: Box::new(file),
    })
}

fn failure(error: &ImportError) -> Failure {
    match error {
        ImportError::Nothing { found, .. } => Failure::Told {
            message: error.to_string(),
            causes: found.clone(),
            hint: Some("`flowtape schema import` says what each format must have".to_owned()),
        },
        ImportError::Unknown { .. } => {
            Failure::plain(error.to_string()).hint("name its format; `flowtape schema import` describes each")
        }
        ImportError::Untimed { .. } => {
            Failure::plain(error.to_string()).hint("say it with `--time`, as in 2026-01-31T12:00:00Z")
        }
        ImportError::Read { name, source } => Failure::of(format!("cannot read `{name}`"), source),
    }
}

/// The metadata that was given, and when it was looked at.
fn metadata(paths: &[String]) -> Result<(ClusterRows, Vec<Time>), Failure> {
    if let [path] = paths
        && Path::new(path).is_dir()
    {
        let tape = tape::open(&[PathBuf::from(path)], &mut Findings::default())?;
        return Ok((tape.cluster, Vec::new()));
    }
    let mut snapshots = Vec::new();
    let mut looks = Vec::new();
    for path in paths {
        let dated = path
            .rsplit_once('@')
            .and_then(|(name, time)| Some((name, time.parse::<Time>().ok()?)));
        let (name, time) = dated.map_or((path.as_str(), None), |(name, time)| (name, Some(time)));
        let failed = |error: &dyn std::error::Error| Failure::of(format!("cannot use the metadata `{name}`"), error);
        let text = fs::read(name).map_err(|error| failed(&error))?;
        let documents = objects::values(&text).map_err(|error| failed(&error))?;
        if documents.is_empty() {
            return Err(failed(&MetadataError::NotKubernetes));
        }
        let snapshot = Snapshot::of_documents(documents.into_iter().map(Ok), time);
        snapshots.push(snapshot.map_err(|error| failed(&error))?);
        looks.extend(time);
    }
    looks.sort_unstable();
    let rows = rows(snapshots).map_err(|error| Failure::of("the metadata does not go together", &error))?;
    Ok((rows, looks))
}

fn write(imported: Imported, looks: Vec<Time>, output: &Path) -> Result<(), Failure> {
    let Imported {
        nodes,
        cluster,
        quarantine,
        imports,
    } = imported;
    let tool = Tool {
        name: "flowtape".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut manifest = Manifest::new(tool, Origin::Imported, String::new());
    let mut tape = NewTape::default();
    let failed = |error: &dyn std::error::Error| Failure::of("cannot write the tape", error);
    for rows in &nodes {
        add(&mut tape, rows).map_err(|error| failed(&error))?;
        let window = rows.window.unwrap_or(Window {
            start: Time(0),
            end: Time(0),
        });
        let all = manifest.window.get_or_insert(window);
        all.start = all.start.min(window.start);
        all.end = all.end.max(window.end);
        manifest.nodes.push(recording(rows, window, &imports));
    }
    tape.cluster(&cluster).map_err(|error| failed(&error))?;
    tape.import(&quarantine).map_err(|error| failed(&error))?;
    manifest.cluster = Some(ClusterRecording::new(ClusterSource::Snapshots, looks));
    manifest.imports = imports;
    tape.write(output, manifest).map_err(|error| failed(&error))
}

fn add(tape: &mut NewTape, rows: &NodeRows) -> Result<(), tape::write::WriteError> {
    let NodeRows {
        name,
        window: _,
        flows,
        listens,
        names,
        cgroups,
        netns,
        stats,
        lost: _,
    } = rows;
    tape.node(name, flows)?;
    tape.node(name, listens)?;
    tape.node(name, names)?;
    tape.node(name, cgroups)?;
    tape.node(name, netns)?;
    tape.node(name, stats)
}

fn recording(rows: &NodeRows, window: Window, imports: &[ImportRecording]) -> NodeRecording {
    let formats: Vec<&str> = imports.iter().map(|import| import.format.as_str()).collect();
    NodeRecording {
        name: rows.name.clone(),
        window,
        kernel: "unknown".to_owned(),
        architecture: "unknown".to_owned(),
        hooks: vec![HookReport::attached(Hook::Import)],
        settings: [("formats".to_owned(), formats.join(","))].into(),
        stop: Stop::Clean,
        lost_events: 0,
        lost_edges: rows.lost,
        notes: Vec::new(),
    }
}

fn text(body: &Import) -> String {
    let mut text = String::new();
    for import in &body.imports {
        let ImportRecording {
            format,
            files,
            records,
            passed_over,
            quarantined,
            ..
        } = import;
        let (files, records) = (
            counted(files.len(), "file", "files"),
            counted(*records, "record", "records"),
        );
        let _ = writeln!(text, "{format}: {files}, {records}, {quarantined} set aside");
        for (what, count) in passed_over {
            let _ = writeln!(text, "  passed over {count}: {what}");
        }
    }
    let Import { nodes, rows, .. } = body;
    let _ = writeln!(text, "{rows} rows of {nodes} nodes");
    text
}
