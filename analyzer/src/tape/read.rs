//! Table files to rows, in parallel over files and row groups.
//!
//! Results are collected in the order of the input, and no error stops the others, so that which problems are reported
//! does not depend on which thread is first.

use bytes::Bytes;
use flowtape_schemas::cluster::{
    ContainerRow, EndpointSliceRow, NamespaceRow, NetworkPolicyRow, NodeRow, PodRow, ServiceRow, WorkloadRow,
};
use flowtape_schemas::import::QuarantineRow;
use flowtape_schemas::manifest::sha256_hex;
use flowtape_schemas::node::{
    CgroupRow, ClockRow, EventRow, FlowRow, ListenRow, NameRow, NetnsRow, SocketRow, StatsRow,
};
use flowtape_schemas::parquet::{FileError, TableFile};
use flowtape_schemas::table::Row as _;
use flowtape_schemas::validate::{CheckedRow, Problem, check_bytes};
use flowtape_schemas::version::VersionError;
use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::directory::{read_bounded, size};
use super::error::{Damage, TapeError};
use super::limit::{Budget, PROBLEMS, TABLE_FILE_BYTES};
use super::recording::{ChosenFile, Recording};

/// What a table file holds.
pub(super) struct Content {
    /// SHA-256 of the file, by which the same file in two recordings is known.
    pub(super) sha256: String,
    /// Its rows.
    pub(super) rows: Rows,
}

/// Rows of one file.
pub(super) enum Rows {
    Flows(Vec<FlowRow>),
    Listens(Vec<ListenRow>),
    Sockets(Vec<SocketRow>),
    Cgroups(Vec<CgroupRow>),
    Netns(Vec<NetnsRow>),
    Names(Vec<NameRow>),
    Stats(Vec<StatsRow>),
    Pods(Vec<PodRow>),
    Containers(Vec<ContainerRow>),
    Services(Vec<ServiceRow>),
    EndpointSlices(Vec<EndpointSliceRow>),
    Namespaces(Vec<NamespaceRow>),
    Nodes(Vec<NodeRow>),
    Workloads(Vec<WorkloadRow>),
    NetworkPolicies(Vec<NetworkPolicyRow>),
    Quarantine(Vec<QuarantineRow>),
    /// How many rows of table `events`; they are not decoded.
    Events(u64),
    Clock(Vec<ClockRow>),
}

/// The content of every file of every recording, in the order of both.
pub(super) fn contents(recordings: &[Recording]) -> Result<Vec<Vec<Content>>, TapeError> {
    let files: Vec<(usize, &Recording, &ChosenFile)> = recordings
        .iter()
        .enumerate()
        .flat_map(|(index, recording)| recording.files.iter().map(move |file| (index, recording, file)))
        .collect();
    let sizes = files
        .iter()
        .map(|(_, recording, file)| size(&recording.root, &file.path));
    let total = sizes.sum::<Result<u64, _>>()?;
    let budget = Budget::of(total);
    let read = |&(_, recording, file): &(usize, &Recording, &ChosenFile)| load(recording, file, &budget);
    let loaded: Vec<Result<Content, Failed>> = files.par_iter().map(read).collect();
    if let Some(limit) = budget.exceeded() {
        return Err(TapeError::Expands { limit });
    }
    let mut contents: Vec<Vec<Content>> = recordings.iter().map(|_| Vec::new()).collect();
    let mut damaged = Vec::new();
    for ((index, recording, file), content) in files.iter().zip(loaded) {
        match content {
            Ok(content) => contents[*index].push(content),
            Err(Failed::Unreadable(error)) => return Err(error),
            Err(Failed::Damaged(problems)) => damaged.push(damage(recording, file, &problems)),
        }
    }
    if damaged.is_empty() {
        return Ok(contents);
    }
    Err(TapeError::Damaged { files: damaged })
}

enum Failed {
    Unreadable(TapeError),
    Damaged(Vec<Problem>),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Damaged(vec![problem])
    }
}

impl From<FileError> for Failed {
    fn from(error: FileError) -> Self {
        Problem::from(error).into()
    }
}

fn damage(recording: &Recording, file: &ChosenFile, problems: &[Problem]) -> Damage {
    let mut told: Vec<String> = problems.iter().take(PROBLEMS).map(ToString::to_string).collect();
    if problems.len() > PROBLEMS {
        told.push("and more of the kind".to_owned());
    }
    let newer = |problem: &Problem| matches!(problem, Problem::File(FileError::Version(VersionError::Newer { .. })));
    Damage {
        problems: told,
        is_newer: problems.iter().all(newer),
        path: recording.root.join(&file.path),
    }
}

