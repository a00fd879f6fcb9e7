//! YAML text that every reader reads the same way.
//!
//! Deterministic: keys stand in the order given, indentation is two spaces, lists start in the column of their key (as
//! `kubectl` prints them). A string is written plain only if no reader of YAML 1.1 or 1.2 can take it for anything but
//! text: `yes`, `on`, `1_000`, `0x1`, `null`, `~`, `1e3`, `12:30:45` and `2001-01-01` are quoted, and so is everything
//! outside a small alphabet. The output is ASCII, except for letters in comments; control characters, line breaks and
//! marks that turn the direction of text around are escaped.

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;
use thiserror::Error;

/// Words that YAML 1.1 or 1.2 reads as null or boolean, in lower case. `y` and `n` are so in YAML 1.1 only.
const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];

/// An object that has no form in YAML.
#[derive(Debug, Error)]
#[error("an object has no form in YAML")]
pub struct TreeError(#[from] serde_yaml::Error);

/// A value whose list members can have comments.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// Text.
    Text(String),
    /// A mapping in the order in which it is written.
    Map(Vec<(String, Tree)>),
    /// A list.
    List(Vec<Member>),
}

/// A member of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Comments above the member, one each.
    pub notes: Vec<String>,
    /// The member.
    pub value: Tree,
}

/// The tree of a serializable object, without comments. Mappings keep the order in which the object serializes.
pub fn tree<T: Serialize>(object: &T) -> Result<Tree, TreeError> {
    Ok(from_value(serde_yaml::to_value(object)?))
}

fn from_value(value: Value) -> Tree {
    match value {
        Value::Null => Tree::Null,
        Value::Bool(truth) => Tree::Bool(truth),
        Value::Number(number) => Tree::Number(number.to_string()),
        Value::String(text) => Tree::Text(text),
        Value::Sequence(items) => {
            let member = |item| Member {
                notes: Vec::new(),
                value: from_value(item),
            };
            Tree::List(items.into_iter().map(member).collect())
        }
        Value::Mapping(mapping) => Tree::Map(
            mapping
                .into_iter()
                .map(|(key, value)| (key_text(key), from_value(value)))
                .collect(),
        ),
        Value::Tagged(tagged) => from_value(tagged.value),
    }
}

/// Keys of Kubernetes objects are text. Others, which JSON has not either, are written as the text that shows them.
fn key_text(key: Value) -> String {
    match key {
        Value::String(text) => text,
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => format!("{key:?}"),
    }
}

/// A document: comments, one for each note, then the value. Ends with a line break.
#[must_use]
pub fn document(notes: &[String], value: &Tree) -> String {
    let mut out = String::new();
    write_notes(&mut out, notes, 0);
    match value {
        Tree::Map(fields) if !fields.is_empty() => write_map(&mut out, fields, 0, false),
        Tree::List(members) if !members.is_empty() => write_list(&mut out, members, 0),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) | Tree::List(_) => {
            line(&mut out, &inline(value));
        }
    }
    out
}

/// The value at a path of keys as lines, indented so far; nothing where there is none.
pub(super) fn part(tree: &Tree, path: &[&str], indent: usize) -> String {
    let mut place = tree;
    for key in path {
        let Tree::Map(fields) = place else { return String::new() };
        let Some((_, value)) = fields.iter().find(|(name, _)| name == key) else {
            return String::new();
        };
        place = value;
    }
    let mut out = String::new();
    match place {
        Tree::Map(fields) if !fields.is_empty() => write_map(&mut out, fields, indent, false),
        Tree::List(members) if !members.is_empty() => write_list(&mut out, members, indent),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) | Tree::List(_) => {
            pad(&mut out, indent);
            line(&mut out, &inline(place));
        }
    }
    out
}

