//! What a row group takes in memory, from the headers of its pages, before anything is decoded.
//!
//! Compression and dictionaries can hide terabytes in a few kilobytes: a page of equal bytes, one long text and a run of
//! a billion references to it, a list of a billion empty items. The sizes in the footer are not what a decoder goes by,
//! so a hostile file may say anything there. It does go by the page headers, and checks that pages decompress to
//! exactly what their headers say; so these are what is added up here. Only dictionaries are decompressed, for the
//! length of their longest text, and only after their size was added.
//!
//! Sources: `parquet.thrift` of the Apache Parquet format 2.12 (`PageHeader` and below), the Thrift compact protocol.

use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::page::{Page, PageReader as _};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

/// A value's levels and the cell of a row that holds it, without its text, in bytes.
const VALUE_BYTES: u64 = 36;

/// How deep structs may be nested in a page header. The format has two levels.
const DEPTH: usize = 8;

/// Bytes that decoding a row group takes at most, without the rows themselves; stops counting above `limit`.
pub(crate) fn group_bytes<C: ChunkReader + Clone + 'static>(
    source: &C,
    group: &RowGroupMetaData,
    limit: u64,
) -> Result<u64, ParquetError> {
    let mut sum = 0_u64;
    for column in group.columns() {
        let rows = usize::try_from(group.num_rows())?;
        sum = sum.saturating_add(column_bytes(source, column, rows, limit)?);
        if sum > limit {
            break;
        }
    }
    Ok(sum)
}

fn column_bytes<C: ChunkReader + Clone + 'static>(
    source: &C,
    column: &ColumnChunkMetaData,
    rows: usize,
    limit: u64,
) -> Result<u64, ParquetError> {
    let (start, length) = column.byte_range();
    let chunk = source.get_bytes(start, usize::try_from(length)?)?;
    let pages = headers(&chunk)?;
    let sizes = pages.iter().map(|page| page.bytes).fold(0, u64::saturating_add);
    let values = pages.iter().map(|page| page.values).fold(0, u64::saturating_add);
    let plain = sizes.saturating_add(values.saturating_mul(VALUE_BYTES));
    if plain > limit {
        return Ok(plain);
    }
    let longest = longest_value(source, column, rows)?;
    let text = pages.iter().map(|page| match page.text {
        TextIn::Page => 0,
        TextIn::Dictionary => page.values.saturating_mul(longest),
        TextIn::Predecessor => page.values.saturating_mul(page.bytes),
    });
    Ok(text.fold(plain, u64::saturating_add))
}

/// Length of the longest value of a column's dictionary, in bytes; 0 where every value has a few bytes.
fn longest_value<C: ChunkReader + Clone + 'static>(
    source: &C,
    column: &ColumnChunkMetaData,
    rows: usize,
) -> Result<u64, ParquetError> {
    match column.column_type() {
        Type::BYTE_ARRAY => {}
        Type::FIXED_LEN_BYTE_ARRAY => return Ok(u64::try_from(column.column_descr().type_length()).unwrap_or(0)),
        Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::INT96 | Type::FLOAT | Type::DOUBLE => return Ok(0),
    }
    let mut pages = SerializedPageReader::new(Arc::new(source.clone()), column, rows, None)?;
    let mut longest = 0;
    while let Some(next) = pages.peek_next_page()? {
        if !next.is_dict {
            pages.skip_next_page()?;
        } else if let Some(Page::DictionaryPage { buf, .. }) = pages.get_next_page()? {
            longest = longest.max(longest_text(&buf)?);
        }
    }
    Ok(longest)
}

/// Length of the longest text of a dictionary: each has four bytes with its length before it.
fn longest_text(dictionary: &[u8]) -> Result<u64, ParquetError> {
    let (mut rest, mut longest) = (dictionary, 0);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(u64::from(length));
        rest = after.get(usize::try_from(length)?..).unwrap_or_default();
    }
    Ok(longest)
}

/// Where the text of a page's values stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextIn {
    /// In the page itself.
    Page,
    /// In the dictionary of the column.
    Dictionary,
    /// Partly in the value before: encoding `DELTA_BYTE_ARRAY`.
    Predecessor,
}

/// What matters of a page header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// Size of the page, decompressed.
    bytes: u64,
    /// Values in the page; none in a dictionary.
    values: u64,
    text: TextIn,
}

/// The headers of all pages of a column chunk.
fn headers(chunk: &[u8]) -> Result<Vec<Header>, ParquetError> {
    let mut headers = Vec::new();
    let mut rest = chunk;
    while !rest.is_empty() {
        let mut reader = Reader { rest };
        let fields = reader.page_header().ok_or_else(|| broken("page header"))?;
        let size = |size: Option<i64>| size.and_then(|size| u64::try_from(size).ok());
        let bytes = size(fields.uncompressed).ok_or_else(|| broken("page size"))?;
        let stored = size(fields.compressed).ok_or_else(|| broken("page size"))?;
        headers.push(Header {
            bytes,
            values: size(fields.values.or(Some(0))).ok_or_else(|| broken("number of values"))?,
            text: match fields.encoding {
                Some(2 | 8) => TextIn::Dictionary,
                Some(7) => TextIn::Predecessor,
                Some(_) | None => TextIn::Page,
            },
        });
        let stored = usize::try_from(stored)?;
        rest = reader.rest.get(stored..).ok_or_else(|| broken("page size"))?;
    }
    Ok(headers)
}

