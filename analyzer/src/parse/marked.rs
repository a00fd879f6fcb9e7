//! YAML (and JSON, which is nearly all YAML) as a tree that knows its lines.
//!
//! Built from the events of a marked parser. Aliases are followed and merge keys applied, as `kubectl` does. Depth is
//! bounded by [`MAX_DEPTH`] also through aliases, so recursion over a tree is safe; the values that aliases add are
//! bounded by [`MAX_ALIASED`], so memory and time stay linear in the text.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::report::ProblemKind;
use super::scalar::Scalar;

/// Levels of nesting that are followed. The deepest that a `kubectl get -o yaml` prints is below 30.
pub const MAX_DEPTH: usize = 64;

/// Values that all aliases of one file together may add.
pub const MAX_ALIASED: usize = 100_000;

/// A value and the line where it starts, the first line being 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The line.
    pub line: usize,
    /// The value.
    pub value: Value,
    /// Levels below this one, aliases expanded.
    height: usize,
    /// Values in here, this one included, aliases expanded.
    weight: usize,
}

/// A value of JSON's types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Null, boolean, number or text.
    Scalar(Scalar),
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping in the order of the text; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The line of the key.
    pub line: usize,
    /// The value.
    pub value: Rc<Node>,
}

impl Node {
    /// The value of `key` if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| entry.value.as_ref()),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The text, if this is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar::Text(text)) => Some(text),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether this is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.value == Value::Scalar(Scalar::Null)
    }

    /// The value in words, for messages.
    #[must_use]
    pub fn described(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.described(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    fn new(line: usize, value: Value) -> Self {
        let (height, weight) = match &value {
            Value::Scalar(_) => (0, 1),
            Value::List(items) => extent(items.iter()),
            Value::Map(entries) => extent(entries.iter().map(|entry| &entry.value)),
        };
        Self {
            line,
            value,
            height,
            weight,
        }
    }
}

fn extent<'a>(children: impl Iterator<Item = &'a Rc<Node>>) -> (usize, usize) {
    children.fold((0, 1), |(height, weight), child| {
        (height.max(child.height + 1), weight.saturating_add(child.weight))
    })
}

/// A fault of the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub what: ProblemKind,
}

/// The documents of a text, and everything that is wrong with it. After a fault of syntax, depth or aliases the rest of
/// the text is not read, and the document with the fault is left out.
#[must_use]
pub fn documents(text: &str) -> (Vec<Node>, Vec<Fault>) {
    let mut builder = Builder {
        events: Parser::new_from_str(text),
        anchors: BTreeMap::new(),
        aliased: 0,
        depth: 0,
        faults: Vec::new(),
    };
    let mut documents = Vec::new();
    if let Err(fault) = builder.stream(&mut documents) {
        builder.faults.push(fault);
    }
    (documents, builder.faults)
}

struct Builder<'text> {
    events: Parser<'text, StrInput<'text>>,
    anchors: BTreeMap<usize, Rc<Node>>,
    aliased: usize,
    depth: usize,
    faults: Vec<Fault>,
}

/// What an event opens or is.
enum Head {
    Scalar(Scalar),
    List,
    Map,
}

