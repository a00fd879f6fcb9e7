//! Rules with what is behind them, and connections with what policies say to them.

use std::fmt::Write as _;

use super::{Align, columns};
use crate::counted::counted;
use crate::escape::escaped;
use crate::json::activity::Process;
use crate::json::diff::By;
use crate::json::explain::{Answer, Case, End, Explain, Near, Recorded, Rule};
use crate::json::verify::Pair;
use crate::policy::kind::PolicyKind;

/// Pairs of pods that are listed of one edge.
const PAIRS: usize = 5;

/// Rules and answers, an empty line between them.
#[must_use]
pub fn text(explain: &Explain) -> String {
    let rules = explain.rules.iter().map(rule);
    let answers = explain.answers.iter().map(answer);
    rules.chain(answers).collect::<Vec<_>>().join("\n")
}

fn rule(rule: &Rule) -> String {
    let Rule {
        kind,
        namespace,
        policy,
        rule,
        file,
        line,
        peers,
        ports,
        additions,
        edges,
    } = rule;
    let mut text = format!("{}{namespace}/{policy} {rule}", before(kind));
    if let (Some(file), Some(line)) = (file, line) {
        let _ = write!(text, " ({file}:{line})");
    }
    let mut text = escaped(&text);
    text.push('\n');
    let mut rows = vec![
        vec!["peers".to_owned(), peers.join("; ")],
        vec!["ports".to_owned(), ports.join(", ")],
    ];
    rows.extend(
        additions
            .iter()
            .map(|addition| vec!["added".to_owned(), addition.clone()]),
    );
    if edges.is_empty() {
        rows.push(vec!["edges".to_owned(), "none: nothing recorded needs it".to_owned()]);
    }
    text.push_str(&columns(2, &[Align::Left; 2], &rows));
    text.push_str(&recorded(edges));
    text
}

/// Edges with counts and times, and below each who is behind it.
fn recorded(edges: &[Recorded]) -> String {
    let mut text = String::new();
    for one in edges {
        let Recorded {
            text: words,
            edge,
            nodes,
            pairs,
            client_processes,
            server_processes,
        } = one;
        let mut said = match edge.count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        if edge.predates_window {
            said.push_str(", also before the window");
        }
        let first = super::seconds(edge.first_seen);
        let last = super::seconds(edge.last_seen);
        let line = format!("{words} {}: {said}, {first} to {last}", edge.outcome);
        let _ = writeln!(text, "  {}", escaped(&line));
        let mut rows = vec![vec!["id".to_owned(), edge.id.clone()]];
        let shown = pairs
            .iter()
            .take(PAIRS)
            .map(|Pair { from, to }| format!("{from} -> {to}"));
        let mut shown: Vec<String> = shown.collect();
        if pairs.len() > PAIRS {
            shown.push(format!("and {} more", pairs.len() - PAIRS));
        }
        rows.extend(shown.into_iter().map(|pair| vec!["pods".to_owned(), pair]));
        for (name, processes) in [("client", client_processes), ("server", server_processes)] {
            if !processes.is_empty() {
                let names: Vec<String> = processes.iter().map(process).collect();
                rows.push(vec![name.to_owned(), names.join(", ")]);
            }
        }
        rows.push(vec!["nodes".to_owned(), nodes.join(", ")]);
        text.push_str(&columns(4, &[Align::Left; 2], &rows));
    }
    text
}

fn process(process: &Process) -> String {
    format!("{} ({})", process.name, counted(process.samples, "sample", "samples"))
}

fn answer(answer: &Answer) -> String {
    let Answer {
        from,
        to,
        protocol,
        port,
        allowed,
        cases,
        edges,
    } = answer;
    let verdict = if *allowed { "allowed" } else { "denied" };
    let head = format!("{from} -> {to} {port}/{protocol}: {verdict}");
    let mut text = escaped(&head);
    text.push('\n');
    for one in cases {
        text.push_str(&case(one, cases.len() > 1));
    }
    if edges.is_empty() {
        text.push_str("  never recorded\n");
    } else {
        text.push_str(&recorded(edges));
    }
    text
}

fn case(case: &Case, several: bool) -> String {
    let Case {
        from,
        to,
        count,
        allowed,
        egress,
        ingress,
    } = case;
    let mut text = String::new();
    if several {
        let verdict = if *allowed { "allowed" } else { "denied" };
        let head = format!("{verdict} for {count}, such as {from} -> {to}");
        let _ = writeln!(text, "  {}", escaped(&head));
    }
    let mut rows = Vec::new();
    for (name, end) in [("egress", egress), ("ingress", ingress)] {
        rows.push(vec![name.to_owned(), said(end)]);
        for Near { by, lacks } in &end.near {
            let what = match *lacks {
                "peer" => "has this port, and not this peer",
                _ => "has this peer, and not this port",
            };
            rows.push(vec![String::new(), format!("{} {what}", by_text(by))]);
        }
        rows.extend(end.missing.iter().map(|missing| vec![String::new(), missing.clone()]));
    }
    text.push_str(&columns(2, &[Align::Left; 2], &rows));
    text
}

fn said(end: &End) -> String {
    let by = || end.by.iter().map(by_text).collect::<Vec<_>>().join(", ");
    match end.basis {
        "rule" => format!("allowed by {}", by()),
        "no-rule" => format!("denied: isolated by {}, and no rule matches", by()),
        "deny-rule" => format!("denied by {}", by()),
        "not-isolated" => "allowed: no policy isolates it".to_owned(),
        "own-node" => "allowed: from the node of the pod".to_owned(),
        "same-pod" => "allowed: the same pod".to_owned(),
        _ => "allowed: no policy can select it".to_owned(),
    }
}

/// What stands before the name of a policy: its kind, where that is another one than NetworkPolicy.
fn before(kind: &str) -> String {
    if kind == PolicyKind::NetworkPolicy.name() {
        String::new()
    } else {
        format!("{kind} ")
    }
}

fn by_text(by: &By) -> String {
    let mut text = before(by.kind);
    if !by.namespace.is_empty() {
        let _ = write!(text, "{}/", by.namespace);
    }
    text.push_str(&by.name);
    if let Some(rule) = &by.rule {
        let _ = write!(text, " {rule}");
    }
    if let (Some(file), Some(line)) = (&by.file, by.line) {
        let _ = write!(text, " ({file}:{line})");
    }
    text
}
