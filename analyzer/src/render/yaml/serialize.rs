//! Serializable objects as trees, in one pass and without a value of another library in between.

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{Member, Tree, TreeError};

/// Makes a tree of whatever is serialized. Variants of enums are written as JSON has them.
pub(super) struct IntoTree;

/// A list that is being made, or the list in a variant of this name.
pub(super) struct Listing {
    members: Vec<Member>,
    variant: Option<&'static str>,
}

/// A mapping that is being made, or the mapping in a variant of this name.
pub(super) struct Mapping {
    fields: Vec<(String, Tree)>,
    key: Option<String>,
    variant: Option<&'static str>,
}

impl serde::ser::Error for TreeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Listing {
    fn new(length: usize, variant: Option<&'static str>) -> Self {
        Self {
            members: Vec::with_capacity(length),
            variant,
        }
    }

    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TreeError> {
        self.members.push(Member {
            notes: Vec::new(),
            value: value.serialize(IntoTree)?,
        });
        Ok(())
    }

    fn tree(self) -> Tree {
        in_variant(self.variant, Tree::List(self.members))
    }
}

impl Mapping {
    fn new(length: usize, variant: Option<&'static str>) -> Self {
        Self {
            fields: Vec::with_capacity(length),
            key: None,
            variant,
        }
    }

    fn add<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), TreeError> {
        self.fields.push((key, value.serialize(IntoTree)?));
        Ok(())
    }

    fn tree(self) -> Tree {
        in_variant(self.variant, Tree::Map(self.fields))
    }
}

fn in_variant(variant: Option<&'static str>, tree: Tree) -> Tree {
    match variant {
        Some(name) => Tree::Map(vec![(name.to_owned(), tree)]),
        None => tree,
    }
}

/// Keys of Kubernetes objects are text. Others, which JSON has not either, are written as the text that shows them.
fn key_text(key: Tree) -> Result<String, TreeError> {
    match key {
        Tree::Text(text) | Tree::Number(text) => Ok(text),
        Tree::Null => Ok("null".to_owned()),
        Tree::Bool(truth) => Ok(truth.to_string()),
        Tree::Map(_) | Tree::List(_) => Err(TreeError::custom("a key is no text")),
    }
}

macro_rules! numbers {
    ($($method:ident: $number:ty),*) => {
        $(fn $method(self, value: $number) -> Result<Tree, TreeError> {
            Ok(Tree::Number(value.to_string()))
        })*
    };
}

impl Serializer for IntoTree {
    type Ok = Tree;
    type Error = TreeError;
    type SerializeSeq = Listing;
    type SerializeTuple = Listing;
    type SerializeTupleStruct = Listing;
    type SerializeTupleVariant = Listing;
    type SerializeMap = Mapping;
    type SerializeStruct = Mapping;
    type SerializeStructVariant = Mapping;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    );

    fn serialize_bool(self, value: bool) -> Result<Tree, TreeError> {
        Ok(Tree::Bool(value))
    }

    // No object of a policy has one, and two readers need not agree on its digits.
    fn serialize_f32(self, value: f32) -> Result<Tree, TreeError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<Tree, TreeError> {
        Err(TreeError(format!("{value} is not a whole number")))
    }

    fn serialize_char(self, value: char) -> Result<Tree, TreeError> {
        Ok(Tree::Text(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Tree, TreeError> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Tree, TreeError> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<Tree, TreeError> {
        Ok(Tree::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, TreeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Tree, TreeError> {
        Ok(Tree::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Tree, TreeError> {
        Ok(Tree::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Tree, TreeError> {
        Ok(Tree::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Tree, TreeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Tree, TreeError> {
        Ok(in_variant(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Listing, TreeError> {
        Ok(Listing::new(length.unwrap_or_default(), None))
    }

    fn serialize_tuple(self, length: usize) -> Result<Listing, TreeError> {
        Ok(Listing::new(length, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Listing, TreeError> {
        Ok(Listing::new(length, None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Listing, TreeError> {
        Ok(Listing::new(length, Some(variant)))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Mapping, TreeError> {
        Ok(Mapping::new(length.unwrap_or_default(), None))
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Mapping, TreeError> {
        Ok(Mapping::new(length, None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Mapping, TreeError> {
        Ok(Mapping::new(length, Some(variant)))
    }
}

macro_rules! lists {
    ($($kind:ident: $add:ident),*) => {
        $(impl $kind for Listing {
            type Ok = Tree;
            type Error = TreeError;

            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TreeError> {
                self.add(value)
            }

            fn end(self) -> Result<Tree, TreeError> {
                Ok(self.tree())
            }
        })*
    };
}

lists!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

macro_rules! structs {
    ($($kind:ident),*) => {
        $(impl $kind for Mapping {
            type Ok = Tree;
            type Error = TreeError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), TreeError> {
                self.add(key.to_owned(), value)
            }

            fn end(self) -> Result<Tree, TreeError> {
                Ok(self.tree())
            }
        })*
    };
}

structs!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Mapping {
    type Ok = Tree;
    type Error = TreeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), TreeError> {
        self.key = Some(key_text(key.serialize(IntoTree)?)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TreeError> {
        let key = self.key.take().ok_or_else(|| TreeError::custom("a value has no key"))?;
        self.add(key, value)
    }

    fn end(self) -> Result<Tree, TreeError> {
        Ok(self.tree())
    }
}
