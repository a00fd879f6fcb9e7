//! A review as a test report in the form of JUnit, as GitLab, Jenkins and others read it.
//!
//! What fails the gate is a failure; what does not, and what somebody accepted, is skipped with its reason. A gate that passes is a
//! test of its own: a report without one would look like a run that did not happen.

use std::fmt::Write as _;

use super::review::{Item, Review, Standing};
use super::text::seconds;
use crate::escape::escaped;

/// The document, with a final newline.
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
    let failures = items.iter().filter(|item| item.standing == Standing::Fails).count();
    let skipped = items.len() - failures;
    let tests = items.len() + usize::from(*passed);
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\"");
    let name = format!("flowtape {verb}");
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{name}\" {counts}>\n  <testsuite name=\"{name}\" {counts} skipped=\"{skipped}\">\n"
    );
    if *passed {
        let _ = writeln!(text, "    <testcase classname=\"{verb}\" name=\"gate\"/>");
    }
    for item in items {
        case(&mut text, review, item);
    }
    let mut said = attribute(summary);
    for reason in &health.reasons {
        let _ = write!(said, "\nincomplete: {}", attribute(reason));
    }
    for finding in *findings {
        let severity = finding.code.entry().severity;
        let _ = write!(said, "\n{severity}[{}]: {}", finding.code, attribute(&finding.message));
    }
    let _ = writeln!(
        text,
        "    <system-out>{said}</system-out>\n  </testsuite>\n</testsuites>"
    );
    text
}

fn case(text: &mut String, review: &Review<'_>, item: &Item) {
    let verb = review.verb;
    let Item {
        kind,
        standing,
        reach: _,
        subject,
        why,
        by: _,
        side: _,
    } = item;
    let (kind, subject, why) = (kind.word(), attribute(subject), attribute(why));
    let file = item.source().map_or_else(String::new, |source| {
        let file = format!("{}{}", review.base(item.side).files, source.file);
        format!(" file=\"{}\" line=\"{}\"", attribute(&file), source.line)
    });
    let _ = writeln!(
        text,
        "    <testcase classname=\"{verb}.{kind}\" name=\"{subject}\"{file}>"
    );
    let _ = match standing {
        Standing::Fails => writeln!(text, "      <failure message=\"{why}\" type=\"{kind}\"/>"),
        Standing::Said => writeln!(text, "      <skipped message=\"{why}\"/>"),
        Standing::Accepted { reason, until } => {
            let until = until.map_or_else(String::new, |until| format!(" until {}", seconds(until)));
            writeln!(
                text,
                "      <skipped message=\"{why}; accepted{until}: {}\"/>",
                attribute(reason)
            )
        }
    };
    text.push_str("    </testcase>\n");
}

/// A text inside an attribute or element. XML 1.0 cannot hold most controls at all, so that they are escaped before.
fn attribute(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in escaped(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // The two characters besides controls that XML 1.0 excludes (section 2.2).
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::attribute;

    #[test]
    fn no_text_ends_an_attribute() {
        assert_eq!(
            attribute("a\"b<c>&d\n\u{0}\u{ffff}"),
            "a&quot;b&lt;c&gt;&amp;d\\n\\u{0}\u{fffd}"
        );
    }
}
