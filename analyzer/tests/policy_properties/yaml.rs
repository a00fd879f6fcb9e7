//! Strings in YAML: the writer against three readers it knows nothing of.
//!
//! A table of the implicit types of YAML 1.1 and 1.2 written from their specifications, the reader behind `serde_yaml`,
//! and PyYAML, a full YAML 1.1 reader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flowtape::parse::marked::{Value, documents};
use flowtape::parse::scalar::Scalar;
use flowtape::render::yaml::{Tree, comment, document, scalar};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::arbitrary::{NASTY, label_key, label_value, quiet};

/// Strings that are no labels, and that a number, a time, a merge or an end of document could be made of.
const NASTIER: [&str; 40] = [
    "",
    " ",
    "~",
    "12:30:45",
    "190:20:30",
    "1:20",
    "190:20:30.15",
    "+1",
    "-1",
    "+.5",
    ".5",
    ".inf",
    "-.Inf",
    ".nan",
    "+12e03",
    "=",
    "<<",
    "*a",
    "&a",
    "!a",
    "%a",
    "@a",
    "`a",
    "-",
    "--- a",
    "...",
    "a: b",
    "a #b",
    "# a",
    "a\nb",
    "a\r\nb",
    "\u{85}",
    "\u{2028}",
    "\u{feff}a",
    "\u{202e}",
    "\u{1f600}",
    "a\\b",
    "\"a\"",
    "2001-12-14 21:59:43.10 -5",
    "2001-12-14t21:59:43.10-05:00",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        label_value(),
        label_key(),
        proptest::sample::select(&NASTIER[..]).prop_map(str::to_owned),
        any::<String>(),
        "[-+0-9._:eExXoObBtTzZ ]{1,12}",
        "[yYnNoOaAeEfFsStTrRuUlL]{1,5}",
    ]
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn plain_strings_are_no_other_type(text in text()) {
        if scalar(&text) == text {
            prop_assert_eq!(other_type(&text), None);
        }
    }

    #[test]
    fn serde_yaml_reads_what_was_written(key in text(), value in text()) {
        let written = document(&[], &Tree::Map(vec![(key.clone(), Tree::Text(value.clone()))]));
        let read: serde_yaml::Value = serde_yaml::from_str(&written).unwrap();
        let expected: serde_yaml::Mapping = [(key.as_str().into(), value.as_str().into())].into_iter().collect();
        prop_assert_eq!(read, serde_yaml::Value::Mapping(expected));
    }

    #[test]
    fn our_reader_reads_what_was_written(value in text()) {
        let (read, faults) = documents(&document(std::slice::from_ref(&value), &Tree::Text(value.clone())));
        prop_assert!(faults.is_empty(), "{:?}", faults);
        prop_assert_eq!(&read[0].value, &Value::Scalar(Scalar::Text(value)));
    }

    /// Two readers of one text, each with its own scanner, agree on what manifests are made of.
    #[test]
    fn our_reader_agrees_with_serde_yaml(value in "[a-z0-9.:{}, \\[\\]'\"#-]{0,30}") {
        let text = format!("a: {value}\nb:\n- {value}\n");
        let (read, faults) = documents(&text);
        let other: Result<serde_yaml::Value, _> = serde_yaml::from_str(&text);
        if let (true, [node], Ok(other)) = (faults.is_empty(), read.as_slice(), other) {
            prop_assert!(same(&node.value, &other), "{}: {:?} {:?}", text, node, other);
        }
    }

    #[test]
    fn comments_are_one_line(note in any::<String>()) {
        let comment = comment(&note);
        let turns = |c| matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{202e}');
        prop_assert!(comment.starts_with('#') && !comment.chars().any(|c| c.is_control() || turns(c)), "{}", comment);
    }
}

/// Whether both readers see the same structure and the same texts. Types of scalars differ between YAML 1.1 and 1.2.
fn same(ours: &Value, theirs: &serde_yaml::Value) -> bool {
    match (ours, theirs) {
        (Value::List(ours), serde_yaml::Value::Sequence(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(&ours.value, theirs))
        }
        (Value::Map(ours), serde_yaml::Value::Mapping(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|(entry, (key, theirs))| key.as_str() == Some(&entry.key) && same(&entry.value.value, theirs))
        }
        (Value::Scalar(Scalar::Text(ours)), serde_yaml::Value::String(theirs)) => ours == theirs,
        (Value::Scalar(Scalar::Null), theirs) => theirs.is_null(),
        (Value::Scalar(Scalar::Bool(ours) | Scalar::Int(ours, _) | Scalar::Float(ours)), theirs) => {
            theirs.as_str().is_none_or(|theirs| theirs == ours) && !theirs.is_sequence() && !theirs.is_mapping()
        }
        _ => false,
    }
}

