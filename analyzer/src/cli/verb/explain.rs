//! `flowtape explain`: what a finding means; what is behind a rule; what policies say to a connection, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::args::Global;
use crate::cli::args::explain::ExplainArgs;
use crate::cli::args::generate::Options;
use crate::cli::args::port::Port;
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{output, policies};
use crate::explain::question::{Answer as Answered, of_edge, of_ends};
use crate::explain::{RulePattern, behind};
use crate::findings::{CATALOG, Code, Findings};
use crate::flow::Flows;
use crate::flow::edge::{Edge, EdgeKey};
use crate::flow::filter::{Filter, PeerPattern};
use crate::flow::process::{Processes, processes};
use crate::identity::cluster::Cluster;
use crate::json::Input;
use crate::json::edge::id;
use crate::json::explain::{Answer, Explain, Rule, cases, recorded};
use crate::policy::model::{Policy, PolicySet};
use crate::policy::profile::Profile;
use crate::render::text::explain as text;
use crate::replay::named::{Named, endpoints};
use crate::replay::world::named_world;
use crate::semantics::eval::RuleId;
use crate::semantics::world::World;
use crate::synthesis::additions::Addition;
use crate::synthesis::{Generated, synthesize};
use crate::tape::{self, Tape};

use super::generate::{config, settings};

pub(in crate::cli) fn run(args: &ExplainArgs, global: &Global) -> Result<ExitStatus, Failure> {
    if args.rule.is_some() || args.edge.is_some() || args.from.is_some() {
        return of_recording(args, global);
    }
    let text = match args.subjects.as_slice() {
        [] => list(),
        [number] => page(number)?,
        [_, _, ..] => {
            return Err(Failure::plain("one code is explained at a time")
                .hint("with recordings, say what is asked: `--rule`, `--edge`, or `--from`, `--to` and `--port`"));
        }
    };
    output::data(&text)?;
    Ok(ExitStatus::Done)
}

fn page(number: &str) -> Result<String, Failure> {
    let code = Code::from_number(number).ok_or_else(|| {
        Failure::plain(format!("there is no finding with the code `{number}`")).hint(
            "`flowtape explain` lists every code; of a recording, say what is asked: `--rule`, `--edge`, or `--from`, `--to` \
             and `--port`",
        )
    })?;
    Ok(code.entry().page.trim_end().to_owned() + "\n")
}

fn list() -> String {
    let mut text = String::new();
    for entry in CATALOG {
        let _ = writeln!(
            text,
            "{}  {:<8} {}",
            entry.number,
            entry.severity.to_string(),
            entry.title
        );
    }
    text
}

/// A recording and the policies that are asked.
struct Asked {
    tape: Tape,
    cluster: Cluster,
    flows: Flows,
    world: World,
    set: PolicySet,
    additions: BTreeSet<Addition>,
}

fn of_recording(args: &ExplainArgs, global: &Global) -> Result<ExitStatus, Failure> {
    if args.subjects.is_empty() {
        return Err(Failure::plain("no recording was given").hint("write `flowtape explain TAPE` before the options"));
    }
    let mut findings = Findings::default();
    let (asked, policies) = open(args, &mut findings)?;
    let body = match (&args.rule, &args.edge) {
        (Some(rule), _) => rules(rule, &asked)?,
        (None, Some(edge)) => edge_answer(edge, &asked)?,
        (None, None) => peers_answer(args, &asked)?,
    };
    let mut report = Report::of_tape("flowtape.explain/v1", &asked.tape, &asked.flows, findings);
    report.inputs.extend(policies);
    report.print(global, &body, text::text)
}

fn open(args: &ExplainArgs, findings: &mut Findings) -> Result<(Asked, Option<Input>), Failure> {
    let paths: Vec<PathBuf> = args.subjects.iter().map(PathBuf::from).collect();
    let given = args
        .policies
        .as_deref()
        .map(|path| policies::read(path, Profile::Generic))
        .transpose()?;
    let tape = tape::open(&paths, findings)?;
    let cluster = Cluster::new(&tape.cluster, findings);
    let flows = edges(&tape, &cluster, findings)?;
    let (set, additions, input) = if let Some(given) = given {
        policies::say_what_is_odd(&given.parsed, findings);
        (given.parsed.set, BTreeSet::new(), Some(given.input))
    } else {
        let options = config::options(&Options::default(), args.config.as_deref())?;
        let settings = settings::settings(&options, &tape);
        // What synthesis has to say is said by `generate`, of which this is a question.
        let silent = &mut Findings::default();
        let Generated { set, additions, .. } = synthesize(&flows.edges, &cluster, &settings, silent)
            .map_err(|error| Failure::of("cannot make a policy set of this recording", &error))?;
        (set, additions, None)
    };
    let world = named_world(&cluster, &flows.edges);
    policies::say_who_is_not_known(&set, &world, findings);
    let asked = Asked {
        tape,
        cluster,
        flows,
        world,
        set,
        additions,
    };
    Ok((asked, input))
}

