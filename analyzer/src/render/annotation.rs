//! What each rule of a policy is for, as annotations: unlike comments, an API server keeps them.

use std::collections::BTreeMap;

use crate::escape::escaped;
use crate::policy::model::{Direction, Policy};

/// What our annotations begin with.
const PREFIX: &str = "flowtape";

/// What stands between two facts.
const BETWEEN: &str = "; ";

/// Bytes that the facts of one policy may take. An API server takes 262,144 for all annotations of an object, whoever made
/// them (Kubernetes 1.36, `apimachinery/pkg/api/validation` TotalAnnotationSizeLimitB).
const BYTES: usize = 128 << 10;

/// The notes of a policy and of its rules, by `flowtape/subject`, `flowtape/ingress-0` and so on. Where they are too many, each
/// rule says how many it leaves out.
#[must_use]
pub fn annotations(policy: &Policy) -> BTreeMap<String, String> {
    let mut notes = vec![(format!("{PREFIX}/subject"), &policy.notes)];
    for direction in [Direction::Ingress, Direction::Egress] {
        for (index, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
            notes.push((format!("{PREFIX}/{direction}-{index}"), &rule.notes));
        }
    }
    let share = BYTES / notes.len().max(1);
    let said = notes.into_iter().filter(|(_, notes)| !notes.is_empty());
    said.map(|(key, notes)| (key, joined(notes, share))).collect()
}

/// As many as fit, and how many do not.
fn joined(notes: &[String], bytes: usize) -> String {
    let mut text = String::new();
    for (index, note) in notes.iter().enumerate() {
        let note = escaped(note);
        if text.len() + BETWEEN.len() + note.len() > bytes {
            let rest = notes.len() - index;
            let between = if index == 0 { "" } else { BETWEEN };
            return format!("{text}{between}and {rest} more");
        }
        if index > 0 {
            text.push_str(BETWEEN);
        }
        text.push_str(&note);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{BYTES, annotations};
    use crate::policy::kind::PolicyKind;
    use crate::policy::model::{Peers, Policy, Ports, Rule};
    use crate::policy::select::Selector;

    fn policy(rules: usize, notes: &[String]) -> Policy {
        let mut rule = Rule::new(Peers::Any, Ports::Any);
        rule.notes = notes.to_vec();
        Policy {
            kind: PolicyKind::NetworkPolicy,
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            subject: Selector::everything(),
            ingress: Some(vec![rule; rules]),
            egress: None,
            notes: vec!["Deployment web".to_owned()],
            source: None,
        }
    }

    #[test]
    fn what_is_too_much_for_an_api_server_is_counted_instead() {
        let notes: Vec<String> = (0..2000).map(|number| format!("{number} {}", "x".repeat(90))).collect();
        for rules in [1, 40, 3000] {
            let found = annotations(&policy(rules, &notes));
            let size: usize = found.iter().map(|(key, value)| key.len() + value.len()).sum();
            assert!(size < 2 * BYTES, "{rules} rules: {size}");
            assert!(found["flowtape/ingress-0"].ends_with(" more"));
            assert_eq!(found["flowtape/subject"], "Deployment web");
        }
    }

    #[test]
    fn a_name_ends_no_line() {
        let notes = ["a -> b\nspec: {}".to_owned(), "c".to_owned()];
        assert_eq!(
            annotations(&policy(1, &notes))["flowtape/ingress-0"],
            "a -> b\\nspec: {}; c"
        );
    }
}
