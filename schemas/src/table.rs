//! Declares a table once: the row type, its columns with their documentation, and both conversions to Arrow.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};

use crate::value::ValueError;

/// One column of a table, as `SCHEMA.md` prints it and every file's field metadata carries it.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name in the file.
    pub name: &'static str,
    /// Arrow type.
    pub data_type: DataType,
    /// Whether a cell may be null.
    pub nullable: bool,
    /// What it holds, with its unit.
    pub doc: String,
    /// The words it may hold with their meaning; none unless it is an enumeration.
    pub words: Vec<(&'static str, String)>,
}

/// Which directory of a tape a table's files stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `node=<name>/`, written by the recorder of that node.
    Node,
    /// `cluster/`, written by the metadata recorder.
    Cluster,
    /// `import/`, written by an importer of other tools' recordings.
    Import,
}

/// A problem with the columns of one batch or file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// The file lacks a column that the schema requires.
    #[error("column `{column}` is missing")]
    Missing {
        /// Name of the column.
        column: &'static str,
    },
    /// The column holds something else than it should.
    #[error("column `{column}` {error}")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// What is wrong with it.
        error: ValueError,
    },
}

/// A row of one table of a tape.
pub trait Row: Sized {
    /// Name of the table, and the stem of its files.
    const TABLE: &'static str;
    /// Where its files stand.
    const PLACE: Place;
    /// What the table is for.
    fn doc() -> String;
    /// Its columns, in file order.
    fn columns() -> Vec<Column>;
    /// Rows to an Arrow batch.
    fn encode(rows: &[Self]) -> RecordBatch;
    /// An Arrow batch to rows, or every problem of its columns. Columns the schema does not know are ignored: a
    /// newer minor version may have added them. A nullable column may be absent: an older minor version lacked it.
    fn decode(batch: &RecordBatch) -> Result<Vec<Self>, Vec<ColumnError>>;
}

/// The Arrow schema of a table, its column docs in the field metadata under `doc`.
#[must_use]
pub fn arrow_schema(columns: Vec<Column>) -> Arc<Schema> {
    let field = |column: Column| {
        Field::new(column.name, column.data_type, column.nullable)
            .with_metadata([("doc".to_owned(), column.doc)].into_iter().collect())
    };
    Arc::new(Schema::new(columns.into_iter().map(field).collect::<Vec<_>>()))
}

/// Joins the lines of a documentation comment.
#[must_use]
pub fn joined_doc(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Declares the row type of a table.
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        pub struct $row:ident in $place:ident $table:literal {
            $($(#[doc = $column_doc:literal])+ pub $column:ident: $cell:ty),* $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $row { $($(#[doc = $column_doc])+ pub $column: $cell),* }

        impl $crate::table::Row for $row {
            const TABLE: &'static str = $table;
            const PLACE: $crate::table::Place = $crate::table::Place::$place;

            fn doc() -> String {
                $crate::table::joined_doc(&[$($doc),+])
            }

            fn columns() -> Vec<$crate::table::Column> {
                vec![$($crate::table::Column {
                    name: stringify!($column),
                    data_type: <<$cell as $crate::value::Cell>::Inner as $crate::value::Value>::data_type(),
                    nullable: <$cell as $crate::value::Cell>::NULLABLE,
                    doc: $crate::table::joined_doc(&[$($column_doc),+]),
                    words: <<$cell as $crate::value::Cell>::Inner as $crate::value::Value>::words(),
                }),*]
            }

            fn encode(rows: &[Self]) -> arrow::array::RecordBatch {
                let schema = $crate::table::arrow_schema(<Self as $crate::table::Row>::columns());
                let columns = vec![$($crate::table::encode_column(rows, |row: &Self| &row.$column)),*];
                arrow::array::RecordBatch::try_new(schema, columns).expect("columns and schema come from one declaration")
            }

            fn decode(batch: &arrow::array::RecordBatch) -> Result<Vec<Self>, Vec<$crate::table::ColumnError>> {
                let mut problems = Vec::new();
                $(let $column = $crate::table::decode_column::<$cell>(batch, stringify!($column), &mut problems);)*
                if !problems.is_empty() {
                    return Err(problems);
                }
                $(let mut $column = $column.into_iter();)*
                let row = |_| Some(Self { $($column: $column.next()?),* });
                Ok((0..batch.num_rows()).map_while(row).collect())
            }
        }
    };
}
pub(crate) use table;

/// Declares a struct that is stored as one nested column.
macro_rules! record {
    (
        $(#[doc = $doc:literal])+
        pub struct $record:ident { $($(#[doc = $field_doc:literal])+ pub $field:ident: $cell:ty),* $(,)? }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $record { $($(#[doc = $field_doc])+ pub $field: $cell),* }

        impl $record {
            fn fields() -> arrow::datatypes::Fields {
                vec![$(arrow::datatypes::Field::new(
                    stringify!($field),
                    <<$cell as $crate::value::Cell>::Inner as $crate::value::Value>::data_type(),
                    <$cell as $crate::value::Cell>::NULLABLE,
                )),*].into()
            }
        }

        impl $crate::value::Value for $record {
            fn data_type() -> arrow::datatypes::DataType {
                arrow::datatypes::DataType::Struct(Self::fields())
            }

            fn encode<'a>(values: &mut dyn Iterator<Item = Option<&'a Self>>) -> arrow::array::ArrayRef {
                // Nested records only stand in lists, whose items are never null.
                let records: Vec<&Self> = values.flatten().collect();
                let columns = vec![$($crate::table::encode_column(&records, |record: &&'a Self| &record.$field)),*];
                std::sync::Arc::new(arrow::array::StructArray::new(Self::fields(), columns, None))
            }

            fn decode(array: &dyn arrow::array::Array) -> Result<Vec<Option<Self>>, $crate::value::ValueError> {
                use arrow::array::AsArray as _;
                $crate::value::check_type(array, &Self::data_type())?;
                let records = array.as_struct();
                let mut columns = records.columns().iter();
                $(let mut $field = $crate::table::next_cells::<$cell>(&mut columns)?.into_iter();)*
                let record = |_| Some(Some(Self { $($field: $field.next()?),* }));
                Ok((0..array.len()).map_while(record).collect())
            }
        }
    };
}
pub(crate) use record;

pub(crate) fn encode_column<'a, R, C: crate::value::Cell + 'a>(
    rows: &'a [R],
    cell: impl Fn(&'a R) -> &'a C,
) -> arrow::array::ArrayRef {
    <C::Inner as crate::value::Value>::encode(&mut rows.iter().map(|row| cell(row).inner()))
}

pub(crate) fn decode_column<C: crate::value::Cell>(
    batch: &RecordBatch,
    column: &'static str,
    problems: &mut Vec<ColumnError>,
) -> Vec<C> {
    let Some(array) = batch.column_by_name(column) else {
        if C::NULLABLE {
            return (0..batch.num_rows()).map_while(|_| C::from_inner(None)).collect();
        }
        problems.push(ColumnError::Missing { column });
        return Vec::new();
    };
    crate::value::decode_cells(array.as_ref()).unwrap_or_else(|error| {
        problems.push(ColumnError::Value { column, error });
        Vec::new()
    })
}

pub(crate) fn next_cells<C: crate::value::Cell>(
    columns: &mut std::slice::Iter<'_, arrow::array::ArrayRef>,
) -> Result<Vec<C>, ValueError> {
    columns
        .next()
        .map_or_else(|| Ok(Vec::new()), |column| crate::value::decode_cells(column.as_ref()))
}