/// Reads a file once: what was hashed is what is decoded. Bytes that are not what the manifest says are not decoded.
fn load(recording: &Recording, file: &ChosenFile, budget: &Budget) -> Result<Content, Failed> {
    let bytes = read_bounded(&recording.root, &file.path, TABLE_FILE_BYTES).map_err(Failed::Unreadable)?;
    let bytes = Bytes::from(bytes);
    let sha256 = match &file.entry {
        Some(entry) => match check_bytes(&bytes, entry) {
            Some(problem) => return Err(problem.into()),
            None => entry.sha256.clone(),
        },
        None => sha256_hex(&bytes),
    };
    let table = TableFile::open(bytes)?;
    let (rows, found) = decode(&file.place.table, &table, budget)?;
    match &file.entry {
        Some(entry) if entry.rows != found => Err(Failed::from(Problem::Rows {
            expected: entry.rows,
            found,
        })),
        Some(_) | None => Ok(Content { sha256, rows }),
    }
}

fn decode(name: &str, file: &TableFile<Bytes>, budget: &Budget) -> Result<(Rows, u64), Failed> {
    Ok(match name {
        FlowRow::TABLE => counted(Rows::Flows, rows(file, budget)?),
        ListenRow::TABLE => counted(Rows::Listens, rows(file, budget)?),
        SocketRow::TABLE => counted(Rows::Sockets, rows(file, budget)?),
        CgroupRow::TABLE => counted(Rows::Cgroups, rows(file, budget)?),
        NetnsRow::TABLE => counted(Rows::Netns, rows(file, budget)?),
        NameRow::TABLE => counted(Rows::Names, rows(file, budget)?),
        StatsRow::TABLE => counted(Rows::Stats, rows(file, budget)?),
        PodRow::TABLE => counted(Rows::Pods, rows(file, budget)?),
        ContainerRow::TABLE => counted(Rows::Containers, rows(file, budget)?),
        ServiceRow::TABLE => counted(Rows::Services, rows(file, budget)?),
        EndpointSliceRow::TABLE => counted(Rows::EndpointSlices, rows(file, budget)?),
        NamespaceRow::TABLE => counted(Rows::Namespaces, rows(file, budget)?),
        NodeRow::TABLE => counted(Rows::Nodes, rows(file, budget)?),
        WorkloadRow::TABLE => counted(Rows::Workloads, rows(file, budget)?),
        NetworkPolicyRow::TABLE => counted(Rows::NetworkPolicies, rows(file, budget)?),
        QuarantineRow::TABLE => counted(Rows::Quarantine, rows(file, budget)?),
        ClockRow::TABLE => counted(Rows::Clock, rows(file, budget)?),
        EventRow::TABLE => {
            file.check_table::<EventRow>()?;
            (Rows::Events(file.rows()), file.rows())
        }
        unknown => {
            return Err(Failed::from(Problem::UnknownTable {
                table: unknown.to_owned(),
            }));
        }
    })
}

fn counted<R>(wrap: impl FnOnce(Vec<R>) -> Rows, rows: Vec<R>) -> (Rows, u64) {
    let count = rows.len() as u64;
    (wrap(rows), count)
}

/// The rows of a file, or every problem of it.
fn rows<R: CheckedRow + Send>(file: &TableFile<Bytes>, budget: &Budget) -> Result<Vec<R>, Failed> {
    let groups = (0..file.row_groups()).into_par_iter();
    let groups: Vec<(Vec<R>, Option<FileError>)> = groups.map(|group| group_rows(file, group, budget)).collect();
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    for (part, error) in groups {
        for (index, row) in part.iter().enumerate() {
            let what = row.contradiction().filter(|_| problems.len() <= PROBLEMS);
            problems.extend(what.map(|what| Problem::Row {
                row: rows.len() + index,
                what,
            }));
        }
        rows.extend(part);
        problems.extend(error.map(Problem::from));
    }
    if problems.is_empty() {
        Ok(rows)
    } else {
        Err(Failed::Damaged(problems))
    }
}

fn group_rows<R: CheckedRow>(file: &TableFile<Bytes>, group: usize, budget: &Budget) -> (Vec<R>, Option<FileError>) {
    let mut rows = Vec::new();
    let mut each = |batch: Vec<R>| {
        rows.extend(batch);
        Ok(())
    };
    let read = file.check_table::<R>().and_then(|()| {
        if budget.take(file.group_bytes::<R>(group, budget.limit())?) {
            file.read_group(group, &mut each)
        } else {
            Err(FileError::TooLarge)
        }
    });
    (rows, read.err())
}
