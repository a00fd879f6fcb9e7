//! Writes `SCHEMA.md`, the reference of every table, from the declarations themselves.

use std::fmt::Write as _;

use arrow::datatypes::DataType;

use crate::table::Place;
use crate::validate::tables;
use crate::version::CURRENT;

/// The whole text of `SCHEMA.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = format!(
        "# The tables of a tape, schema {CURRENT}\n\n\
         Generated from the declarations in `src/node/`, `src/cluster/` and `src/import/`; `make bless` writes it anew.\n\n\
         Times are nanoseconds since 1970 in UTC. Addresses are 16 bytes, IPv4 as IPv4-mapped IPv6 (`::ffff:a.b.c.d`).\n\
         Words are dictionary-encoded text. A column that may be null says so; null means *not known* or *does not apply*.\n"
    );
    for table in tables() {
        let place = match table.place {
            Place::Node => "node=<name>",
            Place::Cluster => "cluster",
            Place::Import => "import",
        };
        let _ = write!(
            text,
            "\n## {}\n\n`{place}/{}-000001.parquet` ...\n\n{}\n\n",
            table.name, table.name, table.doc
        );
        text.push_str("| column | type | null | what it holds |\n| --- | --- | --- | --- |\n");
        for column in &table.columns {
            let null = if column.nullable { "yes" } else { "" };
            let kind = type_name(&column.data_type);
            let _ = writeln!(
                text,
                "| `{}` | {kind} | {null} | {} |",
                column.name,
                column.doc.replace('|', "\\|")
            );
        }
    }
    text.push_str(&words());
    text
}

/// Words with their meaning.
type Words = Vec<(&'static str, String)>;

/// Every enumeration once, under the columns that hold its words.
fn words() -> String {
    let mut enumerations: Vec<(Vec<&str>, Words)> = Vec::new();
    for column in tables().into_iter().flat_map(|table| table.columns) {
        if column.words.is_empty() {
            continue;
        }
        match enumerations.iter_mut().find(|(_, words)| *words == column.words) {
            Some((columns, _)) if columns.contains(&column.name) => {}
            Some((columns, _)) => columns.push(column.name),
            None => enumerations.push((vec![column.name], column.words)),
        }
    }
    let mut text = String::from("\n## Words\n");
    for (columns, words) in enumerations {
        let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
        let _ = write!(text, "\n{}:\n\n", columns.join(", "));
        for (word, meaning) in words {
            let _ = writeln!(text, "- `{word}`: {meaning}");
        }
    }
    text
}

/// Arrow types in the words of the reference.
fn type_name(data_type: &DataType) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "Arrow prints every other type well enough itself"
    )]
    match data_type {
        DataType::Timestamp(..) => "time".to_owned(),
        DataType::FixedSizeBinary(16) => "address".to_owned(),
        DataType::Dictionary(..) => "word".to_owned(),
        DataType::Utf8 => "text".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::List(item) => format!("list of {}", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let field = |field: &arrow::datatypes::Field| {
                format!(
                    "{}: {}{}",
                    field.name(),
                    type_name(field.data_type()),
                    if field.is_nullable() { "?" } else { "" }
                )
            };
            format!(
                "{{{}}}",
                fields.iter().map(|inner| field(inner)).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string().to_lowercase(),
    }
}