fn broken(what: &str) -> ParquetError {
    ParquetError::General(format!("invalid {what}"))
}

/// The fields of a page header that matter. Of a field that is repeated the last one counts, as for the decoder.
#[derive(Default)]
struct Fields {
    uncompressed: Option<i64>,
    compressed: Option<i64>,
    values: Option<i64>,
    encoding: Option<i64>,
}

/// Reads the Thrift compact protocol; `None` where the bytes are none.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// `PageHeader`: 2 and 3 are the sizes, 5 and 8 the headers of data pages, 7 that of a dictionary.
    fn page_header(&mut self) -> Option<Fields> {
        let mut fields = Fields::default();
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            match id {
                2 => fields.uncompressed = Some(self.number()?),
                3 => fields.compressed = Some(self.number()?),
                // Values and encoding are 1 and 2 in a `DataPageHeader`, 1 and 4 in a `DataPageHeaderV2`.
                5 => self.data_page(&mut fields, 2)?,
                8 => self.data_page(&mut fields, 4)?,
                _ => self.skip(kind, DEPTH)?,
            }
        }
        Some(fields)
    }

    fn data_page(&mut self, fields: &mut Fields, encoding: i64) -> Option<()> {
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            if id == 1 {
                fields.values = Some(self.number()?);
            } else if id == encoding {
                fields.encoding = Some(self.number()?);
            } else {
                self.skip(kind, DEPTH)?;
            }
        }
        Some(())
    }

    /// Id and kind of the next field of a struct; the inner `None` ends it.
    #[expect(clippy::option_option, reason = "the end of a struct is not the end of the bytes")]
    fn field(&mut self, last: &mut i64) -> Option<Option<(i64, u8)>> {
        let byte = self.byte()?;
        let (delta, kind) = (byte >> 4, byte & 0xf);
        if kind == 0 {
            return Some(None);
        }
        *last = if delta == 0 {
            self.number()?
        } else {
            last.saturating_add(i64::from(delta))
        };
        Some(Some((*last, kind)))
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A zigzag number: 0, -1, 1, -2 ...
    fn number(&mut self) -> Option<i64> {
        let raw = self.varint()?;
        let half = i64::try_from(raw >> 1).ok()?;
        Some(if raw & 1 == 0 { half } else { -half - 1 })
    }

    fn take(&mut self, bytes: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }

    /// Skips a value of a kind, by the numbers of the compact protocol.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            1 | 2 => Some(()),
            3 => self.take(1),
            4..=6 => self.varint().map(drop),
            7 => self.take(8),
            8 => {
                let length = self.varint()?;
                self.take(length)
            }
            9 | 10 => {
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 {
                    self.varint()?
                } else {
                    u64::from(byte >> 4)
                };
                (0..count).try_for_each(|_| self.skip_item(byte & 0xf, depth))
            }
            12 => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth)?;
                }
                Some(())
            }
            // 11 is a map, which no header has.
            _ => None,
        }
    }

    /// An item of a list; a boolean takes a byte there.
    fn skip_item(&mut self, kind: u8, depth: usize) -> Option<()> {
        if kind == 1 || kind == 2 {
            self.take(1)
        } else {
            self.skip(kind, depth)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, TextIn, headers};

    #[test]
    fn a_data_page_of_a_dictionary_and_a_page_of_version_2() {
        // type 0, sizes 40 and 2, data page {values 500, encoding 8, levels 3 and 3}, 2 bytes of data.
        let mut chunk = vec![
            0x15, 0, 0x15, 80, 0x15, 4, 0x2c, 0x15, 0xe8, 0x07, 0x15, 16, 0x15, 6, 0x15, 6, 0, 0, 9, 9,
        ];
        // type 3, sizes 7 and 1, page of version 2 {values 3, nulls 0, rows 3, encoding 7 ...}, 1 byte of data.
        chunk.extend([
            0x15, 6, 0x15, 14, 0x15, 2, 0x5c, 0x15, 6, 0x15, 0, 0x15, 6, 0x15, 14, 0, 0, 9,
        ]);
        let (first, second) = (
            Header {
                bytes: 40,
                values: 500,
                text: TextIn::Dictionary,
            },
            Header {
                bytes: 7,
                values: 3,
                text: TextIn::Predecessor,
            },
        );
        assert_eq!(headers(&chunk).unwrap(), [first, second]);
    }

    #[test]
    fn bytes_that_are_no_headers_are_an_error() {
        for chunk in [
            &[0x15][..],
            &[0xff; 40],
            &[0x19, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x15, 0, 0x15, 80, 0x15, 4, 0],
        ] {
            assert!(headers(chunk).is_err(), "{chunk:?}");
        }
        assert_eq!(headers(&[]).unwrap(), []);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(chunk in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = headers(&chunk);
            // Behind the beginning of a real header, more of the code is reached.
            let real = [0x15, 0, 0x15, 80, 0x15, 4, 0x2c, 0x15, 0xe8, 0x07];
            let _ = headers(&[&real[..], &chunk].concat());
        }
    }
}
