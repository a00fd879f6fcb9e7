//! Recordings of other tools, as the rows of a tape: a stage before `tape`, whose result every verb reads like any other.
//!
//! - `read` unpacks a file into blocks and `divide` makes records of them, within bounds; [`mod@format`] has a file for each format,
//!   which makes a [`record::Record`] of each, in parallel;
//! - `ledger` takes them in, one after the other: `cast` keeps whom the source names, `track` follows connections, so that what
//!   several points saw counts once, and who asked is known, and `rows` counts edges per node and minute.
//!
//! What cannot be used is set aside with its place and reason, and never stops the rest.

mod archive;
mod cast;
mod divide;
pub mod format;
mod ledger;
mod read;
pub mod record;
mod rows;
mod track;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use flowtape_schemas::import::QuarantineRow;
use flowtape_schemas::manifest::{ImportLimit, ImportRecording};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::time::Time;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use self::divide::{Divider, Piece};
use self::format::{Format, Kind, Limit};
use self::ledger::{Ledger, Taken};
use self::read::{Block, Blocks};
use self::record::{Record, Reject};
pub use self::rows::NodeRows;

/// The longest table whose lines say something together only.
const TABLE_BYTES: usize = 64 << 20;

/// Files of one archive.
const MEMBERS: u64 = 1 << 16;

/// What a line costs besides its text.
const LINE_BYTES: usize = 64;

/// A file, or whatever can be read.
pub struct Source<'a> {
    /// What it is called, without directories.
    pub name: String,
    /// Its content.
    pub content: Box<dyn Read + Send + 'a>,
}

/// What was made of files.
#[derive(Debug)]
pub struct Imported {
    /// Each node that they tell of.
    pub nodes: Vec<NodeRows>,
    /// The metadata, with pods that only the files know.
    pub cluster: ClusterRows,
    /// What could not be used.
    pub quarantine: Vec<QuarantineRow>,
    /// What was imported, by format.
    pub imports: Vec<ImportRecording>,
}

/// Why nothing could be made of files.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("cannot read `{name}`")]
    Read {
        /// The file.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A file has no times, and nobody said when it was taken.
    #[error("`{name}` does not say when it was taken")]
    Untimed {
        /// The file.
        name: String,
    },
    /// A file looks like no format.
    #[error("`{name}` is of no format that is known")]
    Unknown {
        /// The file.
        name: String,
    },
    /// Nothing in any file tells of a connection.
    #[error("nothing usable in {files}")]
    Nothing {
        /// The files.
        files: String,
        /// What was in them, one sentence each.
        found: Vec<String>,
    },
}

/// What holds for records that do not say it.
#[derive(Clone, Copy, Debug)]
pub struct Untold<'a> {
    /// The node that they are of.
    pub node: &'a str,
    /// When they were taken.
    pub time: Option<Time>,
}

/// Reads files of one format, or each of the format that it looks like.
pub fn import(
    format: Option<&'static Format>,
    sources: Vec<Source<'_>>,
    cluster: ClusterRows,
    untold: Untold<'_>,
) -> Result<Imported, ImportError> {
    let mut importer = Importer {
        nodes: cluster.nodes.iter().map(|row| row.name.clone()).collect(),
        ledger: Ledger::new(untold.node.to_owned(), &cluster),
        time: untold.time,
        quarantine: BTreeMap::new(),
        imports: BTreeMap::new(),
        empty: Vec::new(),
        used: 0,
    };
    let names: Vec<String> = sources.iter().map(|source| format!("`{}`", source.name)).collect();
    for source in sources {
        importer.file(format, source)?;
    }
    importer.finish(&names, cluster)
}

struct Importer {
    /// Nodes of the metadata.
    nodes: Vec<String>,
    ledger: Ledger,
    /// When what has no time was taken.
    time: Option<Time>,
    quarantine: BTreeMap<(String, &'static str, Reject), Told>,
    imports: BTreeMap<&'static str, ImportRecording>,
    /// Files that have nothing in them.
    empty: Vec<String>,
    used: u64,
}

/// How often something was set aside, and where.
struct Told {
    count: u64,
    first: u64,
    last: u64,
}

const UNTIMED: Reject = Reject::incomplete("it has no time: say with `--time` when it was taken");

impl Importer {
    fn file(&mut self, format: Option<&'static Format>, source: Source<'_>) -> Result<(), ImportError> {
        let Source { name, content } = source;
        let failed = |source| ImportError::Read {
            name: name.clone(),
            source,
        };
        let mut content = read::unpacked(content).map_err(failed)?;
        let start = content.fill_buf().map_err(failed)?;
        if archive::is_archive(start) {
            self.archive(&name, &mut *content);
            return Ok(());
        }
        if start.is_empty() && format.is_none() {
            self.empty.push(name);
            return Ok(());
        }
        let format = format
            .or_else(|| format::of(start))
            .ok_or_else(|| ImportError::Unknown { name: name.clone() })?;
        if matches!(format.kind, Kind::Table(_)) && self.time.is_none() {
            return Err(ImportError::Untimed { name });
        }
        self.content(format, &name, content);
        Ok(())
    }

