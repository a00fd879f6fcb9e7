//! Input that wants to break the parser: it answers, in bounded time and space.

use std::fmt::Write as _;

use flowtape::parse::kubernetes::parse;
use flowtape::render::kubernetes::manifests;
use proptest::collection::vec;
use proptest::prelude::{Strategy as _, any, prop_assert, proptest};
use proptest::sample::{Index, select};

use super::arbitrary::{policy_set, quiet, small_selector};

/// Pieces of YAML that do something.
const PIECES: [&str; 34] = [
    "\n",
    "\n  ",
    "\n- ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!x ",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "#",
    "---\n",
    "...\n",
    "? ",
    "%YAML 1.2\n",
    "~",
    "\t",
    "\r\n",
    "\u{feff}",
    "\u{0}",
    "\u{2028}",
    "null",
    "- - ",
    "kind: NetworkPolicy\n",
    "apiVersion: networking.k8s.io/v1\n",
];

fn answers(text: &str) {
    let _either = parse([("hostile.yaml", text)]);
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answers(&text);
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..200)) {
        answers(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces_of_yaml_are_answered(pieces in vec(select(&PIECES[..]), 0..60)) {
        answers(&pieces.concat());
    }

    /// A valid file with some places changed, removed or doubled.
    #[test]
    fn damaged_policies_are_answered(
        set in policy_set(small_selector().boxed()),
        changes in vec((any::<Index>(), 0usize..20, select(&PIECES[..])), 1..6),
    ) {
        let mut characters: Vec<char> = manifests(&set).unwrap().chars().collect();
        for (at, length, piece) in changes {
            let start = at.index(characters.len() + 1);
            let end = (start + length).min(characters.len());
            characters.splice(start..end, piece.chars());
        }
        answers(&characters.into_iter().collect::<String>());
    }

    /// What is left of a file never holds more policies than the file.
    #[test]
    fn cut_off_files_are_answered(set in policy_set(small_selector().boxed()), at in any::<Index>()) {
        let text = manifests(&set).unwrap();
        let ends: Vec<usize> = text.char_indices().map(|(index, _)| index).collect();
        let cut = if ends.is_empty() { 0 } else { ends[at.index(ends.len())] };
        if let Ok(parsed) = parse([("cut.yaml", &text[..cut])]) {
            prop_assert!(parsed.set.policies().len() <= set.policies().len());
        }
    }
}

fn refusal(text: &str) -> String {
    parse([("p.yaml", text)]).unwrap_err().to_string()
}

#[test]
fn deep_nesting_is_refused_in_every_style() {
    let deep = 100_000;
    let limit = "nested deeper than 64 levels";
    assert!(refusal(&"[".repeat(100)).contains(limit));
    assert!(refusal(&"{a: ".repeat(100)).contains(limit));
    assert!(refusal(&"- ".repeat(deep)).contains(limit));
    assert!(refusal(&"[".repeat(deep)).contains("p.yaml:1: "));
    assert!(refusal(&"? ".repeat(deep)).contains("p.yaml:1: "));
    let steps = (0..1000).fold(String::new(), |mut text, level| {
        let _infallible = writeln!(text, "{:level$}a:", "");
        text
    });
    assert!(refusal(&steps).contains(limit));
}

#[test]
fn aliases_neither_multiply_nor_nest_without_bound() {
    let mut bomb = String::from("l0: &l0 [a, a, a, a, a, a, a, a, a, a]\n");
    for level in 1..30 {
        let aliases = vec![format!("*l{}", level - 1); 10].join(", ");
        let _infallible = writeln!(bomb, "l{level}: &l{level} [{aliases}]");
    }
    assert!(refusal(&bomb).contains("aliases expand to more than 100000 values"));

    // Each level is shallow, all together are not.
    let mut ladder = String::from("l0: &l0 [a]\n");
    for level in 1..100 {
        let _infallible = writeln!(ladder, "l{level}: &l{level} [*l{}]", level - 1);
    }
    assert!(refusal(&ladder).contains("nested deeper than 64 levels"));

    assert!(refusal("a: &a [*a]\n").contains("not complete before it"));
    assert!(refusal("a: *nowhere\n").contains("not valid YAML"));
    // An anchor ends with its document.
    assert!(refusal("a: &a 1\n---\nb: *a\n").contains("p.yaml:3"));
}

#[test]
fn large_files_take_linear_time() {
    // Quadratic work on 200,000 keys, entries or documents would not end while anybody waits.
    let keys = (0..200_000).fold(String::from("apiVersion: v1\nkind: A\n"), |mut text, key| {
        let _infallible = writeln!(text, "k{key}: {{}}");
        text
    });
    assert_eq!(parse([("p.yaml", keys.as_str())]).unwrap().skipped.len(), 1);
    let documents = "apiVersion: v1\nkind: A\n---\n".repeat(50_000);
    assert_eq!(parse([("p.yaml", documents.as_str())]).unwrap().skipped.len(), 50_000);
}
