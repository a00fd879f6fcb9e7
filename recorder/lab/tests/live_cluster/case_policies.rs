//! What is made of a live recording is what is made of the compiled one.

use serde_json::Value;

use crate::program::analyzer;
use crate::recorded::{Recorded, Shared};
use crate::scenario;
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("policies_of_dvwa_are_those_of_the_scenario", policies),
    ("a_diff_names_exactly_the_one_new_edge", one_new_edge),
];

/// Runs a verb of the analyzer: its exit code and its data.
fn run(arguments: &[&str]) -> Outcome<(Option<i32>, String)> {
    let output = analyzer(arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.stdout.is_empty() {
        return Err(format!("`flowtape {}` printed nothing: {said}", arguments.join(" ")).into());
    }
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

fn path(path: &std::path::Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| "no text".into())
}

fn policies(shared: &Shared) -> Outcome<String> {
    let recorded = shared.dvwa()?;
    let (live, compiled) = (recorded.tape(), recorded.compiled()?);
    let of = |tape: &std::path::Path| run(&["generate", path(tape)?, "-n", "dvwa"]);
    let (live, compiled) = (of(&live)?, of(&compiled)?);
    if live.0 != Some(0) {
        return Err(format!("generate ended with {:?}", live.0).into());
    }
    if live.1 != compiled.1 {
        return Err(format!("live:\n{}\ncompiled:\n{}", live.1, compiled.1).into());
    }
    for expected in ["name: dvwa-mysql", "port: 3306"] {
        if !live.1.contains(expected) {
            return Err(format!("no `{expected}` in\n{}", live.1).into());
        }
    }
    let (_, document) = run(&["generate", path(&recorded.tape())?, "-n", "dvwa", "--format", "json"])?;
    let document: Value = serde_json::from_str(&document)?;
    let unsound = flowtape::findings::Code::Unsound.to_string();
    let findings = document["findings"].as_array().ok_or("no findings")?;
    if let Some(finding) = findings.iter().find(|finding| finding["code"] == unsound.as_str()) {
        return Err(format!("unsound: {finding}").into());
    }
    Ok(format!("{} bytes of policies", live.1.len()))
}

fn one_new_edge(shared: &Shared) -> Outcome<String> {
    let before = shared.dvwa()?;
    let after = Recorded::of(scenario::named("dvwa-2")?, &[])?;
    let (before, after) = (before.tape(), after.tape());
    let (code, document) = run(&["diff", path(&before)?, path(&after)?, "--format", "json"])?;
    let document: Value = serde_json::from_str(&document)?;
    let changes: Vec<String> = document["changes"]
        .as_array()
        .ok_or("no changes")?
        .iter()
        .map(|change| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let peer = |peer: &Value| {
                format!(
                    "{}/{}/{}",
                    text(&peer["namespace"]),
                    text(&peer["kind"]),
                    text(&peer["name"])
                )
            };
            let (from, to) = (peer(&change["from"]), peer(&change["to"]));
            let (class, ports, protocol) = (
                text(&change["class"]),
                text(&change["ports"]),
                text(&change["protocol"]),
            );
            format!("{class}: {from} -> {to} {ports}/{protocol}")
        })
        .collect();
    let expected = "added: dvwa/CronJob/dvwa-report -> dvwa/Deployment/dvwa-mysql 3306/TCP";
    if changes != [expected] || code != Some(1) {
        return Err(format!("exit code {code:?}, changes {changes:#?}").into());
    }
    let (code, _) = run(&["diff", path(&before)?, path(&before)?, "--format", "json"])?;
    if code != Some(0) {
        return Err(format!("a recording differs from itself: exit code {code:?}").into());
    }
    Ok(expected.to_owned())
}
