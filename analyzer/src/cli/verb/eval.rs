//! `flowtape eval`: what policies say to one connection.

use crate::cli::args::Global;
use crate::cli::args::eval::{EvalArgs, Expected};
use crate::cli::cluster;
use crate::cli::exit::ExitStatus;
use crate::cli::failure::Failure;
use crate::cli::policies;
use crate::cli::report::Report;
use crate::findings::Findings;
use crate::json;
use crate::render::text;
use crate::replay::asked::{Answer, answers};
use crate::replay::named::endpoints;
use crate::replay::world::world;

pub(in crate::cli) fn run(args: &EvalArgs, global: &Global) -> Result<ExitStatus, Failure> {
    let EvalArgs {
        policies,
        cluster,
        from,
        to,
        port,
        reading,
        expect,
    } = args;
    let policies = policies::read(policies, reading.profile())?;
    let mut findings = Findings::default();
    policies::say_what_is_odd(&policies.parsed, &mut findings);
    let mut given = cluster::read(cluster, &mut findings)?;
    let world = world(&given.cluster);
    policies::say_how_it_is_read(&policies.parsed.set, &world, *reading, &mut findings);
    let clients = endpoints(from, &given.cluster, &world)?;
    let servers = endpoints(to, &given.cluster, &world)?;
    let service = (port.protocol, port.number);
    let answer = one_answer(answers(&policies.parsed.set, &world, &clients, &servers, service), args)?;

    let what = format!("{from} -> {to} {}/{}", port.number, port.protocol);
    let body = json::eval::Eval::new(from.to_string(), to.to_string(), service, &answer.verdict);
    given.inputs.insert(0, policies.input);
    let report = Report {
        schema: "flowtape.eval/v1",
        inputs: given.inputs,
        health: given.health,
        shares: Vec::new(),
        findings,
        remark: String::new(),
    };
    let printed = report.print(global, &body, |_| text::eval::text(&what, &answer.verdict))?;
    let met = expect.is_none_or(|expected| (expected == Expected::Allowed) == answer.verdict.allowed());
    Ok(if met { printed } else { printed.max(ExitStatus::Found) })
}

/// The answer that every pair of pods gives; a question with two answers is none.
fn one_answer(answers: Vec<Answer>, args: &EvalArgs) -> Result<Answer, Failure> {
    let says = |answer: &Answer| (answer.verdict.egress.allowed, answer.verdict.ingress.allowed);
    let other = answers
        .iter()
        .find(|answer| answers.first().map(says) != Some(says(answer)));
    if let (Some(first), Some(other)) = (answers.first(), other) {
        let told = |answer: &Answer| {
            let side = |allowed| if allowed { "allowed" } else { "denied" };
            let (egress, ingress) = says(answer);
            let (from, to) = (&answer.from, &answer.to);
            format!("{from} -> {to}: egress {}, ingress {}", side(egress), side(ingress))
        };
        return Err(Failure::Told {
            message: "pods of one workload are not judged alike".to_owned(),
            causes: vec![told(first), told(other)],
            hint: Some("ask about single pods, as NAMESPACE/POD".to_owned()),
        });
    }
    answers.into_iter().next().ok_or_else(|| {
        let (from, to) = (&args.from, &args.to);
        Failure::plain(format!("`{from}` and `{to}` have no address family in common"))
    })
}
