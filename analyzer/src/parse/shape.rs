//! The fields of the API, held against a tree.
//!
//! The typed objects of `k8s-openapi` drop unknown fields and stop at the first wrong type. Here every unknown field and
//! every wrong type is reported with its line; what passes deserializes without loss.
//!
//! Null is read as an API server reads it: absent for fields, the empty text or the empty object in lists.

use serde_yaml::{Mapping, Value as Typed};

use super::marked::{Entry, Node, Value};
use super::report::{Path, ProblemKind};
use super::scalar::Scalar;

/// What a value may look like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text.
    Text,
    /// An integer of 32 bits.
    Int,
    /// Either, as in ports.
    IntOrText,
    /// A mapping from text to text.
    Labels,
    /// A list.
    List(&'static Shape),
    /// An object with exactly these fields, none of them mandatory.
    Object(&'static [(&'static str, Shape)]),
    /// A field that exists and is of no interest.
    Ignored,
}

/// Something to say about the value at a path.
pub trait Sink {
    /// Notes a problem in `line`.
    fn problem(&mut self, line: usize, path: &Path, what: ProblemKind);
}

/// `node` as a value that deserializes into the API type of `shape`; `None` for null, and for what was reported.
pub fn typed(shape: &Shape, node: &Node, path: &Path, sink: &mut dyn Sink) -> Option<Typed> {
    if node.is_null() {
        return None;
    }
    match (shape, &node.value) {
        (Shape::Ignored, _) => None,
        (Shape::Text | Shape::IntOrText, Value::Scalar(Scalar::Text(text))) => Some(Typed::from(text.as_str())),
        (Shape::Int | Shape::IntOrText, Value::Scalar(Scalar::Int(_, value))) => {
            let value = i32::try_from(*value).ok();
            if value.is_none() {
                mismatch("an integer of 32 bits", node, path, sink);
            }
            value.map(Typed::from)
        }
        (Shape::List(item), Value::List(nodes)) => {
            let items = nodes.iter().enumerate();
            Some(Typed::Sequence(
                items
                    .map(|(at, node)| list_item(item, node, &path.index(at), sink))
                    .collect(),
            ))
        }
        (Shape::Labels, Value::Map(entries)) => Some(Typed::Mapping(labels(entries, path, sink))),
        (Shape::Object(fields), Value::Map(entries)) => Some(Typed::Mapping(object(fields, entries, path, sink))),
        (
            Shape::Text | Shape::Int | Shape::IntOrText | Shape::Labels | Shape::List(_) | Shape::Object(_),
            Value::Scalar(_) | Value::List(_) | Value::Map(_),
        ) => {
            mismatch(expectation(shape), node, path, sink);
            None
        }
    }
}

/// A list keeps its length whatever its members are, so that positions in messages and rules stay right.
fn list_item(shape: &Shape, node: &Node, path: &Path, sink: &mut dyn Sink) -> Typed {
    typed(shape, node, path, sink).unwrap_or_else(|| match shape {
        Shape::Object(_) | Shape::Labels => Typed::Mapping(Mapping::new()),
        Shape::List(_) => Typed::Sequence(Vec::new()),
        Shape::Text | Shape::Int | Shape::IntOrText | Shape::Ignored => Typed::from(""),
    })
}

fn labels(entries: &[Entry], path: &Path, sink: &mut dyn Sink) -> Mapping {
    let value = |entry: &Entry, sink: &mut dyn Sink| {
        typed(&Shape::Text, &entry.value, &path.field(&entry.key), sink).unwrap_or_else(|| Typed::from(""))
    };
    entries
        .iter()
        .map(|entry| (Typed::from(entry.key.as_str()), value(entry, sink)))
        .collect()
}

fn object(fields: &[(&str, Shape)], entries: &[Entry], path: &Path, sink: &mut dyn Sink) -> Mapping {
    let mut mapping = Mapping::new();
    for entry in entries {
        let Some((_, shape)) = fields.iter().find(|(name, _)| *name == entry.key) else {
            let known: Vec<String> = fields.iter().map(|(name, _)| format!("`{name}`")).collect();
            let what = ProblemKind::UnknownField {
                field: entry.key.clone(),
                known: known.join(", "),
            };
            sink.problem(entry.line, path, what);
            continue;
        };
        if let Some(value) = typed(shape, &entry.value, &path.field(&entry.key), sink) {
            mapping.insert(Typed::from(entry.key.as_str()), value);
        }
    }
    mapping
}

fn mismatch(expected: &'static str, node: &Node, path: &Path, sink: &mut dyn Sink) {
    let quote = expected == expectation(&Shape::Text) && matches!(node.value, Value::Scalar(_));
    sink.problem(
        node.line,
        path,
        ProblemKind::Type {
            expected,
            found: node.described(),
            quote,
        },
    );
}

const fn expectation(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text => "text",
        Shape::Int => "an integer",
        Shape::IntOrText => "an integer or text",
        Shape::Labels => "a mapping of text to text",
        Shape::List(_) => "a list",
        Shape::Object(_) => "a mapping",
        Shape::Ignored => "anything",
    }
}