impl<'text> Builder<'text> {
    fn stream(&mut self, documents: &mut Vec<Node>) -> Result<(), Fault> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {
                    self.anchors.clear();
                }
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => {
                    let node = self.node(event, span)?;
                    documents.push(Rc::unwrap_or_clone(node));
                }
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Event<'text>, Span)>, Fault> {
        self.events.next_event().transpose().map_err(|error: ScanError| Fault {
            line: error.marker().line().max(1),
            what: ProblemKind::Syntax {
                message: error.info().to_owned(),
            },
        })
    }

    /// The next event inside a document.
    fn next_inside(&mut self, line: usize) -> Result<(Event<'text>, Span), Fault> {
        self.next()?.ok_or_else(|| Fault {
            line,
            what: ProblemKind::Syntax {
                message: "unexpected end".to_owned(),
            },
        })
    }

    /// The value that starts with `event`.
    fn node(&mut self, event: Event<'text>, span: Span) -> Result<Rc<Node>, Fault> {
        let line = span.start.line().max(1);
        let (head, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, line),
            Event::Scalar(text, style, anchor, tag) => {
                (Head::Scalar(self.scalar(&text, style, tag.as_deref(), line)), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", line);
                (Head::List, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", line);
                (Head::Map, anchor)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => {
                let message = "a value was expected here".to_owned();
                return Err(Fault {
                    line,
                    what: ProblemKind::Syntax { message },
                });
            }
        };
        let value = match head {
            Head::Scalar(scalar) => Value::Scalar(scalar),
            Head::List => self.nested(line, Self::list)?,
            Head::Map => self.nested(line, Self::map)?,
        };
        let node = Rc::new(Node::new(line, value));
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn nested(
        &mut self,
        line: usize,
        read: impl FnOnce(&mut Self, usize) -> Result<Value, Fault>,
    ) -> Result<Value, Fault> {
        self.depth += 1;
        self.check_depth(0, line)?;
        let value = read(self, line)?;
        self.depth -= 1;
        Ok(value)
    }

    fn check_depth(&self, below: usize, line: usize) -> Result<(), Fault> {
        if self.depth + below > MAX_DEPTH {
            return Err(Fault {
                line,
                what: ProblemKind::TooDeep { limit: MAX_DEPTH },
            });
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<Rc<Node>, Fault> {
        let fault = |what| Fault { line, what };
        let target = self
            .anchors
            .get(&anchor)
            .cloned()
            .ok_or_else(|| fault(ProblemKind::UnfinishedAlias))?;
        self.aliased = self.aliased.saturating_add(target.weight);
        if self.aliased > MAX_ALIASED {
            return Err(fault(ProblemKind::AliasBudget { limit: MAX_ALIASED }));
        }
        self.check_depth(target.height, line)?;
        Ok(target)
    }

    fn list(&mut self, line: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next_inside(line)?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, span)?);
        }
    }

    fn map(&mut self, line: usize) -> Result<Value, Fault> {
        let mut entries = Entries::default();
        let mut merged: Vec<Rc<Node>> = Vec::new();
        loop {
            let (event, span) = self.next_inside(line)?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span)?;
            let (event, span) = self.next_inside(key.line)?;
            let value = self.node(event, span)?;
            if is_merge {
                self.add_merged(&value, key.line, &mut merged);
                continue;
            }
            let Some(text) = key.text() else {
                self.fault(key.line, ProblemKind::KeyNotText { found: key.described() });
                continue;
            };
            let entry = Entry {
                key: text.to_owned(),
                line: key.line,
                value,
            };
            if let Err(first_line) = entries.add(entry) {
                self.fault(
                    key.line,
                    ProblemKind::DuplicateKey {
                        key: text.to_owned(),
                        first_line,
                    },
                );
            }
        }
        // What is written out wins over what is merged, and earlier merges over later ones.
        for entry in merged.iter().flat_map(|node| map_entries(node)) {
            let _already_set: Result<(), usize> = entries.add(entry.clone());
        }
        Ok(Value::Map(entries.list))
    }

    /// Notes the mappings that a merge key names.
    fn add_merged(&mut self, value: &Rc<Node>, line: usize, merged: &mut Vec<Rc<Node>>) {
        match &value.value {
            Value::Map(_) => merged.push(Rc::clone(value)),
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
                merged.extend(items.iter().cloned());
            }
            Value::List(_) | Value::Scalar(_) => self.fault(line, ProblemKind::Merge),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Scalar {
        let plain = style == ScalarStyle::Plain;
        let Some(tag) = tag else {
            return if plain {
                Scalar::from_plain(text)
            } else {
                Scalar::Text(text.to_owned())
            };
        };
        let core = tag.is_yaml_core_schema().then_some(tag.suffix.as_str());
        let resolved = Scalar::from_plain(text);
        match (core, &resolved) {
            (Some("str"), _) => Scalar::Text(text.to_owned()),
            (Some("null"), Scalar::Null)
            | (Some("bool"), Scalar::Bool(_))
            | (Some("int"), Scalar::Int(..))
            | (Some("float"), Scalar::Float(_)) => resolved,
            (Some(_) | None, _) => {
                self.fault(line, ProblemKind::Tag { tag: tag.to_string() });
                resolved
            }
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, line: usize) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == expected)
        {
            self.fault(line, ProblemKind::Tag { tag: tag.to_string() });
        }
    }

    fn fault(&mut self, line: usize, what: ProblemKind) {
        self.faults.push(Fault { line, what });
    }
}

fn map_entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        Value::Scalar(_) | Value::List(_) => &[],
    }
}

/// Entries of a mapping in their order. A few are looked through; more have an index by key, so that large mappings stay linear.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    /// The lines of all of them, where there are more than [`FEW`].
    lines: BTreeMap<String, usize>,
}

/// So many keys are found as fast without an index, and nearly every mapping has fewer.
const FEW: usize = 16;

impl Entries {
    /// Adds an entry, or returns the line of the one that has the key already.
    fn add(&mut self, entry: Entry) -> Result<(), usize> {
        let known = if self.list.len() <= FEW {
            self.list
                .iter()
                .find(|known| known.key == entry.key)
                .map(|known| known.line)
        } else {
            self.lines.get(&entry.key).copied()
        };
        if let Some(first_line) = known {
            return Err(first_line);
        }
        if self.list.len() == FEW {
            self.lines = self.list.iter().map(|known| (known.key.clone(), known.line)).collect();
        }
        if self.list.len() >= FEW {
            self.lines.insert(entry.key.clone(), entry.line);
        }
        self.list.push(entry);
        Ok(())
    }
}
