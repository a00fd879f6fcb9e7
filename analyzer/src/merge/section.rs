//! The rules of one direction of a policy.

use flowtape_schemas::time::Time;

use super::change::{Change, Kind};
use super::cover::{Need, missing, need};
use super::lines::Lines;
use super::{MergeError, Settings};
use crate::counted::counted;
use crate::policy::model::{Direction, Policy, Rule};
use crate::render::kubernetes;

/// What a mark begins with; the time from which on nothing needed the rule follows.
const MARK: &str = "# flowtape: not exercised since ";

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

pub(super) struct Section<'a> {
    pub(super) policy: &'a Policy,
    pub(super) direction: Direction,
    /// The line of the key, if it is there.
    pub(super) key: Option<usize>,
    /// How far keys of the spec are indented.
    pub(super) indent: usize,
    /// Behind the last line of the spec.
    pub(super) end: usize,
    pub(super) settings: Settings,
}

/// The rules of one direction that a policy is to have.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) rules: &'a [Rule],
    /// See [`super::Wanted::apart`].
    pub(super) apart: &'a [Rule],
    /// See [`super::Wanted::recorded`].
    pub(super) recorded: &'a [Rule],
}

/// How much of a rule is exercised, by what is asked for or left out by choice.
enum Exercise {
    /// As far as this is needed.
    Needed(Need),
    /// Only by what is left out.
    LeftOut,
}

impl Asked<'_> {
    fn exercise(&self, rule: &Rule) -> Exercise {
        match need(rule, self.rules) {
            Need::None if need(rule, self.recorded) != Need::None => Exercise::LeftOut,
            Need::None => Exercise::Needed(Need::None),
            // What one of both needs is exercised.
            Need::Whole | Need::Part(_) => Exercise::Needed(need(rule, self.rules.iter().chain(self.recorded))),
        }
    }
}

/// The rules as they are to be, and what changed.
pub(super) struct Edited {
    pub(super) rules: Vec<Rule>,
    pub(super) changes: Vec<Change>,
}