/// Puts notes above the members of the list at a path of keys, in order. Where there is no such list, nothing happens.
pub(super) fn annotate(tree: &mut Tree, path: &[&str], notes: impl IntoIterator<Item = Vec<String>>) {
    let mut place = tree;
    for key in path {
        let Tree::Map(fields) = place else { return };
        let Some((_, value)) = fields.iter_mut().find(|(name, _)| name == key) else {
            return;
        };
        place = value;
    }
    let Tree::List(members) = place else { return };
    for (member, notes) in members.iter_mut().zip(notes) {
        member.notes = notes;
    }
}

/// A text as the object that it is; `None` where it is another one, or has a field that the type lacks.
#[must_use]
pub(super) fn object<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_yaml::from_str(text).ok()
}

/// A text as JSON.
#[must_use]
pub(super) fn json(text: &str) -> Option<serde_json::Value> {
    object(text)
}

/// A string as a YAML scalar: plain if that is safe everywhere, in double quotes otherwise.
#[must_use]
pub fn scalar(text: &str) -> String {
    if is_plain_text(text) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Whether every YAML reader reads `text` without quotes as that text. Starting with a letter, only words can be
/// anything else; starting with a digit, a `/` rules out every number, time and date.
fn is_plain_text(text: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-');
    let starts_well = match text.as_bytes().first() {
        Some(first) if first.is_ascii_alphabetic() => true,
        Some(first) if first.is_ascii_digit() => text.contains('/'),
        Some(_) | None => false,
    };
    starts_well && text.bytes().all(safe) && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(character),
            _ => {
                let code = u32::from(character);
                let width = if code > 0xffff { ('U', 8) } else { ('u', 4) };
                let _infallible = write!(out, "\\{}{code:0digits$x}", width.0, digits = width.1);
            }
        }
    }
    out.push('"');
    out
}

/// A note as one comment, whatever is in it.
#[must_use]
pub fn comment(note: &str) -> String {
    let mut out = String::from("#");
    if !note.is_empty() {
        out.push(' ');
    }
    for character in note.chars() {
        if matches!(character, ' '..='~') || character.is_alphanumeric() {
            out.push(character);
        } else {
            out.extend(character.escape_unicode());
        }
    }
    out
}

fn write_notes(out: &mut String, notes: &[String], indent: usize) {
    for note in notes {
        pad(out, indent);
        line(out, &comment(note));
    }
}

/// Fields of a mapping; the first one continues the current line if `inside` a list member.
fn write_map(out: &mut String, fields: &[(String, Tree)], indent: usize, inside: bool) {
    for (at, (key, value)) in fields.iter().enumerate() {
        if at > 0 || !inside {
            pad(out, indent);
        }
        out.push_str(&scalar(key));
        out.push(':');
        match value {
            Tree::Map(fields) if !fields.is_empty() => {
                line(out, "");
                write_map(out, fields, indent + 2, false);
            }
            Tree::List(members) if !members.is_empty() => {
                line(out, "");
                write_list(out, members, indent);
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) | Tree::List(_) => {
                out.push(' ');
                line(out, &inline(value));
            }
        }
    }
}

fn write_list(out: &mut String, members: &[Member], indent: usize) {
    for Member { notes, value } in members {
        write_notes(out, notes, indent);
        pad(out, indent);
        match value {
            Tree::Map(fields) if !fields.is_empty() => {
                out.push_str("- ");
                write_map(out, fields, indent + 2, true);
            }
            Tree::List(members) if !members.is_empty() => {
                line(out, "-");
                write_list(out, members, indent + 2);
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) | Tree::List(_) => {
                out.push_str("- ");
                line(out, &inline(value));
            }
        }
    }
}

/// Values that take no lines of their own. Mappings and lists get here only if they are empty.
fn inline(value: &Tree) -> String {
    match value {
        Tree::Null => "null".to_owned(),
        Tree::Bool(truth) => truth.to_string(),
        Tree::Number(number) => number.clone(),
        Tree::Text(text) => scalar(text),
        Tree::Map(_) => "{}".to_owned(),
        Tree::List(_) => "[]".to_owned(),
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