/// The type other than text that a reader could give to a plain scalar: the types of <https://yaml.org/type/> (YAML
/// 1.1) and of the core schema (YAML 1.2 section 10.3.2), pattern by pattern.
fn other_type(text: &str) -> Option<&'static str> {
    let types: [Type; 9] = [
        ("null", |text| ["", "~", "null", "Null", "NULL"].contains(&text)),
        ("bool", |text| BOOLEANS.contains(&text)),
        ("merge or value", |text| ["<<", "="].contains(&text)),
        ("int", is_int),
        ("float", is_float),
        ("infinity", |text| {
            [".inf", ".Inf", ".INF"].contains(&text.trim_start_matches(['+', '-']))
        }),
        ("not a number", |text| [".nan", ".NaN", ".NAN"].contains(&text)),
        ("sexagesimal", is_sexagesimal),
        ("timestamp", is_date_like),
    ];
    types
        .into_iter()
        .find(|(_, matches)| matches(text))
        .map(|(name, _)| name)
}

/// A type and its pattern.
type Type = (&'static str, fn(&str) -> bool);

const BOOLEANS: [&str; 22] = [
    "y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "true", "True", "TRUE", "false", "False", "FALSE", "on",
    "On", "ON", "off", "Off", "OFF",
];

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn is_int(text: &str) -> bool {
    let digits = unsigned(text);
    let of = |digits: &str, base: u32| !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(base));
    digits.strip_prefix("0b").is_some_and(|digits| of(digits, 2))
        || digits.strip_prefix("0x").is_some_and(|digits| of(digits, 16))
        || digits.strip_prefix("0o").is_some_and(|digits| of(digits, 8))
        || (digits.starts_with(|c: char| c.is_ascii_digit()) && of(digits, 10))
}

fn is_float(text: &str) -> bool {
    let digits = unsigned(text);
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let exponent = unsigned(exponent);
    mantissa.contains(|c: char| c.is_ascii_digit())
        && mantissa.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '.'))
        && exponent.chars().all(|c| c.is_ascii_digit())
}

fn is_sexagesimal(text: &str) -> bool {
    let digits = unsigned(text);
    digits.contains(':')
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '_' | ':' | '.'))
}

fn is_date_like(text: &str) -> bool {
    let year = text.split('-').next().unwrap_or_default();
    year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()) && text.split('-').count() >= 3
}

#[test]
fn the_table_knows_its_types() {
    let cases = [
        ("1_000", "int"),
        ("0x1", "int"),
        ("017", "int"),
        ("1e3", "float"),
        ("1.5", "float"),
        ("12:30:45", "sexagesimal"),
        ("2001-01-01", "timestamp"),
        ("yes", "bool"),
        ("~", "null"),
        (".5", "float"),
        ("-.Inf", "infinity"),
    ];
    for (text, expected) in cases {
        assert_eq!(other_type(text), Some(expected), "{text}");
    }
    assert_eq!(other_type("web"), None);
    assert_eq!(other_type("10.0.0.0/8"), None);
}

/// Reads a YAML list on standard input and prints it as JSON; what is no text shows its Python type.
const READER: &str = "import json, sys, yaml\n\
    read = yaml.safe_load(sys.stdin.buffer.read().decode('utf-8'))\n\
    print(json.dumps([x if isinstance(x, str) else [str(type(x))] for y in read for x in y.popitem()]))\n";

#[test]
fn pyyaml_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let Some(python) = python_with_yaml(folder.path()) else {
        note("SKIPPED: no python3 with PyYAML, and none could be made; no YAML 1.1 reader was asked");
        return;
    };
    let texts = samples(4000);
    let members = texts.iter().map(|text| {
        let value = Tree::Map(vec![(text.clone(), Tree::Text(text.clone()))]);
        flowtape::render::yaml::Member {
            notes: vec![text.clone()],
            value,
        }
    });
    let (input, script) = (folder.path().join("in.yaml"), folder.path().join("read.py"));
    fs::write(&input, document(&[], &Tree::List(members.collect()))).unwrap();
    fs::write(&script, READER).unwrap();
    let output = Command::new(python)
        .arg(&script)
        .stdin(fs::File::open(&input).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read.len(), 2 * texts.len());
    for (pair, text) in read.chunks(2).zip(&texts) {
        assert!(
            pair.iter().all(|read| read.as_str() == Some(text)),
            "{text:?} is read as {pair:?}"
        );
    }
}

/// The same strings in every run, the known difficult ones first.
fn samples(count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let random = std::iter::repeat_with(|| text().new_tree(&mut runner).unwrap().current());
    NASTY
        .into_iter()
        .chain(NASTIER)
        .map(str::to_owned)
        .chain(random.take(count))
        .collect()
}

/// A Python that can import `yaml`: that of the machine, or one in a fresh environment.
fn python_with_yaml(folder: &Path) -> Option<PathBuf> {
    let can_read = |python: &Path| {
        Command::new(python)
            .args(["-c", "import yaml"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let system = PathBuf::from("python3");
    if can_read(&system) {
        return Some(system);
    }
    let environment = folder.join("venv");
    let made = Command::new(&system).args(["-m", "venv"]).arg(&environment).output();
    let python = environment.join("bin/python");
    let installed = made.is_ok_and(|output| output.status.success())
        && Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "pyyaml"])
            .output()
            .is_ok();
    (installed && can_read(&python)).then_some(python)
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn note(text: &str) {
    eprintln!("{text}");
}
