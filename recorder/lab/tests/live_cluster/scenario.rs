//! Scenarios, without what only a compiler can do.

use std::path::Path;

use flowtape_scenario::Scenario;

use crate::Outcome;

/// A scenario of the project.
pub(crate) fn named(name: &str) -> Outcome<Scenario> {
    with(name, &[])
}

/// A scenario of the project with more lines of traffic.
pub(crate) fn with(name: &str, lines: &[&str]) -> Outcome<Scenario> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testdata/scenarios/{name}.scenario"));
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    live(&format!("{text}\n{}", lines.join("\n")))
}

/// A text without its synthetic traffic, which nobody makes live.
pub(crate) fn live(text: &str) -> Outcome<Scenario> {
    let is_live = |line: &&str| !line.split_whitespace().any(|word| word == "synthetic");
    let lines: Vec<&str> = text.lines().filter(is_live).collect();
    Ok(Scenario::parse(&lines.join("\n"))?)
}
