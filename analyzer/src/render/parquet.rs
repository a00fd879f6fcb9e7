//! Tables as Parquet, for whatever reads tapes, too.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::frame::{Cells, Column, Frame};

/// The whole file: the same table, the same bytes. What a column holds stands in its field's metadata under `doc`.
pub fn bytes(frame: &Frame) -> Result<Vec<u8>, ParquetError> {
    let arrays: Vec<ArrayRef> = frame.columns.iter().map(|column| array(&column.cells)).collect();
    let fields: Vec<Field> = frame.columns.iter().zip(&arrays).map(field).collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder()
        .set_created_by("flowtape".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
    writer.write(&RecordBatch::try_new(schema, arrays)?)?;
    writer.into_inner()
}

fn field((column, array): (&Column, &ArrayRef)) -> Field {
    let field = Field::new(&column.name, array.data_type().clone(), true);
    if column.doc.is_empty() {
        return field;
    }
    field.with_metadata([("doc".to_owned(), column.doc.clone())].into())
}

fn array(cells: &Cells) -> ArrayRef {
    match cells {
        Cells::Text(cells) => Arc::new(StringArray::from_iter(cells)),
        Cells::Integer(cells) => Arc::new(Int64Array::from_iter(cells)),
        Cells::Number(cells) => Arc::new(Float64Array::from_iter(cells)),
        Cells::Boolean(cells) => Arc::new(BooleanArray::from_iter(cells)),
        Cells::Time(cells) => {
            let nanos = cells.iter().map(|cell| cell.map(|time| time.0));
            Arc::new(nanos.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
        }
    }
}
