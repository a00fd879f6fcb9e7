//! How one Rust value becomes one cell of an Arrow column, and back.
//!
//! [`Value`] is a type with a column type of its own; [`Cell`] is what a row's field may be: a `Value`, or an
//! `Option` of one, which makes the column nullable.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, FixedSizeBinaryBuilder, ListArray, PrimitiveArray, StringArray,
    StringDictionaryBuilder, StructArray, TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Fields, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use crate::address::Address;
use crate::time::Time;

/// Why a column does not hold the values it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The column has another Arrow type.
    #[error("has type {found}, expected {expected}")]
    Type {
        /// Arrow type of the schema.
        expected: String,
        /// Arrow type of the file.
        found: String,
    },
    /// A cell that must have a value is null.
    #[error("has a null in row {row}, where a value is required")]
    Null {
        /// Row within the batch, from 0.
        row: usize,
    },
    /// A word that the schema does not list for this column.
    #[error("has `{word}` in row {row}, which is not one of: {expected}")]
    Word {
        /// The word found.
        word: String,
        /// Row within the batch, from 0.
        row: usize,
        /// The words of the schema, comma separated.
        expected: String,
    },
}

/// A type that has an Arrow column type of its own.
pub trait Value: Sized + 'static {
    /// The Arrow type of the column.
    fn data_type() -> DataType;
    /// Builds the column; `None` becomes null.
    fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> ArrayRef;
    /// Reads the column; null becomes `None`.
    fn decode(array: &dyn Array) -> Result<Vec<Option<Self>>, ValueError>;
    /// The words of an enumeration with their meaning; none for any other type.
    #[must_use]
    fn words() -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// A field of a row: a [`Value`] or an `Option` of one.
pub trait Cell: Sized {
    /// The value inside.
    type Inner: Value;
    /// Whether the column may hold nulls.
    const NULLABLE: bool;
    /// The value, if there is one.
    fn inner(&self) -> Option<&Self::Inner>;
    /// The cell of a decoded value; `None` where a value is required.
    fn from_inner(value: Option<Self::Inner>) -> Option<Self>;
}

impl<T: Value> Cell for T {
    type Inner = T;
    const NULLABLE: bool = false;

    fn inner(&self) -> Option<&T> {
        Some(self)
    }

    fn from_inner(value: Option<T>) -> Option<Self> {
        value
    }
}

impl<T: Value> Cell for Option<T> {
    type Inner = T;
    const NULLABLE: bool = true;

    fn inner(&self) -> Option<&T> {
        self.as_ref()
    }

    fn from_inner(value: Option<T>) -> Option<Self> {
        Some(value)
    }
}

/// Reads a whole column of cells, refusing nulls where a value is required.
pub fn decode_cells<C: Cell>(array: &dyn Array) -> Result<Vec<C>, ValueError> {
    let values = <C::Inner as Value>::decode(array)?;
    let cells = values.into_iter().enumerate();
    cells
        .map(|(row, value)| C::from_inner(value).ok_or(ValueError::Null { row }))
        .collect()
}

/// Refuses an array of another type than `expected`.
pub fn check_type(array: &dyn Array, expected: &DataType) -> Result<(), ValueError> {
    if array.data_type() == expected {
        return Ok(());
    }
    Err(ValueError::Type {
        expected: expected.to_string(),
        found: array.data_type().to_string(),
    })
}

fn decode_primitive<P: ArrowPrimitiveType>(array: &dyn Array) -> Vec<Option<P::Native>> {
    array.as_primitive::<P>().iter().collect()
}

macro_rules! primitive_value {
    ($($rust:ty => $arrow:ty),* $(,)?) => {$(
        impl Value for $rust {
            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }

            fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> ArrayRef {
                Arc::new(values.map(Option::<&Self>::copied).collect::<PrimitiveArray<$arrow>>())
            }

            fn decode(array: &dyn Array) -> Result<Vec<Option<Self>>, ValueError> {
                check_type(array, &Self::data_type())?;
                Ok(decode_primitive::<$arrow>(array))
            }
        }
    )*};
}

primitive_value! {
    u8 => UInt8Type,
    u16 => UInt16Type,
    u32 => UInt32Type,
    u64 => UInt64Type,
    i32 => Int32Type,
    i64 => Int64Type,
}

impl Value for bool {
    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> ArrayRef {
        Arc::new(values.map(Option::<&Self>::copied).collect::<BooleanArray>())
    }

    fn decode(array: &dyn Array) -> Result<Vec<Option<Self>>, ValueError> {
        check_type(array, &Self::data_type())?;
        Ok(array.as_boolean().iter().collect())
    }
}

impl Value for String {
    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> ArrayRef {
        Arc::new(values.collect::<StringArray>())
    }

    fn decode(array: &dyn Array) -> Result<Vec<Option<Self>>, ValueError> {
        check_type(array, &Self::data_type())?;
        Ok(array
            .as_string::<i32>()
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect())
    }
}

impl Value for Time {
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
    }

    fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> ArrayRef {
        Arc::new(
            values
                .map(|time| time.map(|time| time.0))
                .collect::<TimestampNanosecondArray>()
                .with_timezone("UTC"),
        )
    }

    fn decode(array: &dyn Array) -> Result<Vec<Option<Self>>, ValueError> {
        check_type(array, &Self::data_type())?;
        Ok(array
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .map(|nanos| nanos.map(Time))
            .collect())
    }
}

impl Value for Address {
    fn data_type() -> DataType {
        DataType::FixedSizeBinary(16)
    }

    fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> ArrayRef {
        let mut builder = FixedSizeBinaryBuilder::new(16);
        for value in values {
            match value {
                Some(address) => builder.append_value(address.bytes()).expect("an address has 16 bytes"),
                None => builder.append_null(),
            }
        }
        Arc::new(builder.finish())
    }

