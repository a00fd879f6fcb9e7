//! Tables as Parquet files: deterministic bytes out, checked rows in.
//!
//! Every file carries the schema version and the name of its table in the footer's key-value metadata, so that a file
//! explains itself when its manifest is lost. Row groups hold [`ROW_GROUP_ROWS`] rows: the unit of parallel decoding,
//! and what footer statistics let a reader skip. Times are delta-encoded, everything else is dictionary-encoded and
//! compressed with zstd. The writer takes any sink and the reader any chunk source: this module opens no file.

use std::io::Write;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::datatypes::{DataType, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;

use crate::table::{ColumnError, Row, arrow_schema};
use crate::version::{CURRENT, SchemaVersion, VersionError};

/// Rows of a row group, and of the recorder's sort buffer.
pub const ROW_GROUP_ROWS: usize = 131_072;

/// Rows decoded at a time: bounds the memory of a reader whatever a file claims.
const BATCH_ROWS: usize = 16_384;

const KEY_SCHEMA: &str = "flowtape.schema";
const KEY_TABLE: &str = "flowtape.table";

/// Why a file cannot be read as a table.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file is damaged, truncated or no Parquet at all.
    #[error("not a readable Parquet file: {0}; it is damaged or was not closed; take it from the recording again")]
    Parquet(#[from] ParquetError),
    /// The decoder gave up on damaged content.
    #[error("damaged Parquet content: {0}; take the file from the recording again")]
    Damaged(String),
    /// The footer does not say what table this is.
    #[error("footer lacks `{key}`: this Parquet file was not written by flowtape")]
    Foreign {
        /// The metadata key that is absent.
        key: &'static str,
    },
    /// The file holds another table than its name says.
    #[error("holds table `{found}`, expected `{expected}`; the file was renamed or misplaced")]
    OtherTable {
        /// The table its place and name promise.
        expected: String,
        /// The table the footer names.
        found: String,
    },
    /// The schema version cannot be read.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The reader refuses to hold what the content expands to.
    #[error("expands to more rows or text than the reader admits; it is damaged, or made to exhaust memory")]
    TooLarge,
    /// Columns are missing or hold something else; every problem is listed.
    #[error("{}", joined(.0))]
    Columns(Vec<ColumnError>),
}

fn joined(problems: &[ColumnError]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Writes rows of one table into a sink.
pub struct TableWriter<W: Write + Send, R: Row> {
    writer: ArrowWriter<W>,
    rows: u64,
    table: PhantomData<R>,
}

impl<W: Write + Send, R: Row> TableWriter<W, R> {
    /// Begins a file.
    pub fn new(sink: W) -> Result<Self, FileError> {
        let writer = ArrowWriter::try_new(sink, arrow_schema(R::columns()), Some(properties::<R>()?))?;
        Ok(Self {
            writer,
            rows: 0,
            table: PhantomData,
        })
    }

    /// Appends rows; they are on the sink once their row group is full or flushed.
    pub fn write(&mut self, rows: &[R]) -> Result<(), FileError> {
        for part in rows.chunks(ROW_GROUP_ROWS) {
            self.writer.write(&R::encode(part))?;
            self.rows += part.len() as u64;
        }
        Ok(())
    }

    /// Ends the present row group.
    pub fn flush(&mut self) -> Result<(), FileError> {
        Ok(self.writer.flush()?)
    }

    /// Bytes that the file would have if it ended now: written, and an estimate for what is buffered.
    #[must_use]
    pub fn estimated_bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes the footer and gives the sink back.
    pub fn finish(self) -> Result<W, FileError> {
        Ok(self.writer.into_inner()?)
    }
}

/// A whole file in memory.
pub fn encode_file<R: Row>(rows: &[R]) -> Result<Vec<u8>, FileError> {
    let mut writer = TableWriter::<_, R>::new(Vec::new())?;
    writer.write(rows)?;
    writer.finish()
}

fn properties<R: Row>() -> Result<WriterProperties, FileError> {
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let mut properties = WriterProperties::builder()
        .set_created_by("flowtape".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(vec![
            pair(KEY_SCHEMA, CURRENT.to_string()),
            pair(KEY_TABLE, R::TABLE.to_owned()),
        ]));
    for column in R::columns() {
        if matches!(column.data_type, DataType::Timestamp(TimeUnit::Nanosecond, _)) {
            let path = ColumnPath::from(column.name);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(properties.build())
}

/// An opened file of a table: its footer is read, its rows are not.
pub struct TableFile<C> {
    source: C,
    metadata: ArrowReaderMetadata,
    version: SchemaVersion,
    table: String,
}

impl<C: ChunkReader + Clone + 'static> TableFile<C> {
    /// Reads the footer and refuses what is no table of a readable version.
    pub fn open(source: C) -> Result<Self, FileError> {
        let metadata = guarded(|| Ok(ArrowReaderMetadata::load(&source, ArrowReaderOptions::default())?))?;
        let pairs = metadata.metadata().file_metadata().key_value_metadata();
        let value = |key: &'static str| {
            let pair = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == key));
            pair.and_then(|pair| pair.value.clone())
                .ok_or(FileError::Foreign { key })
        };
        let version: SchemaVersion = value(KEY_SCHEMA)?.parse()?;
        version.check_readable()?;
        let table = value(KEY_TABLE)?;
        Ok(Self {
            source,
            metadata,
            version,
            table,
        })
    }

    /// Schema version the file was written with.
    #[must_use]
    pub fn version(&self) -> SchemaVersion {
        self.version
    }

    /// Table the file says it holds.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Rows the footer promises.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Number of row groups: units of parallel decoding.
    #[must_use]
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Bytes that one row group takes in memory at most, told before anything of it is decoded; counting stops above
    /// `limit`. What a file hides in compression and dictionaries can be many thousand times its size.
    pub fn group_bytes<R: Row>(&self, group: usize, limit: u64) -> Result<u64, FileError> {
        let metadata = self.metadata.metadata().row_group(group);
        let rows = u64::try_from(metadata.num_rows()).unwrap_or(u64::MAX);
        let rows = rows.saturating_mul(size_of::<R>() as u64);
        if rows > limit {
            return Ok(rows);
        }
        let decoded = guarded(|| Ok(crate::pages::group_bytes(&self.source, metadata, limit)?))?;
        Ok(rows.saturating_add(decoded))
    }

    /// Refuses a file that holds another table than `R`.
    pub fn check_table<R: Row>(&self) -> Result<(), FileError> {
        if self.table == R::TABLE {
            return Ok(());
        }
        Err(FileError::OtherTable {
            expected: R::TABLE.to_owned(),
            found: self.table.clone(),
        })
    }

    /// Decodes one row group, a bounded number of rows at a time.
    pub fn read_group<R: Row>(
        &self,
        group: usize,
        each: &mut dyn FnMut(Vec<R>) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        self.check_table::<R>()?;
        let mut batches = guarded(|| self.batches(group))?;
        while let Some(batch) = guarded(|| Ok(batches.next().transpose().map_err(ParquetError::from)?))? {
            each(guarded(|| R::decode(&batch).map_err(FileError::Columns))?)?;
        }
        Ok(())
    }

    /// Decodes all rows.
    pub fn read_all<R: Row>(&self) -> Result<Vec<R>, FileError> {
        self.check_table::<R>()?;
        let mut rows = Vec::new();
        for group in 0..self.row_groups() {
            self.read_group(group, &mut |batch: Vec<R>| {
                rows.extend(batch);
                Ok(())
            })?;
        }
        Ok(rows)
    }

    fn batches(&self, group: usize) -> Result<ParquetRecordBatchReader, FileError> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), self.metadata.clone());
        Ok(builder
            .with_row_groups(vec![group])
            .with_batch_size(BATCH_ROWS)
            .build()?)
    }
}

/// Reads a whole file from memory.
pub fn decode_file<R: Row>(bytes: Bytes) -> Result<Vec<R>, FileError> {
    TableFile::open(bytes)?.read_all()
}

/// Decoders of damaged Parquet have panicked before; a damaged tape is bad input, not a bug of ours.
fn guarded<T>(decode: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(FileError::Damaged(
            text.unwrap_or_else(|| "the decoder stopped".to_owned()),
        ))
    })
}
