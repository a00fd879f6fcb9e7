//! Rows of a table of a tape as a table in memory, with the names and documentation of `SCHEMA.md`.
//!
//! What has no type of its own here is text: addresses as people write them, lists and records as JSON.

use std::net::Ipv6Addr;

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};
use flowtape_schemas::address::Address;
use flowtape_schemas::table::{Column as Declared, Row};
use flowtape_schemas::time::Time;
use serde_json::{Map, Value};

use super::{Cells, Column, Frame};

/// The table of these rows.
#[must_use]
pub(super) fn frame<R: Row>(rows: &[R]) -> Frame {
    let batch = R::encode(rows);
    let column = |(declared, array): (Declared, &ArrayRef)| Column {
        name: declared.name.to_owned(),
        doc: declared.doc,
        cells: cells(array),
    };
    Frame {
        columns: R::columns().into_iter().zip(batch.columns()).map(column).collect(),
    }
}

/// The tables of the nodes one below the other, the name of the node in the first column.
#[must_use]
pub(super) fn of_nodes<'a, R: Row + 'a>(nodes: impl Iterator<Item = (&'a str, &'a [R])>) -> Frame {
    let mut all = with_node("", &frame::<R>(&[]));
    for (node, rows) in nodes {
        all.append(with_node(node, &frame(rows)));
    }
    all
}

/// The same table with the name of a node in the first column.
pub(super) fn with_node(node: &str, frame: &Frame) -> Frame {
    let names = (0..frame.height()).map(|_| Some(node));
    let mut columns = vec![Column::text("node", "Name of the node that recorded it.", names)];
    columns.extend(frame.columns.iter().cloned());
    Frame { columns }
}

fn cells(array: &ArrayRef) -> Cells {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "Arrow has many types; what is no number, truth or time is text here"
    )]
    match array.data_type() {
        DataType::Boolean => Cells::Boolean(array.as_boolean().iter().collect()),
        DataType::Timestamp(..) => {
            let times: &PrimitiveArray<TimestampNanosecondType> = array.as_primitive();
            Cells::Time(times.iter().map(|nanos| nanos.map(Time)).collect())
        }
        kind if kind.is_integer() => Cells::Integer(integers(array)),
        _ => Cells::Text((0..array.len()).map(|row| text(array, row)).collect()),
    }
}

/// Whole numbers; what exceeds 63 bits is cut off there.
fn integers(array: &ArrayRef) -> Vec<Option<i64>> {
    if *array.data_type() == DataType::UInt64 {
        let numbers: &PrimitiveArray<arrow::datatypes::UInt64Type> = array.as_primitive();
        let cut = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        return numbers.iter().map(|number| number.map(cut)).collect();
    }
    let numbers = cast(array, &DataType::Int64).expect("every narrower whole number is one of 64 bits");
    let numbers: &PrimitiveArray<Int64Type> = numbers.as_primitive();
    numbers.iter().collect()
}

fn text(array: &ArrayRef, row: usize) -> Option<String> {
    match value(array, row) {
        Value::Null => None,
        Value::String(text) => Some(text),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Some(other.to_string()),
    }
}

/// One cell as JSON.
fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the tables of a tape have columns of these types only"
    )]
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Dictionary(..) => {
            let words = array.as_any_dictionary();
            value(words.values(), words.normalized_keys()[row])
        }
        DataType::FixedSizeBinary(16) => address(array.as_fixed_size_binary().value(row)).into(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|item| value(&items, item)).collect())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let field =
                |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| (field.name().clone(), value(column, row));
            Value::Object(fields.iter().zip(columns).map(field).collect::<Map<_, _>>())
        }
        kind if kind.is_integer() => integers(&array.slice(row, 1)).first().copied().flatten().into(),
        kind => unreachable!("no table of a tape has a column of type {kind}"),
    }
}

fn address(bytes: &[u8]) -> String {
    let octets: [u8; 16] = bytes.try_into().expect("an address has 16 bytes");
    Address::from(std::net::IpAddr::V6(Ipv6Addr::from(octets))).to_string()
}