    /// Every file of an archive that looks like a format, of the node and time that the archive's name tells.
    fn archive(&mut self, name: &str, archive: &mut (dyn BufRead + Send)) {
        let (node, time) = archive::told(name, &self.nodes);
        let time_before = self.time;
        self.time = time_before.or(time);
        self.ledger.turn_to(node.as_deref());
        for number in 1.. {
            match self.member(name, number, archive) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.taken(format::OF_ARCHIVES, name, number, Err(read::stop(&error)));
                    break;
                }
            }
        }
        self.ledger.turn_to(None);
        self.time = time_before;
    }

    /// The next file of an archive; false at its end, and where there are too many.
    fn member(&mut self, name: &str, number: u64, mut archive: &mut (dyn BufRead + Send)) -> io::Result<bool> {
        let Some(member) = archive::member(&mut archive)? else {
            return Ok(false);
        };
        if number > MEMBERS {
            self.taken(format::OF_ARCHIVES, name, number, Err(Reject::TOO_MANY));
            return Ok(false);
        }
        let mut content = BufReader::new(Read::take(&mut *archive, member.size));
        match format::in_archive(&member.path, content.fill_buf()?) {
            _ if !member.is_file => {}
            Some(format) => self.content(format, &format!("{name}/{}", member.path), &mut content),
            None => {
                let passed_over = Record::PassedOver("file of an archive that is no capture and no list of sockets");
                self.taken(format::OF_ARCHIVES, name, number, Ok(vec![passed_over]));
            }
        }
        let left = content.into_inner().limit();
        archive::skip(&mut archive, &member, left)?;
        Ok(true)
    }

    /// One file of a format.
    fn content(&mut self, format: &'static Format, name: &str, mut content: impl BufRead + Send) {
        let import = self.imports.entry(format.name).or_insert_with(|| recording(format));
        import.files.push(name.to_owned());
        let time = self.time;
        match format.kind {
            Kind::Objects(parse) => self.text(format, name, content, Divider::new(true), parse),
            Kind::Lines(parse) => self.text(format, name, content, Divider::new(false), |line| parse(line, time)),
            Kind::Table(parse) => match time {
                Some(time) => self.table(format, name, content, |lines| parse(lines, time)),
                None => self.taken(format, name, 1, Err(UNTIMED)),
            },
            Kind::Packets(read) => read(&mut content, &mut |position, records| {
                self.taken(format, name, position, records);
            }),
        }
    }

    /// Reads records that each stand by themselves: while those of one block are taken in, those of the next are made, and the one
    /// after it is read.
    fn text(
        &mut self,
        format: &'static Format,
        name: &str,
        content: impl BufRead + Send,
        mut divider: Divider,
        parse: impl Fn(&[u8]) -> Result<Vec<Record>, Reject> + Sync,
    ) {
        let mut blocks = Blocks::new(content);
        let mut block = blocks.next();
        let mut made = Vec::new();
        while let Some(current) = block {
            let before = std::mem::take(&mut made);
            let ((), (next, parts)) = rayon::join(
                || self.all_taken(format, name, before),
                || rayon::join(|| blocks.next(), || divided(&mut divider, &current, &parse)),
            );
            blocks.take_back(current);
            (block, made) = (next, parts);
        }
        self.all_taken(format, name, made);
        if let Some((position, reject)) = divider.end() {
            self.taken(format, name, position, Err(reject));
        }
    }

    /// Reads lines that say something together.
    fn table(
        &mut self,
        format: &'static Format,
        name: &str,
        content: impl BufRead,
        parse: impl Fn(&[Vec<u8>]) -> Vec<Result<Vec<Record>, Reject>>,
    ) {
        let mut blocks = Blocks::new(content);
        let mut divider = Divider::new(false);
        let (mut positions, mut lines, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(block) = blocks.next() {
            let parts = divided(&mut divider, &block, &|line: &[u8]| Ok(line.to_vec()));
            for (position, piece) in parts.into_iter().flatten() {
                match piece {
                    Ok(line) if bytes < TABLE_BYTES => {
                        bytes += line.len() + LINE_BYTES;
                        positions.push(position);
                        lines.push(line);
                    }
                    Ok(_) => self.taken(format, name, position, Err(Reject::TOO_MANY)),
                    Err(reject) => self.taken(format, name, position, Err(reject)),
                }
            }
        }
        for (position, records) in positions.into_iter().zip(parse(&lines)) {
            self.taken(format, name, position, records);
        }
    }

    fn all_taken(&mut self, format: &'static Format, file: &str, made: Vec<Vec<Piece<Vec<Record>>>>) {
        for (position, records) in made.into_iter().flatten() {
            self.taken(format, file, position, records);
        }
    }

    /// Takes in what became of one line or object.
    fn taken(&mut self, format: &'static Format, file: &str, position: u64, records: Result<Vec<Record>, Reject>) {
        let mut used = false;
        let mut problem = None;
        let mut passed_over = None;
        let mut sampling = None;
        match records {
            Err(reject) => problem = Some(reject),
            Ok(records) => {
                for record in records {
                    match self.ledger.take(record) {
                        Ok(Taken::Used) => used = true,
                        Ok(Taken::PassedOver(what)) => passed_over = Some(what),
                        Ok(Taken::Sampling(one_of)) => sampling = sampling.max(Some(one_of)),
                        Err(reject) => problem = Some(reject),
                    }
                }
            }
        }
        let import = self.imports.entry(format.name).or_insert_with(|| recording(format));
        import.records += 1;
        import.sampling = import.sampling.max(sampling);
        self.used += u64::from(used);
        if let Some(what) = passed_over.filter(|_| !used && problem.is_none()) {
            *import.passed_over.entry(what.to_owned()).or_default() += 1;
        }
        if let Some(reject) = problem {
            import.quarantined += 1;
            let told = self
                .quarantine
                .entry((file.to_owned(), format.name, reject))
                .or_insert(Told {
                    count: 0,
                    first: position,
                    last: position,
                });
            told.count += 1;
            told.first = told.first.min(position);
            told.last = told.last.max(position);
        }
    }

    fn finish(self, files: &[String], mut cluster: ClusterRows) -> Result<Imported, ImportError> {
        let is_known = cluster != ClusterRows::default();
        let (nodes, named) = self.ledger.finish(&mut cluster);
        let mut imports: Vec<ImportRecording> = self.imports.into_values().collect();
        let row = |((file, format, reject), told): ((String, &str, Reject), Told)| QuarantineRow {
            file,
            format: format.to_owned(),
            reason: reject.reason,
            detail: reject.detail.to_owned(),
            count: told.count,
            first_position: told.first,
            last_position: told.last,
        };
        let quarantine: Vec<QuarantineRow> = self.quarantine.into_iter().map(row).collect();
        if self.used == 0 || nodes.is_empty() {
            let mut found = found(&imports, &quarantine);
            found.extend(self.empty.iter().map(|name| format!("`{name}` is empty")));
            return Err(ImportError::Nothing {
                files: files.join(", "),
                found,
            });
        }
        if let Some(import) = imports.first_mut() {
            import.named_by_source = named;
            import.limits.extend((!is_known).then(without_metadata));
        }
        Ok(Imported {
            nodes,
            cluster,
            quarantine,
            imports,
        })
    }
}

