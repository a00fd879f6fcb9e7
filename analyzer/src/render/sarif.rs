//! A review as SARIF 2.1.0 (OASIS Standard, 27 March 2020), which code scanners show beside the lines of policy files.
//!
//! One run, a rule for each kind of item that occurs, a result for each item. Accepted items are suppressed results; findings
//! are notifications of the tool, because they are about the recording and no fault of a line.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::review::{Item, Kind, Review, Standing};
use crate::escape::escaped;
use crate::findings::{Finding, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The document, with a final newline.
pub fn text(review: &Review<'_>) -> Result<String, serde_json::Error> {
    let mut kinds: Vec<Kind> = review.items.iter().map(|item| item.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let results: Vec<Value> = review.items.iter().map(|item| result(review, item)).collect();
    let mut properties = json!({ "passed": review.passed, "summary": review.summary });
    if !review.health.is_complete() {
        properties["incomplete"] = json!(review.health.reasons);
    }
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "flowtape",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": kinds.iter().map(|kind| rule(review.verb, *kind)).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": review.findings.iter().map(notification).collect::<Vec<_>>(),
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": properties,
        }],
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&log)?))
}

fn rule_id(verb: &str, kind: Kind) -> String {
    format!("{verb}/{}", kind.word())
}

fn rule(verb: &str, kind: Kind) -> Value {
    json!({
        "id": rule_id(verb, kind),
        "shortDescription": { "text": kind.meaning() },
    })
}

fn result(review: &Review<'_>, item: &Item) -> Value {
    let Item {
        kind,
        standing,
        reach: _,
        subject,
        why,
        by: _,
        side: _,
    } = item;
    let id = rule_id(review.verb, *kind);
    let subject = escaped(subject);
    let mut result = json!({
        "ruleId": id,
        "level": match standing {
            Standing::Fails => "error",
            Standing::Said | Standing::Accepted { .. } => "note",
        },
        "message": { "text": format!("{}: {subject}: {}", kind.word(), escaped(why)) },
        // The same item in the next run is the same alert, whatever its counts and times.
        "partialFingerprints": { "flowtape/v1": format!("{id}: {subject}") },
        "locations": [location(review, item, &subject)],
    });
    if let Standing::Accepted { reason, until } = standing {
        let until = until.map_or_else(String::new, |until| format!(" (until {until})"));
        result["suppressions"] = json!([{
            "kind": "external",
            "justification": format!("{}{until}", escaped(reason)),
        }]);
    }
    result
}

/// What an item is called, and the line of the first policy or rule behind it. One without goes to the whole side: code scanners
/// refuse a log in which a result has no file.
fn location(review: &Review<'_>, item: &Item, subject: &str) -> Value {
    let base = review.base(item.side);
    let (path, line) = match item.source() {
        Some(source) => (format!("{}{}", base.files, source.file), source.line.max(1)),
        None => (base.path.clone(), 1),
    };
    json!({
        "logicalLocations": [{ "fullyQualifiedName": subject }],
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&path) },
            "region": { "startLine": line },
        },
    })
}

fn notification(finding: &Finding) -> Value {
    let entry = finding.code.entry();
    json!({
        "descriptor": { "id": entry.number },
        "level": match entry.severity {
            Severity::Info => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        "message": { "text": escaped(&finding.message) },
    })
}

/// A path as a relative reference (RFC 3986, section 4.2).
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_is_a_relative_reference() {
        assert_eq!(uri("k8s/a b%ü.yaml"), "k8s/a%20b%25%C3%BC.yaml");
    }
}
