//! Every finding has a page that explains it, and no page explains a finding that is gone.

use std::collections::BTreeSet;

use crate::tree::{File, project};
use crate::{assert_accepted, assert_refused, assert_tidy};

const CATALOG: &str = "analyzer/src/findings/catalog.rs";
const PAGES: &str = "analyzer/src/findings/pages/";

/// Codes without a page and pages without a code.
fn pages(files: &[File]) -> Vec<String> {
    let Some(catalog) = files.iter().find(|file| file.path == CATALOG) else {
        return vec![format!("`{CATALOG}` is missing")];
    };
    let codes = codes(catalog.text().unwrap_or_default());
    if codes.is_empty() {
        return vec![format!("`{CATALOG}` holds no code")];
    }
    let mut complaints = Vec::new();
    let mut explained = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.starts_with(PAGES)) {
        let code = file.name().trim_end_matches(".md");
        explained.insert(code.to_owned());
        if !codes.contains(code) {
            complaints.push(format!("{}: no finding has this code", file.path));
        } else if !file.text().unwrap_or_default().starts_with(&format!("# {code}")) {
            complaints.push(format!(
                "{}: a page begins with `# {code}` and what it means",
                file.path
            ));
        }
    }
    complaints.extend(
        codes
            .difference(&explained)
            .map(|code| format!("`{code}` has no page `{PAGES}{code}.md`")),
    );
    complaints
}

/// Every `FT` followed by exactly four digits.
fn codes(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| {
            word.len() == 6 && word.starts_with("FT") && word[2..].bytes().all(|digit| digit.is_ascii_digit())
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_finding_has_a_page() {
    let files = project();
    assert_tidy(&pages(&files));
}

#[test]
fn a_code_without_page_and_a_page_without_code_are_refused() {
    const ONE: (&str, &str) = (CATALOG, "pub const LOSS: Code = Code(\"FT1003\");");
    const PAGE: &str = "analyzer/src/findings/pages/FT1003.md";
    assert_refused(pages, &[ONE], "`FT1003` has no page");
    assert_refused(
        pages,
        &[
            ONE,
            (PAGE, "# FT1003: x"),
            ("analyzer/src/findings/pages/FT9999.md", "# FT9999: y"),
        ],
        "no finding",
    );
    assert_refused(pages, &[ONE, (PAGE, "nothing")], "begins with `# FT1003`");
    assert_refused(pages, &[], "is missing");
    assert_refused(pages, &[(CATALOG, "")], "holds no code");
    assert_accepted(pages, &[ONE, (PAGE, "# FT1003: events were lost")]);
}
