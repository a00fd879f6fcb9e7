//! Collects what is wrong with one object, with the line of each field.

use std::sync::Arc;

use crate::parse::marked::{Node, Value};
use crate::parse::report::{Path, Problem, ProblemKind, Step, Warning, WarningKind};
use crate::parse::shape::Sink;
use crate::policy::model::Source;

pub(in crate::parse) struct Reader<'a> {
    pub(in crate::parse) file: &'a Arc<str>,
    pub(in crate::parse) root: &'a Node,
    pub(in crate::parse) object: String,
    pub(in crate::parse) problems: Vec<Problem>,
    pub(in crate::parse) warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    /// Of an object of this kind.
    pub(in crate::parse) fn new(file: &'a Arc<str>, root: &'a Node, kind: &str) -> Self {
        Self {
            file,
            root,
            object: title(root, kind),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// How messages call the object.
fn title(root: &Node, kind: &str) -> String {
    let field = |name| {
        root.get("metadata")
            .and_then(|metadata| metadata.get(name))
            .and_then(Node::text)
    };
    match (field("namespace"), field("name")) {
        (Some(namespace), Some(name)) => format!("{kind} `{namespace}/{name}`"),
        (None, Some(name)) => format!("{kind} `{name}`"),
        (_, None) => kind.to_owned(),
    }
}

impl Sink for Reader<'_> {
    fn problem(&mut self, line: usize, path: &Path, what: ProblemKind) {
        let place = Source {
            file: Arc::clone(self.file),
            line,
        };
        self.problems.push(Problem {
            place,
            object: self.object.clone(),
            path: path.clone(),
            what,
        });
    }
}

impl Reader<'_> {
    pub(in crate::parse) fn choice(&mut self, path: &Path, value: &str, allowed: &'static str) {
        self.invalid(
            path,
            ProblemKind::Choice {
                value: value.to_owned(),
                allowed,
            },
        );
    }

    pub(in crate::parse) fn check(&mut self, fault: Option<&'static str>, value: &str, path: &Path) {
        if let Some(rule) = fault {
            self.invalid(
                path,
                ProblemKind::Invalid {
                    value: value.to_owned(),
                    rule,
                },
            );
        }
    }

    /// Notes a wrong value, unless its type is what is wrong and has been noted.
    pub(in crate::parse) fn invalid(&mut self, path: &Path, what: ProblemKind) {
        if !self.has_type_problem(path) {
            self.problem(self.line(path), path, what);
        }
    }

    pub(in crate::parse) fn has_type_problem(&self, path: &Path) -> bool {
        let steps = path.steps();
        let related = |other: &Path| {
            let other = other.steps();
            other.starts_with(&steps) || steps.starts_with(&other)
        };
        self.problems
            .iter()
            .any(|problem| matches!(problem.what, ProblemKind::Type { .. }) && related(&problem.path))
    }

    pub(in crate::parse) fn warn(&mut self, path: &Path, what: WarningKind) {
        let warning = Warning {
            place: self.source(path),
            object: self.object.clone(),
            path: path.clone(),
            what,
        };
        self.warnings.push(warning);
    }

    pub(in crate::parse) fn warn_null(&mut self, path: &Path) {
        if self.nearest(path).is_some_and(Node::is_null) {
            self.warn(path, WarningKind::NullEntry);
        }
    }

    pub(in crate::parse) fn source(&self, path: &Path) -> Source {
        Source {
            file: Arc::clone(self.file),
            line: self.line(path),
        }
    }

    /// The line of the value at `path`, or of the nearest thing around it that is written out.
    pub(in crate::parse) fn line(&self, path: &Path) -> usize {
        let mut line = self.root.line;
        let mut node = self.root;
        for step in path.steps() {
            let Some((next, at)) = child(node, step) else { break };
            (node, line) = (next, at);
        }
        line
    }

    /// The node at `path`.
    fn nearest(&self, path: &Path) -> Option<&Node> {
        path.steps()
            .into_iter()
            .try_fold(self.root, |node, step| child(node, step).map(|(next, _)| next))
    }
}

/// The value one step down, and the line to name for it: that of the key, or of the list member.
fn child<'a>(node: &'a Node, step: &Step) -> Option<(&'a Node, usize)> {
    match (step, &node.value) {
        (Step::Field(name), Value::Map(entries)) => entries
            .iter()
            .find(|entry| entry.key == *name)
            .map(|entry| (entry.value.as_ref(), entry.line)),
        (Step::Index(index), Value::List(items)) => items.get(*index).map(|item| (item.as_ref(), item.line)),
        (Step::Field(_) | Step::Index(_), Value::Scalar(_) | Value::List(_) | Value::Map(_)) => None,
    }
}