/// What is made of the records of a block, part by part.
fn divided<T: Send>(
    divider: &mut Divider,
    block: &Block,
    parse: &(impl Fn(&[u8]) -> Result<T, Reject> + Sync),
) -> Vec<Vec<Piece<T>>> {
    let parts = divider.parts(block);
    let made: Vec<_> = parts.into_par_iter().map(|part| part.pieces(parse)).collect();
    let (pieces, mut begun): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    divider.goes_on(begun.pop().flatten());
    pieces
}

fn recording(format: &Format) -> ImportRecording {
    let limit = |limit: &Limit| {
        let (what, costs_edges) = match limit {
            Limit::Detail(what) => (*what, false),
            Limit::Edges(what) => (*what, true),
        };
        ImportLimit {
            what: what.to_owned(),
            costs_edges,
        }
    };
    ImportRecording {
        format: format.name.to_owned(),
        clock: format.clock.to_owned(),
        limits: format.limits.iter().map(limit).collect(),
        ..ImportRecording::default()
    }
}

fn without_metadata() -> ImportLimit {
    ImportLimit {
        what: "no metadata was given, so that an address of which no record names the pod is taken for one outside"
            .to_owned(),
        costs_edges: true,
    }
}

/// What was in files that nothing could be made of.
fn found(imports: &[ImportRecording], quarantine: &[QuarantineRow]) -> Vec<String> {
    let passed = imports.iter().flat_map(|import| &import.passed_over);
    let passed = passed.map(|(what, count)| format!("passed over {count}: {what}"));
    let set_aside = quarantine.iter().map(|row| {
        let QuarantineRow {
            file,
            format,
            reason,
            detail,
            count,
            ..
        } = row;
        format!("{count} of `{file}` read as `{format}`, {reason}: {detail}")
    });
    passed.chain(set_aside).collect()
}
