//! `flowtape generate`: policies that allow what was recorded and nothing else, with the proof.

use std::collections::BTreeSet;

use flowtape_schemas::manifest::NodeRecording;

use crate::cli::args::Global;
use crate::cli::args::generate::{self as args, GenerateArgs};
use crate::cli::directory::{self, OutputFile};
use crate::cli::edges::edges;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::findings::{Code, Findings};
use crate::flow::Flows;
use crate::identity::cluster::Cluster;
use crate::json::generate::{Addition, Generate};
use crate::parse::kubernetes::parse;
use crate::policy::model::PolicySet;
use crate::render::kubernetes;
use crate::replay::soundness::denied;
use crate::replay::world::world;
use crate::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use crate::synthesis::{Generated, synthesize};
use crate::tape::{self, Tape};

pub(in crate::cli) fn run(args: &GenerateArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let mut findings = Findings::default();
    let tape = tape::open(&args.input.tapes, &mut findings)?;
    refuse_empty_window(&tape)?;
    if let Some(output) = &args.output {
        directory::check(output, args.force)?;
    }
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = edges(&tape, &cluster, &mut findings)?;
    let generated = synthesize(&flows.edges, &cluster, &settings(args, &tape), &mut findings)
        .map_err(|error| Failure::of("cannot make a policy set of this recording", &error))?;
    let proved = prove(&flows, &cluster, &generated, &mut findings);
    let text =
        kubernetes::manifests(&generated.set).map_err(|error| Failure::of("cannot write the policies", &error))?;
    check_reading_back(&generated.set, &text);
    if let Some(output) = &args.output {
        directory::write(output, &files(&generated.set)?, args.force)?;
    }
    let body = body(&generated)?;
    let report = Report::of_tape("flowtape.generate/v1", &tape, &flows, findings);
    let printed = report.print(
        global,
        &body,
        |_| if args.output.is_some() { String::new() } else { text },
    )?;
    Ok(if proved {
        printed
    } else {
        printed.max(ExitStatus::Found)
    })
}

fn refuse_empty_window(tape: &Tape) -> Result<(), Failure> {
    if tape.nodes.iter().any(|node| !node.flows.is_empty()) {
        return Ok(());
    }
    let failure = Failure::plain("nothing was recorded: the window is empty, so there is nothing to make policies of");
    Err(failure.hint("`flowtape inspect` shows what the tape holds; give the recording together with its metadata"))
}

fn settings(args: &GenerateArgs, tape: &Tape) -> Settings {
    Settings {
        default_deny: match args.default_deny {
            args::DefaultDeny::None => DefaultDeny::None,
            args::DefaultDeny::Workload => DefaultDeny::Workload,
            args::DefaultDeny::Namespace => DefaultDeny::Namespace,
        },
        published: match args.published {
            args::Published::Declared => Published::Declared,
            args::Published::Seen => Published::Seen,
            args::Published::Off => Published::Off,
        },
        dns: match args.dns {
            args::Dns::Auto => Dns::Auto,
            args::Dns::Seen => Dns::Seen,
            args::Dns::Off => Dns::Off,
        },
        namespaces: args.namespaces.iter().cloned().collect(),
        redacted: tape
            .nodes
            .iter()
            .flat_map(|node| &node.recordings)
            .any(NodeRecording::is_redacted),
    }
}

/// Replays every recorded connection against the policies; a connection they deny is a finding.
fn prove(flows: &Flows, cluster: &Cluster, generated: &Generated, findings: &mut Findings) -> bool {
    let denied = denied(&flows.edges, &generated.set, &world(cluster), &generated.left_out);
    for connection in &denied {
        let (client, server) = &connection.pair;
        let side = if connection.verdict.egress.allowed {
            "ingress"
        } else {
            "egress"
        };
        let (port, protocol) = (connection.edge.port, connection.edge.protocol);
        let message = format!("{client} -> {server} {port}/{protocol} was recorded, and the {side} rules deny it");
        let edge = flows.edges.iter().find(|edge| edge.key == connection.edge);
        let samples = edge.map(|edge| edge.evidence.samples.clone()).unwrap_or_default();
        findings.report_rows(Code::Unsound, message, 1, &samples);
    }
    denied.is_empty()
}

/// What was written must read back as what was meant; anything else is a bug of ours, and never reaches the user as a
/// policy.
fn check_reading_back(set: &PolicySet, text: &str) {
    let parsed = parse([("generated", text)]);
    let same = parsed.as_ref().is_ok_and(|parsed| parsed.set.bare() == set.bare());
    assert!(
        same,
        "the generated policies do not read back as what was meant: {:?}",
        parsed.err()
    );
}

fn files(set: &PolicySet) -> Result<Vec<OutputFile>, Failure> {
    let file = |policy| {
        let content = kubernetes::manifest(policy).map_err(|error| Failure::of("cannot write a policy", &error))?;
        Ok(OutputFile {
            folder: policy.namespace.clone(),
            name: format!("{}.yaml", policy.name),
            content,
        })
    };
    set.iter().map(file).collect()
}

fn body(generated: &Generated) -> Result<Generate, Failure> {
    let policies = generated.set.iter().map(kubernetes::json).collect::<Result<_, _>>();
    let addition = |addition: &crate::synthesis::additions::Addition| Addition {
        name: addition.kind.word().to_owned(),
        namespace: addition.namespace.clone(),
        policy: addition.policy.clone(),
        rule: addition.rule.clone(),
        message: addition.to_string(),
    };
    let additions: BTreeSet<Addition> = generated.additions.iter().map(addition).collect();
    Ok(Generate {
        policies: policies.map_err(|error| Failure::of("cannot write JSON", &error))?,
        additions: additions.into_iter().collect(),
    })
}