    fn decode(array: &dyn Array) -> Result<Vec<Option<Self>>, ValueError> {
        check_type(array, &Self::data_type())?;
        let bytes = array.as_fixed_size_binary().iter();
        Ok(bytes
            .map(|value| value.and_then(|bytes| bytes.try_into().ok().map(Self::from_bytes)))
            .collect())
    }
}

impl<T: Value> Value for Vec<T> {
    fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new("item", T::data_type(), false)))
    }

    fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> ArrayRef {
        let lists: Vec<Option<&Self>> = values.collect();
        let lengths = lists.iter().map(|list| list.map_or(0, Vec::len));
        let nulls: NullBuffer = lists.iter().map(Option::is_some).collect();
        let items = T::encode(&mut lists.iter().flatten().flat_map(|list| list.iter().map(Some)));
        let field = Arc::new(Field::new("item", T::data_type(), false));
        Arc::new(ListArray::new(
            field,
            OffsetBuffer::from_lengths(lengths),
            items,
            Some(nulls),
        ))
    }

    fn decode(array: &dyn Array) -> Result<Vec<Option<Self>>, ValueError> {
        check_type(array, &Self::data_type())?;
        let lists = array.as_list::<i32>();
        let decode_list = |list: ArrayRef| decode_cells::<T>(list.as_ref());
        lists.iter().map(|list| list.map(decode_list).transpose()).collect()
    }
}

/// Key and value of a label, annotation or selector; a list of pairs, since not every tool reads Arrow maps.
impl Value for BTreeMap<String, String> {
    fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new("item", DataType::Struct(pair_fields()), false)))
    }

    fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> ArrayRef {
        let maps: Vec<Option<&Self>> = values.collect();
        let lengths = maps.iter().map(|map| map.map_or(0, BTreeMap::len));
        let nulls: NullBuffer = maps.iter().map(Option::is_some).collect();
        let keys = String::encode(&mut maps.iter().flatten().flat_map(|map| map.keys().map(Some)));
        let texts = String::encode(&mut maps.iter().flatten().flat_map(|map| map.values().map(Some)));
        let pairs = Arc::new(StructArray::new(pair_fields(), vec![keys, texts], None));
        let field = Arc::new(Field::new("item", DataType::Struct(pair_fields()), false));
        Arc::new(ListArray::new(
            field,
            OffsetBuffer::from_lengths(lengths),
            pairs,
            Some(nulls),
        ))
    }

    fn decode(array: &dyn Array) -> Result<Vec<Option<Self>>, ValueError> {
        check_type(array, &Self::data_type())?;
        let decode_map = |pairs: ArrayRef| {
            let pairs = pairs.as_struct();
            let keys = decode_cells::<String>(pairs.column(0).as_ref())?;
            let texts = decode_cells::<String>(pairs.column(1).as_ref())?;
            Ok(keys.into_iter().zip(texts).collect())
        };
        array
            .as_list::<i32>()
            .iter()
            .map(|map| map.map(decode_map).transpose())
            .collect()
    }
}

fn pair_fields() -> Fields {
    vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ]
    .into()
}

/// The words of an enumeration column, stored as dictionary-encoded text so that any tool reads them.
pub trait Words: Sized + Copy + 'static {
    /// Every value, in order.
    const ALL: &'static [Self];
    /// The word in the file.
    fn word(self) -> &'static str;
    /// The value of a word.
    fn from_word(word: &str) -> Option<Self>;
}

/// The Arrow type of every enumeration column.
#[must_use]
pub fn words_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Encodes a column of words.
pub fn encode_words<W: Words>(values: &mut dyn Iterator<Item = Option<&W>>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    for value in values {
        builder.append_option(value.map(|value| value.word()));
    }
    Arc::new(builder.finish())
}

/// Decodes a column of words; each distinct word is looked up once.
pub fn decode_words<W: Words>(array: &dyn Array) -> Result<Vec<Option<W>>, ValueError> {
    check_type(array, &words_type())?;
    let dictionary = array.as_dictionary::<Int32Type>();
    let texts = dictionary.values().as_string::<i32>();
    let values: Vec<Option<W>> = texts.iter().map(|text| text.and_then(W::from_word)).collect();
    let cell = |(row, key): (usize, Option<usize>)| {
        let Some(key) = key else { return Ok(None) };
        let unknown = || ValueError::Word {
            word: if key < texts.len() {
                texts.value(key).to_owned()
            } else {
                format!("dictionary key {key}")
            },
            row,
            expected: W::ALL.iter().map(|value| value.word()).collect::<Vec<_>>().join(", "),
        };
        values.get(key).copied().flatten().map(Some).ok_or_else(unknown)
    };
    let keys = dictionary
        .keys()
        .iter()
        .map(|key| key.and_then(|key| usize::try_from(key).ok()));
    keys.enumerate().map(cell).collect()
}

/// Declares an enumeration and the words it is stored as.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $doc])+ $variant),* }

        impl $crate::value::Words for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl $crate::value::Value for $name {
            fn data_type() -> arrow::datatypes::DataType {
                $crate::value::words_type()
            }

            fn encode(values: &mut dyn Iterator<Item = Option<&Self>>) -> arrow::array::ArrayRef {
                $crate::value::encode_words(values)
            }

            fn decode(array: &dyn arrow::array::Array) -> Result<Vec<Option<Self>>, $crate::value::ValueError> {
                $crate::value::decode_words(array)
            }

            fn words() -> Vec<(&'static str, String)> {
                vec![$(($word, $crate::table::joined_doc(&[$($doc),+]))),*]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str($crate::value::Words::word(*self))
            }
        }
    };
}
pub(crate) use words;
