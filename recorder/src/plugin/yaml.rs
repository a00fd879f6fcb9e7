//! Objects as YAML for people and for GitOps. A text that any version of YAML could take for something else is quoted, and
//! what is not printable ASCII is escaped: YAML 1.1 takes U+2028 and its like for the end of a line even within quotes.

use std::fmt::Write as _;

use serde_json::Value;

/// Words that YAML 1.1 reads as truth values or null (yaml.org "Language-Independent Types", bool and null).
const NOT_TEXT: [&str; 10] = ["y", "yes", "n", "no", "true", "false", "on", "off", "null", "~"];

/// Documents with a line of dashes between them.
#[must_use]
pub fn documents(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(document).collect();
    texts.join("---\n")
}

/// One document; an object of Kubernetes names its kind first.
#[must_use]
pub fn document(object: &Value) -> String {
    let mut text = String::new();
    block(object, 0, &mut text);
    text
}

/// A value on lines of its own.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let order = |key: &&String| match key.as_str() {
                "apiVersion" => 0,
                "kind" => 1,
                "metadata" => 2,
                "name" => 3,
                _ => 4,
            };
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_by_key(order);
            for key in keys {
                let _ = write!(text, "{:indent$}{}:", "", scalar(key));
                entry(&fields[key], indent, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                block(item, indent + 2, &mut inner);
                let _ = write!(text, "{:indent$}- {}", "", inner.trim_start_matches(' '));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            let _ = writeln!(text, "{:indent$}{}", "", plain(value));
        }
    }
}

/// What follows a key.
fn entry(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            block(value, indent + 2, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, indent, text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            let _ = writeln!(text, " {}", plain(value));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(word) => scalar(word),
        // What is empty looks the same in JSON.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn scalar(word: &str) -> String {
    let begins = word.starts_with(|char: char| char.is_ascii_alphabetic() || char == '/');
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let is_text = !NOT_TEXT.contains(&word.to_ascii_lowercase().as_str());
    if begins && is_text && word.bytes().all(harmless) {
        word.to_owned()
    } else {
        quoted(word)
    }
}

/// A double-quoted text with the escapes of YAML (YAML 1.1 and 1.2, "Escape Sequences").
fn quoted(word: &str) -> String {
    let mut text = String::from('"');
    for char in word.chars() {
        let _ = match char {
            '"' | '\\' => write!(text, "\\{char}"),
            ' '..='~' => write!(text, "{char}"),
            _ => match u16::try_from(u32::from(char)) {
                Ok(short) => write!(text, "\\u{short:04X}"),
                Err(_) => write!(text, "\\U{:08X}", u32::from(char)),
            },
        };
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::{document, documents};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn objects_read_well() {
        let object = json!({"spec": {"args": ["--x", "no", "a b"], "empty": {}, "many": [{"name": "a", "b": 1}], "none": []},
            "kind": "Pod", "metadata": {"name": "web"}, "apiVersion": "v1"});
        let expected = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  args:\n  - \"--x\"\n  - \"no\"\n  - \"a b\"\n  empty: {}\n  many:\n  - name: a\n    b: 1\n  none: []\n";
        assert_eq!(document(&object), expected);
        let odd = json!({"\u{2028}": "a\"b\\\u{85}\u{1f4fc}\n"});
        assert_eq!(document(&odd), "\"\\u2028\": \"a\\\"b\\\\\\u0085\\U0001F4FC\\u000A\"\n");
        assert_eq!(serde_yaml::from_str::<Value>(&document(&odd)).unwrap(), odd);
        assert_eq!(documents(&[json!({"a": 1}), json!({"b": 2})]), "a: 1\n---\nb: 2\n");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            prop::sample::select(vec![
                "no",
                "Yes",
                "1.5",
                "0x1f",
                "1_000",
                "~",
                "a: b",
                "- a",
                "#",
                "2026-01-01",
                "1e3"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_by_a_reader_of_yaml(fields in prop::collection::btree_map(any::<String>(), value(), 1..4)) {
            let object = Value::Object(fields.into_iter().collect());
            let read: Value = serde_yaml::from_str(&document(&object)).unwrap();
            prop_assert_eq!(read, object);
        }
    }
}
