//! What becomes of one policy of ours.

use super::change::{Change, Kind};
use super::lines::Lines;
use super::section::{Asked, Section};
use super::{MergeError, Place, Settings, Wanted};
use crate::parse::marked::{Node, Value};
use crate::policy::model::{Direction, Policy, PolicySet, Rule};
use crate::render::kubernetes;

/// The policy as it is to be, and what changed.
pub(super) struct Planned {
    pub(super) policy: Policy,
    pub(super) changes: Vec<Change>,
}

/// Edits the lines of one policy so that it allows what the one `wanted` by its name allows and whatever else it has.
pub(super) fn plan(
    policy: &Policy,
    wanted: &Wanted<'_>,
    place: &Place<'_>,
    lines: &mut Lines,
    settings: Settings,
) -> Result<Planned, MergeError> {
    let form = |line: usize, what| MergeError::Form {
        file: place.file.to_owned(),
        line,
        what,
    };
    let mut planned = Planned {
        policy: policy.clone(),
        changes: Vec::new(),
    };
    let (key, spec) = entry(&place.root, "spec").ok_or_else(|| form(place.root.line, "it has no spec"))?;
    let fields = match &spec.value {
        Value::Map(fields)
            if !fields.is_empty()
                && fields
                    .iter()
                    .all(|field| key_stands_first(lines, field.line, &field.key)) =>
        {
            fields
        }
        Value::Map(_) | Value::List(_) | Value::Scalar(_) => {
            return Err(form(key, "its spec is not written line by line"));
        }
    };
    let named = wanted.set.namesake(policy);
    if let Some(wanted) = named.filter(|wanted| wanted.subject != policy.subject) {
        let line = entry(spec, "podSelector").map_or(key, |(line, _)| line);
        select(line - 1, wanted, lines)?;
        planned.policy.subject = wanted.subject.clone();
        let message = "other labels select the pods of this workload now";
        planned.changes.push(Change {
            line,
            ..Change::of_policy(Kind::Selector, policy, place.file, message.to_owned())
        });
    }
    let indent = lines.indent(fields[0].line - 1);
    for direction in [Direction::Ingress, Direction::Egress] {
        let rules = named.and_then(|wanted| wanted.rules(direction));
        let asked = Asked {
            rules: rules.unwrap_or_default(),
            apart: rules_of(wanted.apart, policy, direction),
            recorded: rules_of(wanted.recorded, policy, direction),
        };
        let section = Section {
            policy,
            direction,
            key: entry(spec, direction.name()).map(|(line, _)| line - 1),
            indent,
            end: lines.end_of(key - 1, lines.indent(key - 1), true),
            settings,
        };
        let isolated = policy.rules(direction);
        if isolated.is_none() && rules.is_some() {
            isolate(spec, direction, &section, lines).map_err(|what| form(key, what))?;
            let change = Change::of_rule(Kind::Direction, policy, (direction, None), key);
            planned.changes.push(change.saying("this direction is isolated now"));
        }
        if isolated.is_none() && rules.is_none() {
            continue;
        }
        let edited = section
            .edit(isolated.unwrap_or_default(), asked, lines)
            .map_err(|(line, what)| form(line, what))??;
        planned.changes.extend(edited.changes);
        match direction {
            Direction::Ingress => planned.policy.ingress = Some(edited.rules),
            Direction::Egress => planned.policy.egress = Some(edited.rules),
        }
    }
    Ok(planned)
}

/// The rules of the policy of a set that has the name of another.
fn rules_of<'a>(set: &'a PolicySet, policy: &Policy, direction: Direction) -> &'a [Rule] {
    let same = set.namesake(policy);
    same.and_then(|same| same.rules(direction)).unwrap_or_default()
}

/// The line of a key of a mapping, counted from 1, and its value.
fn entry<'a>(node: &'a Node, name: &str) -> Option<(usize, &'a Node)> {
    let Value::Map(entries) = &node.value else { return None };
    let entry = entries.iter().find(|entry| entry.key == name)?;
    Some((entry.line, entry.value.as_ref()))
}

/// Whether a key is the first thing on its line, as in everything that is written in lines.
fn key_stands_first(lines: &Lines, line: usize, key: &str) -> bool {
    let rest = lines.get(line - 1).trim_start_matches(' ').strip_prefix(key);
    rest.is_some_and(|rest| rest.starts_with(':'))
}

/// Writes another selector in the place of the one at a line. Comments in it stay above it.
fn select(at: usize, wanted: &Policy, lines: &mut Lines) -> Result<(), MergeError> {
    let indent = lines.indent(at);
    let end = lines.end_of(at, indent, false);
    let pad = " ".repeat(indent);
    for line in at + 1..end {
        let comment = lines.get(line).trim_start_matches(' ').to_owned();
        if comment.starts_with('#') {
            lines.insert(at, &format!("{pad}{comment}\n"));
        }
    }
    let text = kubernetes::pod_selector(wanted, indent)?;
    lines.remove(at..end);
    lines.insert(at, &text);
    Ok(())
}

/// Adds a direction to `policyTypes`.
fn isolate(spec: &Node, direction: Direction, section: &Section<'_>, lines: &mut Lines) -> Result<(), &'static str> {
    let name = match direction {
        Direction::Ingress => "Ingress",
        Direction::Egress => "Egress",
    };
    let Some((line, _)) = entry(spec, "policyTypes") else {
        return Err("it has no `policyTypes`");
    };
    let at = line - 1;
    let text = lines.get(at).to_owned();
    if let Some((before, after)) = text.split_once(']') {
        let comma = if before.trim_end().ends_with('[') { "" } else { ", " };
        lines.replace(at, &format!("{before}{comma}{name}]{after}"));
        return Ok(());
    }
    let end = lines.end_of(at, section.indent, true);
    if end == at + 1 || !lines.is_member(at + 1) {
        return Err("its `policyTypes` are not written line by line");
    }
    let pad = " ".repeat(lines.indent(at + 1));
    lines.insert(end, &format!("{pad}- {name}\n"));
    Ok(())
}
