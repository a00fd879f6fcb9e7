//! Selectors of Calico, as far as a label selector of Kubernetes says the same: terms that all hold.
//!
//! Source: projectcalico/calico `libcalico-go/lib/selector/tokenizer/tokenizer.go` and `parser/parser.go` (v3.31). As there,
//! `!=` and `not in` hold for what lacks the label.

use crate::policy::one_or_more::OneOrMore;
use crate::policy::select::{Requirement, Test};

/// A term of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// It holds for everything.
    All,
    /// It asks for something.
    Requires(Requirement),
}

/// The terms of an expression; the rest of the text at which it says something else.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, String> {
    let mut rest = Rest(text.trim());
    if rest.0.is_empty() {
        return Ok(vec![Term::All]);
    }
    let mut terms = Vec::new();
    loop {
        let at = rest.0;
        terms.push(rest.term().ok_or_else(|| at.to_owned())?);
        if rest.0.is_empty() {
            return Ok(terms);
        }
        let at = rest.0;
        rest.word("&&").ok_or_else(|| at.to_owned())?;
    }
}

/// What has not been read yet, without white space before it.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn term(&mut self) -> Option<Term> {
        if self.word("all()").is_some() {
            return Some(Term::All);
        }
        let negated = self.word("!").is_some();
        if negated || self.0.starts_with("has(") {
            self.word("has(")?;
            let key = self.key()?;
            self.word(")")?;
            let test = if negated { Test::DoesNotExist } else { Test::Exists };
            return Some(Term::Requires(Requirement { key, test }));
        }
        let key = self.key()?;
        let test = if self.word("==").is_some() {
            Test::In(OneOrMore::one(self.quoted()?))
        } else if self.word("!=").is_some() {
            Test::NotIn(OneOrMore::one(self.quoted()?))
        } else if self.word("not").is_some() {
            self.word("in")?;
            Test::NotIn(self.set()?)
        } else {
            self.word("in")?;
            Test::In(self.set()?)
        };
        Some(Term::Requires(Requirement { key, test }))
    }

    /// Takes a word, and the white space behind it.
    fn word(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?.trim_start();
        Some(())
    }

    fn key(&mut self) -> Option<String> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '/' | '-');
        let end = self.0.find(|letter| !allowed(letter)).unwrap_or(self.0.len());
        let (key, rest) = self.0.split_at(end);
        self.0 = rest.trim_start();
        (!key.is_empty()).then(|| key.to_owned())
    }

    /// A literal has no escapes: it ends at the next quote of its kind.
    fn quoted(&mut self) -> Option<String> {
        let quote = self.0.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
        let (text, rest) = self.0[1..].split_once(quote)?;
        self.0 = rest.trim_start();
        Some(text.to_owned())
    }

    fn set(&mut self) -> Option<OneOrMore<String>> {
        self.word("{")?;
        let mut values = vec![self.quoted()?];
        while self.word(",").is_some() {
            values.push(self.quoted()?);
        }
        self.word("}")?;
        OneOrMore::new(values)
    }
}

#[cfg(test)]
mod tests {
    use super::{Term, terms};

    fn said(text: &str) -> String {
        match terms(text) {
            Ok(terms) => {
                let said = terms.iter().map(|term| match term {
                    Term::All => "*".to_owned(),
                    Term::Requires(requirement) => requirement.to_string(),
                });
                said.collect::<Vec<_>>().join(" & ")
            }
            Err(rest) => format!("stops at: {rest}"),
        }
    }

    #[test]
    fn terms_that_all_hold_are_requirements() {
        for (text, meant) in [
            ("", "*"),
            ("all()", "*"),
            ("app == 'web'", "app=web"),
            ("app==\"it's\"&&x/y.z != ''", "app=it's & x/y.z notin ()"),
            (
                "tier in { 'a', \"b\" } && !has(old) && has( new )",
                "tier in (a,b) & !old & new",
            ),
            ("tier not in {'a'}", "tier notin (a)"),
        ] {
            assert_eq!(said(text), meant, "{text}");
        }
    }

    #[test]
    fn everything_else_says_where_it_begins() {
        for (text, rest) in [
            ("a == 'b' || c == 'd'", "|| c == 'd'"),
            ("(a == 'b')", "(a == 'b')"),
            ("a == 'b", "a == 'b"),
            ("!(has(a))", "!(has(a))"),
            ("a contains 'b'", "a contains 'b'"),
            ("global()", "global()"),
            ("a in {}", "a in {}"),
            ("a == 'b' &&", ""),
            ("a == 'b' c", "c"),
        ] {
            assert_eq!(said(text), format!("stops at: {rest}"), "{text}");
        }
    }
}
