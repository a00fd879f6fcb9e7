//! A review as a comment on a pull request: the verdict, what fails, and everything else folded away.

use std::fmt::Write as _;

use super::review::{Item, Kind, Review, Standing};
use super::text::seconds;
use crate::escape::is_hostile;
use crate::findings::Severity;

/// Rows of one table. A comment may have some 65,000 characters on the usual hosts, and nobody reads more rows.
const ROWS: usize = 50;

/// Characters of one text. A policy may name thousands of prefixes.
const CHARACTERS: usize = 300;

/// A space of no width, which keeps a host from reading more into characters than they are.
const APART: &str = "&#8203;";

/// The comment. Its first line names the verb, so that a pipeline finds its own comment again.
#[must_use]
pub fn text(review: &Review<'_>) -> String {
    let Review {
        verb,
        passed,
        summary,
        items,
        health,
        findings,
        bases: _,
    } = review;
    let verdict = if *passed { "passed" } else { "failed" };
    let mut text = format!("### flowtape {verb}: {verdict}\n\n{}\n", escaped(summary));
    if !health.is_complete() {
        text.push_str("\nWhat was read is incomplete:\n\n");
        for reason in &health.reasons {
            let _ = writeln!(text, "- {}", escaped(&short(reason)));
        }
    }
    let of = |wanted: fn(&Item) -> bool| items.iter().filter(|item| wanted(item)).collect::<Vec<_>>();
    let failing = of(|item| item.standing == Standing::Fails);
    if !failing.is_empty() {
        let _ = write!(text, "\n{}", table(&failing));
    }
    folded(&mut text, "no failure", &of(|item| item.standing == Standing::Said));
    folded(
        &mut text,
        "accepted",
        &of(|item| matches!(item.standing, Standing::Accepted { .. })),
    );
    let said: Vec<String> = findings
        .iter()
        .filter(|finding| finding.code.entry().severity >= Severity::Warning)
        .map(|finding| format!("- {}: {}\n", finding.code, escaped(&short(&finding.message))))
        .collect();
    if !said.is_empty() {
        let listed: String = said.iter().take(ROWS).map(String::as_str).collect();
        let _ = write!(
            text,
            "\n<details><summary>findings: {}</summary>\n\n{listed}",
            said.len()
        );
        more(&mut text, said.len());
        text.push_str("\n</details>\n");
    }
    text
}

/// A table that is seen when somebody asks for it.
fn folded(text: &mut String, what: &str, items: &[&Item]) {
    if !items.is_empty() {
        let count = items.len();
        let table = table(items);
        let _ = write!(
            text,
            "\n<details><summary>{what}: {count}</summary>\n\n{table}\n</details>\n"
        );
    }
}

fn table(items: &[&Item]) -> String {
    let mut text = "| | what | why |\n| --- | --- | --- |\n".to_owned();
    for item in items.iter().take(ROWS) {
        let accepted = match &item.standing {
            Standing::Fails | Standing::Said => String::new(),
            Standing::Accepted { reason, until: None } => format!("; accepted: {reason}"),
            Standing::Accepted {
                reason,
                until: Some(until),
            } => format!("; accepted until {}: {reason}", seconds(*until)),
        };
        let (subject, why) = (short(&item.subject), short(&item.why));
        let (subject, why) = (code(&subject), escaped(&format!("{why}{}", short(&accepted))));
        let _ = writeln!(text, "| {} {} | {subject} | {why} |", sign(item.kind), item.kind.word());
    }
    more(&mut text, items.len());
    text
}

fn more(text: &mut String, count: usize) {
    if let Some(more) = count.checked_sub(ROWS).filter(|more| *more > 0) {
        let _ = writeln!(text, "\nand {more} more, which `--format json` lists");
    }
}

/// Colour for the eye; the word beside it says the same.
const fn sign(kind: Kind) -> &'static str {
    match kind {
        Kind::NotIsolated | Kind::Added | Kind::Widened => "🔓",
        Kind::Denied | Kind::Removed | Kind::Narrowed => "⛔",
        Kind::Undecided | Kind::Doubt => "❔",
        Kind::Renamed | Kind::DeadRule | Kind::LooseRule => "🧹",
    }
}

/// A text without what is beyond a length that somebody reads.
fn short(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(CHARACTERS).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

/// A text as code in a cell. Backticks cannot stand in it, and it is never empty.
fn code(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 2);
    safe.push('`');
    for character in text.chars() {
        match character {
            // A bar would end the cell, even in code.
            '`' => safe.push('\''),
            '|' => safe.push_str("\\|"),
            hostile if is_hostile(hostile) => safe.extend(hostile.escape_default()),
            other => safe.push(other),
        }
    }
    safe.push('`');
    safe
}

/// The text in which nothing begins as a host's address does.
fn unlinked(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find("www.") {
        let (before, found) = rest.split_at(at + 3);
        safe.push_str(before);
        safe.push_str(APART);
        rest = found;
    }
    safe.push_str(rest);
    safe
}

/// A text that means nothing but itself in Markdown and HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => {
                safe.push('\\');
                safe.push(character);
            }
            // Hosts make links and notify people and issues by these, also where an entity stands for them.
            '@' | '#' => {
                safe.push(character);
                safe.push_str(APART);
            }
            hostile if is_hostile(hostile) => {
                safe.push('\\');
                safe.extend(hostile.escape_default());
            }
            other => safe.push(other),
        }
    }
    // A link needs no marks where a host makes one of every address.
    let safe = safe.replace("://", &format!(":{APART}//"));
    unlinked(&safe)
}

#[cfg(test)]
mod tests {
    use super::{CHARACTERS, code, escaped, short};

    #[test]
    fn a_text_has_a_length_that_somebody_reads() {
        assert_eq!(short("ü"), "ü");
        let long = "ü".repeat(CHARACTERS);
        assert_eq!(short(&long), long);
        assert_eq!(short(&format!("{long}x")), format!("{long}…"));
    }

    #[test]
    fn no_name_is_a_host() {
        assert_eq!(
            escaped("www.a.example WWW.b.example"),
            "www&#8203;.a.example WWW&#8203;.b.example"
        );
    }

    #[test]
    fn nothing_in_a_name_is_markup() {
        assert_eq!(
            escaped("a|b <img src=x> [x](http://y) @all #1 `c` *d*\n"),
            "a\\|b &lt;img src=x&gt; \\[x\\](http:&#8203;//y) @&#8203;all #&#8203;1 \\`c\\` \\*d\\*\\\\n"
        );
        assert_eq!(code("a`b|c\u{1b}"), "`a'b\\|c\\u{1b}`");
    }
}