fn rules(wanted: &RulePattern, asked: &Asked) -> Result<Explain, Failure> {
    let found = behind(&asked.flows.edges, &asked.set, &asked.world, wanted);
    if found.is_empty() {
        let failure = Failure::plain(format!("there is no such rule: `{wanted}`"));
        let is_there = |policy: &Policy| policy.namespace == wanted.namespace && policy.name == wanted.policy;
        return Err(failure.hint(if asked.set.iter().any(is_there) {
            "the policy is there; leave the rule out to see all of its rules"
        } else {
            "`flowtape generate` prints the policies; ask others with `--policies PATH`"
        }));
    }
    let edges: Vec<&Edge> = found
        .iter()
        .flat_map(|rule| &rule.edges)
        .map(|(edge, _)| *edge)
        .collect();
    let processes = asked.processes(&edges)?;
    let rule = |behind| {
        let additions = asked.additions_of(behind);
        Rule::of(behind, &asked.set, additions, &processes)
    };
    Ok(Explain {
        rules: found.iter().filter_map(rule).collect(),
        answers: Vec::new(),
    })
}

fn edge_answer(wanted: &str, asked: &Asked) -> Result<Explain, Failure> {
    let edges = asked.flows.edges.iter().filter(|edge| id(&edge.key) == wanted);
    let edges: Vec<&Edge> = edges.collect();
    if edges.is_empty() {
        return Err(Failure::plain(format!("no edge has the id `{wanted}`"))
            .hint("`flowtape flows TAPE --format json` has the id of every edge"));
    }
    let processes = asked.processes(&edges)?;
    let answers = edges.iter().map(|edge| {
        let key = &edge.key;
        let (from, to) = (key.from.to_string(), key.to.to_string());
        let what = (from, to, key.protocol.to_string(), key.port);
        answer(what, &of_edge(edge, &asked.set, &asked.world), &[edge], &processes)
    });
    Ok(Explain {
        rules: Vec::new(),
        answers: answers.collect(),
    })
}

fn peers_answer(args: &ExplainArgs, asked: &Asked) -> Result<Explain, Failure> {
    let (Some(from), Some(to), Some(Port { number, protocol })) = (&args.from, &args.to, args.port) else {
        return Err(Failure::Usage(
            "error: `--from`, `--to` and `--port` are asked together\n".to_owned(),
        ));
    };
    let ends = |named: &Named| endpoints(named, &asked.cluster, &asked.world).map(|pods| pods.concat());
    let (clients, servers) = (ends(from)?, ends(to)?);
    let answered = of_ends((&clients, &servers), (protocol, number), &asked.set, &asked.world);
    let answered =
        answered.ok_or_else(|| Failure::plain(format!("`{from}` and `{to}` have no address family in common")))?;
    let pattern = |named: &Named| {
        let pattern = named.to_string().parse::<PeerPattern>();
        pattern.map_err(|error| Failure::of(format!("`{named}` names no peer"), &error))
    };
    let (client, server) = (pattern(from)?, pattern(to)?);
    let filter = Filter {
        from: vec![client],
        to: vec![server],
        ..Filter::default()
    };
    let asked_for = |edge: &&Edge| {
        edge.key.port == number && edge.key.protocol.to_string() == protocol.name() && filter.admits(edge)
    };
    let edges: Vec<&Edge> = asked.flows.edges.iter().filter(asked_for).collect();
    let processes = asked.processes(&edges)?;
    let what = (from.to_string(), to.to_string(), protocol.name().to_owned(), number);
    Ok(Explain {
        rules: Vec::new(),
        answers: vec![answer(what, &answered, &edges, &processes)],
    })
}

fn answer(
    (from, to, protocol, port): (String, String, String, u16),
    answered: &Answered,
    edges: &[&Edge],
    processes: &BTreeMap<EdgeKey, Processes>,
) -> Answer {
    Answer {
        from,
        to,
        protocol,
        port,
        allowed: answered.cases.iter().all(|case| case.allowed),
        cases: cases(answered),
        edges: edges
            .iter()
            .map(|edge| recorded(edge, &edge.evidence.pairs, processes))
            .collect(),
    }
}

impl Asked {
    fn processes(&self, edges: &[&Edge]) -> Result<BTreeMap<EdgeKey, Processes>, Failure> {
        Ok(processes(&self.tape, &self.cluster, edges)?)
    }

    fn additions_of(&self, behind: &crate::explain::Behind<'_>) -> BTreeSet<String> {
        let Some(policy) = self.set.policies().get(behind.policy) else {
            return BTreeSet::new();
        };
        let RuleId { direction, index } = behind.rule;
        let of_rule = |one: &&Addition| {
            one.namespace == policy.namespace
                && one.policy == policy.name
                && one.direction == direction
                && one.index == index
        };
        let additions = self.additions.iter().filter(of_rule);
        additions
            .map(|one| format!("{} on {}: {}", one.peer, one.port, one.kind.reason()))
            .collect()
    }
}
