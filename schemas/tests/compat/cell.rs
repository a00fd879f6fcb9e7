//! A cell of a column as JSON, in a form of its own that no library's release can change.

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{
    DataType, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a column of a type that no other has is noticed here"
)]
pub(crate) fn json(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Utf8 => quoted(array.as_string::<i32>().value(row)),
        DataType::Timestamp(..) => array.as_primitive::<TimestampNanosecondType>().value(row).to_string(),
        DataType::FixedSizeBinary(_) => {
            let bytes = array.as_fixed_size_binary().value(row).iter();
            quoted(&bytes.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
        }
        DataType::Dictionary(..) => {
            let words = array.as_dictionary::<Int32Type>();
            json(words.values().as_ref(), words.key(row).unwrap())
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len()).map(|item| json(items.as_ref(), item)).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            let pair = |(field, column): (&std::sync::Arc<arrow::datatypes::Field>, &arrow::array::ArrayRef)| {
                format!("{}:{}", quoted(field.name()), json(column.as_ref(), row))
            };
            format!(
                "{{{}}}",
                fields.iter().zip(columns).map(pair).collect::<Vec<_>>().join(",")
            )
        }
        other => panic!("no column of a tape has type {other}"),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
