//! `flowtape connectivity`: everything that policies allow.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::metadata::ClusterRows;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::cli::args::connectivity::ConnectivityArgs;
use crate::cli::args::{Format, Global};
use crate::cli::cluster::{self, Given};
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{output, policies};
use crate::findings::Findings;
use crate::identity::cluster::Cluster;
use crate::json::Input;
use crate::json::connectivity::{Class, Connectivity};
use crate::json::peer::Peer;
use crate::render::connectivity::{Form, Lines, class_id, head};
use crate::render::text::connectivity::classes as classes_text;
use crate::replay::connectivity::{Allowed, Sent, sent};
use crate::replay::party::{Parties, Party};
use crate::replay::world::world;
use crate::semantics::bits::Bits;
use crate::semantics::class::Classes;
use crate::semantics::reach::Reach;
use crate::semantics::representative::with_representatives;
use crate::tape::{self, Health};

/// Clients that are answered for at once by one thread.
const TOGETHER: usize = 64;

/// Pieces of work between two rounds of writing: enough for all threads.
const AT_ONCE: usize = 16;

/// Clients whose lines are in memory at once: each may have one with everybody.
const WRITTEN: usize = 16;

pub(in crate::cli) fn run(args: &ConnectivityArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let form = match global.format {
        Format::Json => Form::Json,
        Format::Csv => Form::Csv,
        Format::Text | Format::Parquet | Format::Markdown | Format::Sarif | Format::Junit => Form::Text,
    };
    let policies = policies::read(&args.policies, args.reading.profile())?;
    let mut findings = Findings::default();
    policies::say_what_is_odd(&policies.parsed, &mut findings);
    let mut given = given(args, &mut findings)?;
    let set = &policies.parsed.set;
    let world = with_representatives(&world(&given.cluster), &[set]);
    policies::say_how_it_is_read(set, &world, args.reading, &mut findings);
    let classes = Classes::new(&world, &[set]);
    let reach = Reach::new(&classes, set);
    let parties = Parties::new(&classes, &given.cluster);
    let question = Question::new(&reach, &parties, &args.namespaces);

    given.inputs.insert(0, policies.input);
    let report = Report {
        schema: "flowtape.connectivity/v1",
        inputs: given.inputs,
        health: given.health,
        shares: Vec::new(),
        findings,
        remark: String::new(),
    };
    if args.group {
        return Grouped::new(&question)?.print(&report, global, form);
    }
    let lines = lines(form, parties.list(), 0)?;
    let body = Connectivity {
        classes: None,
        connections: [],
    };
    report.stream(global, &body, || {
        let mut first = true;
        output::data(head(form))?;
        question.answers(|answers| {
            for some in answers.chunks(WRITTEN) {
                let texts: Vec<String> = some.par_iter().map(|(from, sent)| lines.of(*from, sent)).collect();
                print(form, &texts.concat(), &mut first)?;
            }
            Ok(())
        })
    })
}

/// The cluster that was named, if one was.
fn given(args: &ConnectivityArgs, findings: &mut Findings) -> Result<Given, Failure> {
    if let Some(path) = &args.cluster {
        return cluster::read(path, findings);
    }
    if args.tapes.is_empty() {
        return Ok(Given {
            cluster: Cluster::new(&ClusterRows::default(), findings),
            inputs: Vec::new(),
            health: Health::default(),
        });
    }
    let tape = tape::open(&args.tapes, findings)?;
    Ok(Given {
        cluster: Cluster::new(&tape.cluster, findings),
        inputs: Input::of_tape(&tape),
        health: tape.health,
    })
}

fn lines(form: Form, parties: &[Party], classes: usize) -> Result<Lines, Failure> {
    Lines::new(form, parties, classes).map_err(|error| Failure::of("cannot write JSON", &error))
}

/// Prints lines; those of JSON begin with a comma each, which the first has no use for.
fn print(form: Form, lines: &str, first: &mut bool) -> Result<(), Failure> {
    let lines = match lines.strip_prefix(',') {
        Some(rest) if form == Form::Json && *first => rest,
        Some(_) | None => lines,
    };
    *first &= lines.is_empty();
    Ok(output::data(lines)?)
}

/// Which connections are asked for.
struct Question<'q, 'c, 'a> {
    reach: &'q Reach<'c, 'a>,
    parties: &'q Parties,
    /// The parties of the namespaces, one of which a connection must begin or end with.
    wanted: Bits,
    wanted_classes: Bits,
}

