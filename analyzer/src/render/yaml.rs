//! YAML text that every reader reads the same way.
//!
//! Deterministic: keys stand in the order given, indentation is two spaces, lists start in the column of their key (as
//! `kubectl` prints them). A string is written plain only if no reader of YAML 1.1 or 1.2 can take it for anything but
//! text: `yes`, `on`, `1_000`, `0x1`, `null`, `~`, `1e3`, `12:30:45` and `2001-01-01` are quoted, and so is everything
//! outside a small alphabet. The output is ASCII, except for letters in comments; control characters, line breaks and
//! marks that turn the direction of text around are escaped.

mod serialize;

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serialize::IntoTree;
use thiserror::Error;

/// Words that YAML 1.1 or 1.2 reads as null or boolean, in lower case. `y` and `n` are so in YAML 1.1 only.
const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];

/// An object that has no form in YAML.
#[derive(Debug, Error)]
#[error("an object has no form in YAML: {0}")]
pub struct TreeError(String);

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
    object.serialize(IntoTree)
}

/// A tree as JSON, without comments.
pub(super) fn json_of(tree: &Tree) -> serde_json::Result<serde_json::Value> {
    Ok(match tree {
        Tree::Null => serde_json::Value::Null,
        Tree::Bool(truth) => serde_json::Value::Bool(*truth),
        Tree::Number(number) => serde_json::from_str(number)?,
        Tree::Text(text) => serde_json::Value::String(text.clone()),
        Tree::Map(fields) => {
            let field = |(key, value): &(String, Tree)| Ok((key.clone(), json_of(value)?));
            serde_json::Value::Object(fields.iter().map(field).collect::<serde_json::Result<_>>()?)
        }
        Tree::List(members) => {
            let members = members.iter().map(|member| json_of(&member.value));
            serde_json::Value::Array(members.collect::<serde_json::Result<_>>()?)
        }
    })
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
            write_inline(&mut out, value);
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
            write_inline(&mut out, place);
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
    let mut out = String::new();
    write_scalar(&mut out, text);
    out
}

fn write_scalar(out: &mut String, text: &str) {
    if is_plain_text(text) {
        out.push_str(text);
    } else {
        write_quoted(out, text);
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
    starts_well && text.bytes().all(safe) && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
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
}

/// A note as one comment, whatever is in it.
#[must_use]
pub fn comment(note: &str) -> String {
    let mut out = String::new();
    write_comment(&mut out, note);
    out
}

fn write_comment(out: &mut String, note: &str) {
    out.push('#');
    if !note.is_empty() {
        out.push(' ');
    }
    if note.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        out.push_str(note);
        return;
    }
    for character in note.chars() {
        if matches!(character, ' '..='~') || character.is_alphanumeric() {
            out.push(character);
        } else {
            out.extend(character.escape_unicode());
        }
    }
}

fn write_notes(out: &mut String, notes: &[String], indent: usize) {
    for note in notes {
        pad(out, indent);
        write_comment(out, note);
        out.push('\n');
    }
}

/// Fields of a mapping; the first one continues the current line if `inside` a list member.
fn write_map(out: &mut String, fields: &[(String, Tree)], indent: usize, inside: bool) {
    for (at, (key, value)) in fields.iter().enumerate() {
        if at > 0 || !inside {
            pad(out, indent);
        }
        write_scalar(out, key);
        out.push(':');
        match value {
            Tree::Map(fields) if !fields.is_empty() => {
                out.push('\n');
                write_map(out, fields, indent + 2, false);
            }
            Tree::List(members) if !members.is_empty() => {
                out.push('\n');
                write_list(out, members, indent);
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) | Tree::List(_) => {
                out.push(' ');
                write_inline(out, value);
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
                out.push_str("-\n");
                write_list(out, members, indent + 2);
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) | Tree::List(_) => {
                out.push_str("- ");
                write_inline(out, value);
            }
        }
    }
}

/// The rest of a line with a value that takes no lines of its own. Mappings and lists get here only if they are empty.
fn write_inline(out: &mut String, value: &Tree) {
    match value {
        Tree::Null => out.push_str("null"),
        Tree::Bool(true) => out.push_str("true"),
        Tree::Bool(false) => out.push_str("false"),
        Tree::Number(number) => out.push_str(number),
        Tree::Text(text) => write_scalar(out, text),
        Tree::Map(_) => out.push_str("{}"),
        Tree::List(_) => out.push_str("[]"),
    }
    out.push('\n');
}

fn pad(out: &mut String, indent: usize) {
    const SPACES: &str = "                                ";
    let mut left = indent;
    while left > 0 {
        let some = left.min(SPACES.len());
        out.push_str(&SPACES[..some]);
        left -= some;
    }
}
