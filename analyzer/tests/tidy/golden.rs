//! A table of the specifications that says where something is shown leads to a scenario that is there, and the one of the
//! cases that other tools got wrong has them all.

use crate::tree::{File, project};
use crate::{assert_accepted, assert_refused, assert_tidy};

const SPECIFICATIONS: &str = "testdata/spec/";
const CASES: &str = "testdata/spec/golden.md";

/// How many cases there are.
const NUMBER: usize = 15;

/// Rows of tables that lead nowhere, and cases without a row.
fn led_astray(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    let pages = files
        .iter()
        .filter(|file| file.path.starts_with(SPECIFICATIONS) && file.is_kind("md"));
    for file in pages {
        for row in rows(file) {
            for (page, scenario) in references(row) {
                let path = format!("{SPECIFICATIONS}{page}");
                let text = files.iter().find(|other| other.path == path).and_then(File::text);
                if !text.is_some_and(|text| text.lines().any(|line| line == format!("```scenario {scenario}"))) {
                    complaints.push(format!("{}: `{page}` has no scenario `{scenario}`", file.path));
                }
            }
        }
    }
    let cases: Vec<&str> = files.iter().filter(|file| file.path == CASES).flat_map(rows).collect();
    for number in 1..=NUMBER {
        let start = format!("| {number} |");
        let Some(row) = cases.iter().find(|row| row.starts_with(&start)) else {
            complaints.push(format!("{CASES}: case {number} is missing"));
            continue;
        };
        let shown = !references(row).is_empty() || row.contains(".rs::") || row.contains("| not yet: ");
        if !shown {
            complaints.push(format!(
                "{CASES}: case {number} says neither where it is shown nor why not"
            ));
        }
    }
    complaints
}

fn rows(file: &File) -> Vec<&str> {
    let lines = file.text().unwrap_or_default().lines();
    lines.filter(|line| line.starts_with("| ")).collect()
}

/// Each scenario that a row names: after the page, all names up to the next page.
fn references(row: &str) -> Vec<(&str, &str)> {
    let mut page = None;
    let mut found = Vec::new();
    for word in row.split('`').skip(1).step_by(2) {
        if word.strip_suffix(".md").is_some_and(|stem| !stem.contains('/')) {
            page = Some(word);
        } else if let Some(page) = page {
            found.push((page, word));
        }
    }
    found
}

#[test]
fn tables_lead_to_scenarios() {
    assert_tidy(&led_astray(&project()));
}

#[test]
fn a_row_that_leads_nowhere_is_refused() {
    const ROWS: &str = "| 1 | x | `a.md`: `one` |\n| 2 | x | `b/c.rs::d` |\n| 3 | x | not yet: because |\n";
    let rest: Vec<String> = (4..=NUMBER)
        .map(|number| format!("| {number} | x | `a.md`: `one`, `two` |"))
        .collect();
    let cases = format!("{ROWS}{}\n", rest.join("\n"));
    let there = ("testdata/spec/a.md", "```scenario one\n```\n```scenario two\n```\n");
    assert_accepted(led_astray, &[(CASES, &cases), there]);
    let gone = cases.replacen("`one` |", "`gone` |", 1);
    assert_refused(led_astray, &[(CASES, &gone), there], "`a.md` has no scenario `gone`");
    let silent = cases.replacen("not yet: because", "soon", 1);
    assert_refused(led_astray, &[(CASES, &silent), there], "case 3 says neither");
    let short = cases.replacen("| 2 | x | `b/c.rs::d` |\n", "", 1);
    assert_refused(led_astray, &[(CASES, &short), there], "case 2 is missing");
}