impl<'q, 'c, 'a> Question<'q, 'c, 'a> {
    fn new(reach: &'q Reach<'c, 'a>, parties: &'q Parties, namespaces: &[String]) -> Self {
        let is_wanted = |party: &Party| {
            let of = party.namespace();
            namespaces.is_empty() || of.is_some_and(|of| namespaces.iter().any(|namespace| namespace == of))
        };
        let list = parties.list().iter().enumerate();
        let wanted: Vec<usize> = list.filter(|(_, party)| is_wanted(party)).map(|(at, _)| at).collect();
        Self {
            reach,
            parties,
            wanted: Bits::of(parties.list().len(), wanted.iter().copied()),
            wanted_classes: parties.classes_of(wanted.into_iter()),
        }
    }

    /// Hands over what every party may send, in their order, as many at once as work for all threads needs.
    fn answers(&self, mut take: impl FnMut(Vec<(usize, Sent)>) -> Result<(), Failure>) -> Result<(), Failure> {
        let all: Vec<usize> = (0..self.parties.list().len()).collect();
        let pieces: Vec<&[usize]> = all
            .chunk_by(|one, next| self.wanted.contains(*one) == self.wanted.contains(*next))
            .flat_map(|alike| alike.chunks(TOGETHER))
            .collect();
        for pieces in pieces.chunks(AT_ONCE) {
            let answers: Vec<Vec<(usize, Sent)>> = pieces.par_iter().map(|piece| self.answer(piece)).collect();
            take(answers.into_iter().flatten().collect())?;
        }
        Ok(())
    }

    /// What parties may send that are all in the namespaces, or none of them.
    fn answer(&self, piece: &[usize]) -> Vec<(usize, Sent)> {
        let everybody = Bits::all(self.reach.classes().len());
        let begins = piece.iter().all(|party| self.wanted.contains(*party));
        let among = if begins { &everybody } else { &self.wanted_classes };
        let mut answers = sent(self.reach, self.parties, piece, among);
        if !begins {
            // Addresses and hosts share classes with others.
            for to in answers.iter_mut().flat_map(|sent| sent.values_mut()) {
                to.keep(&self.wanted);
            }
        }
        piece.iter().copied().zip(answers).collect()
    }
}

/// Connections between classes of parties that behave alike: all that send the same to the same are one, and so are all that
/// the same is sent to.
struct Grouped<'q> {
    parties: &'q [Party],
    /// The classes of more than one party.
    classes: Vec<Bits>,
    connections: BTreeMap<(usize, Allowed), Bits>,
}

impl<'q> Grouped<'q> {
    fn new(question: &Question<'q, '_, '_>) -> Result<Self, Failure> {
        let parties = question.parties.list();
        let mut senders: BTreeMap<(Allowed, Bits), Bits> = BTreeMap::new();
        question.answers(|answers| {
            for (from, sent) in answers {
                for (allowed, to) in sent.into_iter().filter(|(_, to)| !to.is_empty()) {
                    let with = senders
                        .entry((allowed, to))
                        .or_insert_with(|| Bits::none(parties.len()));
                    with.insert(from);
                }
            }
            Ok(())
        })?;
        let ends = senders.iter().flat_map(|((_, to), from)| [from, to]);
        let several: BTreeSet<&Bits> = ends.filter(|end| end.iter().nth(1).is_some()).collect();
        let mut classes: Vec<Bits> = several.into_iter().cloned().collect();
        classes.sort_by(|one, other| one.iter().cmp(other.iter()));
        let places: BTreeMap<&Bits, usize> = classes.iter().zip(parties.len()..).collect();
        let size = parties.len() + classes.len();
        let place = |end: &Bits| {
            places
                .get(end)
                .copied()
                .or_else(|| end.iter().next())
                .unwrap_or_default()
        };
        let mut connections: BTreeMap<(usize, Allowed), Bits> = BTreeMap::new();
        for ((allowed, to), from) in &senders {
            let of = connections
                .entry((place(from), allowed.clone()))
                .or_insert_with(|| Bits::none(size));
            of.insert(place(to));
        }
        Ok(Self {
            parties,
            classes,
            connections,
        })
    }

    fn print(&self, report: &Report, global: &Global, form: Form) -> Result<ExitStatus, Failure> {
        let members = |class: &Bits| class.iter().map(|party| &self.parties[party]).collect::<Vec<_>>();
        let classes: Vec<Vec<&Party>> = self.classes.iter().map(members).collect();
        let class = |(at, members): (usize, &Vec<&Party>)| Class {
            id: class_id(at),
            members: members.iter().map(|party| Peer::from(*party)).collect(),
        };
        let body = Connectivity {
            classes: Some(classes.iter().enumerate().map(class).collect()),
            connections: [],
        };
        let lines = lines(form, self.parties, classes.len())?;
        report.stream(global, &body, || {
            let mut first = true;
            output::data(head(form))?;
            if form == Form::Text {
                output::data(classes_text(&classes))?;
            }
            for ((from, allowed), to) in &self.connections {
                print(form, &lines.of(*from, [(allowed, to)]), &mut first)?;
            }
            Ok(())
        })
    }
}
