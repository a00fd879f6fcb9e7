//! Reads Rust sources as tokens: comments and strings fall away, and what a macro is given is seen as well.

use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tree::{File, project};
use crate::{assert_accepted, assert_refused, assert_tidy};

/// Names for modules that collect what found no home.
const DUMPING_GROUNDS: [&str; 6] = ["common", "helpers", "misc", "shared", "util", "utils"];

/// A path as written, such as `crate::flow::edge::Edge`, and the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) parts: Vec<String>,
    pub(crate) line: usize,
}

/// The tokens of a file; `None` if it is not Rust.
pub(crate) fn tokens(file: &File) -> Option<Vec<TokenTree>> {
    let text = file.is_kind("rs").then(|| file.text()).flatten()?;
    let stream = TokenStream::from_str(text).unwrap_or_else(|error| panic!("`{}`: {error}", file.path));
    Some(stream.into_iter().collect())
}

/// Every path of two parts or more that shipped code names, `use` trees taken apart; `#[cfg(test)]` modules are left out.
pub(crate) fn references(tokens: &[TokenTree]) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(after) = test_module(&tokens[at..]) {
            at += after;
        } else if let TokenTree::Ident(_) = &tokens[at] {
            at += path(&tokens[at..], &[], &mut found);
        } else {
            if let TokenTree::Group(group) = &tokens[at] {
                found.extend(references(&group.stream().into_iter().collect::<Vec<_>>()));
            }
            at += 1;
        }
    }
    found
}

/// Takes one path, continuing `prefix`, and returns how many tokens it is long.
fn path(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Reference>) -> usize {
    let mut parts = prefix.to_vec();
    let mut at = 0;
    let line = tokens[0].span().start().line;
    while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
        parts.push(ident.to_string());
        at += 1;
        if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
            break;
        }
        at += 2;
        if let Some(TokenTree::Group(group)) = tokens.get(at)
            && group.delimiter() == Delimiter::Brace
        {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            for branch in inner
                .split(|token| is_punct(Some(token), ','))
                .filter(|branch| !branch.is_empty())
            {
                path(branch, &parts, found);
            }
            return at + 1;
        }
    }
    if parts.len() > 1 {
        found.push(Reference { parts, line });
    }
    at.max(1)
}

/// The length of `#[cfg(test)] mod NAME { … }` (or `mod NAME;`) if the tokens start with it.
fn test_module(tokens: &[TokenTree]) -> Option<usize> {
    let attribute = match tokens.get(1)? {
        TokenTree::Group(group) if is_punct(tokens.first(), '#') => group.stream().to_string(),
        TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => return None,
    };
    let test = attribute.split_whitespace().collect::<String>() == "cfg(test)";
    (test && is_ident(tokens.get(2), "mod")).then_some(5)
}

/// Whether the token is this punctuation.
fn is_punct(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == punct)
}

/// Whether the token is this word.
fn is_ident(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(found)) if found == word)
}

/// A name must lead to its one place, and a module must have one purpose.
fn module_habits(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        if let Some(tokens) = tokens(file) {
            habits_in(&tokens, &file.path, &mut complaints);
        }
    }
    complaints
}

fn habits_in(tokens: &[TokenTree], path: &str, complaints: &mut Vec<String>) {
    for (at, token) in tokens.iter().enumerate() {
        let line = token.span().start().line;
        if let TokenTree::Group(group) = token {
            habits_in(&group.stream().into_iter().collect::<Vec<_>>(), path, complaints);
        } else if is_ident(Some(token), "mod")
            && let Some(TokenTree::Ident(name)) = tokens.get(at + 1)
            && DUMPING_GROUNDS.contains(&name.to_string().as_str())
        {
            complaints.push(format!("{path}:{line}: `mod {name}` names no purpose"));
        } else if is_ident(Some(token), "pub") {
            let restricted = matches!(tokens.get(at + 1), Some(TokenTree::Group(_)));
            let next = at + 1 + usize::from(restricted);
            if is_ident(tokens.get(next), "use")
                && tokens[next..]
                    .iter()
                    .take_while(|token| !is_punct(Some(token), ';'))
                    .any(has_star)
            {
                complaints.push(format!("{path}:{line}: `pub use …::*` hides where a name comes from"));
            }
        }
    }
}

/// Whether a star stands in the token, or in the braces it opens.
fn has_star(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(punct) => punct.as_char() == '*',
        TokenTree::Group(group) => group.stream().into_iter().any(|inner| has_star(&inner)),
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    }
}

#[test]
fn modules_have_a_purpose_and_no_glob_reexports() {
    assert_tidy(&module_habits(&project()));
}

#[test]
fn dumping_grounds_and_glob_reexports_are_refused() {
    assert_refused(
        module_habits,
        &[("analyzer/src/a.rs", "mod utils;")],
        "a.rs:1: `mod utils`",
    );
    assert_refused(
        module_habits,
        &[("a.rs", "//\npub use crate::flow::*;")],
        "a.rs:2: `pub use",
    );
    assert_refused(
        module_habits,
        &[("a.rs", "mod x { pub(crate) use y::{a, b::*}; }")],
        "`pub use",
    );
    assert_accepted(
        module_habits,
        &[("a.rs", "// pub use x::*;\nuse proptest::*; mod edge; pub use x::Y;")],
    );
}

#[test]
fn references_see_use_trees_macros_and_inline_paths_but_no_comments_strings_or_tests() {
    let text = r#"
        // crate::no
        use crate::{flow::{Edge, reduce::run as go}, policy};
        fn f() { let _ = "crate::no"; vec![crate::tape::open(1)]; std::fs::read("x"); }
        #[cfg(test)]
        mod tests { use crate::no; }
        fn g(_: super::Peer) {}
    "#;
    let found: Vec<String> = references(&tokens(&File::new("a.rs", text)).expect("it is Rust"))
        .iter()
        .map(|reference| format!("{}:{}", reference.line, reference.parts.join("::")))
        .collect();
    assert_eq!(
        found,
        [
            "3:crate::flow::Edge",
            "3:crate::flow::reduce::run",
            "3:crate::policy",
            "4:crate::tape::open",
            "4:std::fs::read",
            "7:super::Peer"
        ]
    );
}
