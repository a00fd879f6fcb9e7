//! Rows of any table, made from its columns: every word of every enumeration, values and nulls, the ends of ranges.
//!
//! Even rows have a value in every column, odd rows a null wherever one may be.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StringDictionaryBuilder, StructArray, TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int32Type};
use flowtape_schemas::table::{ColumnError, Row, arrow_schema};
use flowtape_schemas::value::ValueError;

/// Twice the number of words that the longest enumeration may have.
const ROWS: usize = 60;

/// 2026-01-01T00:00:00Z; the columns of a row are a second apart, so that a beginning lies before its end.
const START: i64 = 1_767_225_600_000_000_000;

pub(crate) fn rows<R: Row>() -> Vec<R> {
    let schema = arrow_schema(R::columns());
    let columns: Vec<ArrayRef> = R::columns()
        .iter()
        .enumerate()
        .map(|(place, column)| {
            let words = words::<R>(column.name);
            let present = |row: usize| !column.nullable || row.is_multiple_of(2);
            array(
                &column.data_type,
                &Cells {
                    place,
                    words,
                    rows: (0..ROWS).map(|row| present(row).then_some(row)).collect(),
                },
            )
        })
        .collect();
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    R::decode(&batch).unwrap_or_else(|problems| panic!("{}: {problems:?}", R::TABLE))
}

/// The words of a column, which the error about one that is none lists; empty for a column of another type.
fn words<R: Row>(name: &str) -> Vec<String> {
    let columns = R::columns();
    let column = columns.iter().find(|column| column.name == name).unwrap();
    if !matches!(column.data_type, DataType::Dictionary(..)) {
        return Vec::new();
    }
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    builder.append_value("no word of any enumeration");
    let field = Field::new(name, column.data_type.clone(), true);
    let schema = Arc::new(arrow::datatypes::Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(builder.finish())]).unwrap();
    let problems = R::decode(&batch).err().unwrap();
    let listed = problems.into_iter().find_map(|problem| match problem {
        ColumnError::Value {
            error: ValueError::Word { expected, .. },
            ..
        } => Some(expected),
        ColumnError::Value { .. } | ColumnError::Missing { .. } => None,
    });
    let words: Vec<String> = listed.unwrap().split(", ").map(str::to_owned).collect();
    assert!(words.len() * 2 <= ROWS, "column `{name}` has more words than rows");
    words
}

/// Which cells of a column have a value: the row that it is made from, or null.
struct Cells {
    place: usize,
    words: Vec<String>,
    rows: Vec<Option<usize>>,
}

impl Cells {
    /// A number that differs from row to row and column to column; the last rows have the ends of the range.
    fn number(&self, row: usize, last: u64) -> u64 {
        match row {
            38 | 39 => last,
            36 | 37 => 0,
            _ => (row as u64 * 1009 + self.place as u64 * 31) % last,
        }
    }

    fn each<T>(&self, value: impl Fn(usize) -> T) -> impl Iterator<Item = Option<T>> {
        self.rows.iter().map(move |row| row.map(&value))
    }

    fn time(&self, row: usize) -> i64 {
        let place = i64::try_from(self.place).unwrap();
        START + i64::try_from(row).unwrap() * 60_000_000_001 + place * 1_000_000_000
    }

    fn text(&self, row: usize) -> String {
        let special = ["", "plain", "a\tb\nc", "日本", "quote\"back\\slash", "{\"a\": 1}"];
        special
            .get(row / 2)
            .map_or_else(|| format!("text-{row}-{}", self.place), |text| (*text).to_owned())
    }

    fn address(&self, row: usize) -> [u8; 16] {
        let low = u8::try_from(row).unwrap();
        let place = u8::try_from(self.place).unwrap();
        if row.is_multiple_of(4) {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 244, place, low]
        } else {
            [0xfd, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, place, low]
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a column of a type that no other has is noticed here"
)]
fn array(data_type: &DataType, cells: &Cells) -> ArrayRef {
    let truncated = |row: usize, bits: u32| cells.number(row, (1_u64 << bits) - 1);
    match data_type {
        DataType::UInt8 => Arc::new(
            cells
                .each(|row| u8::try_from(truncated(row, 8)).unwrap())
                .collect::<UInt8Array>(),
        ),
        DataType::UInt16 => Arc::new(
            cells
                .each(|row| u16::try_from(truncated(row, 16)).unwrap())
                .collect::<UInt16Array>(),
        ),
        DataType::UInt32 => Arc::new(
            cells
                .each(|row| u32::try_from(truncated(row, 32)).unwrap())
                .collect::<UInt32Array>(),
        ),
        DataType::UInt64 => Arc::new(cells.each(|row| cells.number(row, u64::MAX)).collect::<UInt64Array>()),
        DataType::Int32 => Arc::new(
            cells
                .each(|row| -i32::try_from(truncated(row, 31)).unwrap())
                .collect::<Int32Array>(),
        ),
        DataType::Int64 => Arc::new(cells.each(|row| -cells.time(row)).collect::<Int64Array>()),
        DataType::Boolean => Arc::new(cells.each(|row| row % 2 == 1).collect::<BooleanArray>()),
        DataType::Utf8 => Arc::new(cells.each(|row| cells.text(row)).collect::<StringArray>()),
        DataType::Timestamp(..) => {
            let times: TimestampNanosecondArray = cells.each(|row| cells.time(row)).collect();
            Arc::new(times.with_timezone("UTC"))
        }
        DataType::FixedSizeBinary(size) => {
            let addresses = cells.each(|row| cells.address(row));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(addresses, *size).unwrap())
        }
        DataType::Dictionary(..) => {
            let mut builder = StringDictionaryBuilder::<Int32Type>::new();
            for word in cells.each(|row| cells.words[row / 2 % cells.words.len()].clone()) {
                builder.append_option(word);
            }
            Arc::new(builder.finish())
        }
        DataType::List(item) => Arc::new(list(item, cells)),
        DataType::Struct(fields) => {
            let field = |(index, field): (usize, &Arc<Field>)| {
                let present = |row: &Option<usize>| row.filter(|row| !field.is_nullable() || row.is_multiple_of(2));
                let rows = cells.rows.iter().map(present).collect();
                array(
                    field.data_type(),
                    &Cells {
                        place: cells.place + index,
                        words: Vec::new(),
                        rows,
                    },
                )
            };
            let columns = fields.iter().enumerate().map(field).collect();
            Arc::new(StructArray::new(fields.clone(), columns, None))
        }
        other => panic!("no column of a tape has type {other}"),
    }
}

/// Lists of none, one or two items.
fn list(item: &Arc<Field>, cells: &Cells) -> ListArray {
    let length = |row: &Option<usize>| row.map_or(0, |row| row / 2 % 3);
    let items = cells
        .rows
        .iter()
        .flat_map(|row| (0..length(row)).map(move |index| row.map(|row| row + index)));
    let rows: Vec<Option<usize>> = items.collect();
    let values = array(
        item.data_type(),
        &Cells {
            place: cells.place,
            words: Vec::new(),
            rows,
        },
    );
    assert_eq!(values.null_count(), 0);
    let nulls: NullBuffer = cells.rows.iter().map(Option::is_some).collect();
    ListArray::new(
        Arc::clone(item),
        OffsetBuffer::from_lengths(cells.rows.iter().map(length)),
        values,
        Some(nulls),
    )
}