/// A line, counted from 1, and what is in the way there.
type Form = (usize, &'static str);

/// A rule in its lines.
struct Span {
    /// The first comment above it.
    comments: usize,
    /// The line of its dash.
    dash: usize,
    end: usize,
    /// The mark above it: its line, and from when on.
    mark: Option<(usize, Time)>,
}

impl Section<'_> {
    /// Keeps what is needed, marks what is not, removes what was marked for long, and adds what is missing.
    pub(super) fn edit(
        &self,
        rules: &[Rule],
        asked: Asked<'_>,
        lines: &mut Lines,
    ) -> Result<Result<Edited, MergeError>, Form> {
        let spans: Vec<Span> = rules.iter().map(|rule| span(rule, lines)).collect::<Result<_, _>>()?;
        let mut edited = Edited {
            rules: Vec::new(),
            changes: Vec::new(),
        };
        for (index, (rule, span)) in rules.iter().zip(&spans).enumerate() {
            let change = |kind| Change::of_rule(kind, self.policy, (self.direction, Some(index)), span.dash + 1);
            if self.keep(asked.exercise(rule), span, lines, &change, &mut edited.changes) {
                edited.rules.push(rule.clone());
            }
        }
        let added = missing(asked.rules, asked.apart, &edited.rules);
        let pruned_all = edited.rules.is_empty() && !rules.is_empty();
        if let Err(error) = self.add(&added, spans.last(), pruned_all, lines)? {
            return Ok(Err(error));
        }
        for rule in added {
            let place = (self.direction, None);
            let change = Change::of_rule(Kind::Added, self.policy, place, self.key.map_or(0, |key| key + 1));
            let what = rule.notes.first().cloned();
            edited
                .changes
                .push(change.saying(what.unwrap_or_else(|| "a new rule".to_owned())));
            edited.rules.push(rule);
        }
        Ok(Ok(edited))
    }

    /// Marks or unmarks a rule, or removes it; whether it stays.
    fn keep(
        &self,
        exercise: Exercise,
        span: &Span,
        lines: &mut Lines,
        change: &dyn Fn(Kind) -> Change,
        changes: &mut Vec<Change>,
    ) -> bool {
        if !matches!(exercise, Exercise::Needed(Need::None))
            && let Some((mark, _)) = span.mark
        {
            lines.remove(mark..mark + 1);
            changes.push(change(Kind::Unmarked).saying("the recording needs it again"));
        }
        match exercise {
            Exercise::Needed(Need::Whole) => true,
            Exercise::Needed(Need::Part(unused)) => {
                let message = format!(
                    "{} of its combinations of peer and port are not exercised",
                    unused.len()
                );
                changes.push(change(Kind::Partly).saying(message));
                true
            }
            Exercise::LeftOut => {
                let message = "it was exercised, by what the options leave out";
                changes.push(change(Kind::LeftOut).saying(message));
                true
            }
            Exercise::Needed(Need::None) => {
                // What an incomplete recording lacks says nothing.
                let Some((start, end)) = self.settings.window else {
                    return true;
                };
                let since = span.mark.map_or(start, |(_, since)| since.min(start));
                let age = end.0.saturating_sub(since.0);
                let message = format!("not exercised since {since}, for {}", counted(age / DAY, "day", "days"));
                if self.settings.prune_after.is_some_and(|limit| age >= limit) {
                    lines.remove(span.comments..span.end);
                    changes.push(change(Kind::Pruned).saying(message));
                    return false;
                }
                let pad = " ".repeat(lines.indent(span.dash));
                match span.mark {
                    None => {
                        lines.insert(span.dash, &format!("{pad}{MARK}{since}\n"));
                        changes.push(change(Kind::Marked).saying(message));
                    }
                    Some((mark, before)) => {
                        if before != since {
                            lines.replace(mark, &format!("{pad}{MARK}{since}"));
                        }
                        changes.push(change(Kind::StillMarked).saying(message));
                    }
                }
                true
            }
        }
    }

    /// Writes rules behind the last one.
    fn add(
        &self,
        rules: &[Rule],
        last: Option<&Span>,
        pruned_all: bool,
        lines: &mut Lines,
    ) -> Result<Result<(), MergeError>, Form> {
        let pad = " ".repeat(self.indent);
        let name = self.direction.name();
        if rules.is_empty() {
            match (self.key, pruned_all) {
                (Some(key), true) => lines.replace(key, &format!("{pad}{name}: []")),
                (None, _) if last.is_none() => lines.append(self.end, &format!("{pad}{name}: []\n")),
                (Some(_) | None, _) => {}
            }
            return Ok(Ok(()));
        }
        let indent = last.map_or(self.indent, |span| lines.indent(span.dash));
        let text = match kubernetes::rules(self.direction, rules, indent) {
            Ok(text) => text,
            Err(error) => return Ok(Err(error.into())),
        };
        match (self.key, last) {
            (_, Some(span)) => lines.insert(span.end, &text),
            (None, None) => lines.append(self.end, &format!("{pad}{name}:\n{text}")),
            (Some(key), None) => {
                let line = lines.get(key).to_owned();
                let value = line
                    .trim_start_matches(' ')
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix(':'));
                let (value, comment) = match value.map(|value| value.split_once('#').unwrap_or((value, ""))) {
                    Some((value, comment)) => (value.trim(), comment),
                    None => return Err((key + 1, "a section has no key of its own line")),
                };
                if !matches!(value, "" | "[]") || lines.end_of(key, self.indent, true) != key + 1 {
                    return Err((key + 1, "a section is not written line by line"));
                }
                let comment = if comment.is_empty() {
                    String::new()
                } else {
                    format!(" #{comment}")
                };
                lines.replace(key, &format!("{pad}{name}:{comment}"));
                lines.insert(key + 1, &text);
            }
        }
        Ok(Ok(()))
    }
}

/// The lines of a rule, which begins with a dash of its own line.
fn span(rule: &Rule, lines: &Lines) -> Result<Span, Form> {
    let line = rule.source.as_ref().map_or(0, |source| source.line);
    let mut dash = line.saturating_sub(1);
    if !lines.is_member(dash) && dash > 0 {
        dash -= 1;
    }
    if !lines.is_member(dash) {
        return Err((line, "a rule does not begin on a line of its own"));
    }
    let comments = lines.comments_above(dash);
    let mark = (comments..dash).find_map(|at| {
        let since = lines.get(at).trim_start_matches(' ').strip_prefix(MARK)?;
        Some((at, since.trim().parse().ok()?))
    });
    Ok(Span {
        comments,
        dash,
        end: lines.end_of(dash, lines.indent(dash), false),
        mark,
    })
}
