//! A reader of the kernel's type information, just deep enough to find where a struct keeps a field.
//!
//! The kernel describes its own types in BTF (`Documentation/bpf/btf.rst`) at `/sys/kernel/btf/vmlinux`. Pure: bytes in,
//! offsets out. The bytes come from the running kernel, but nothing here trusts them: every read is bounded.

use std::collections::{BTreeMap, BTreeSet};

/// Deepest nesting of typedefs, qualifiers and anonymous members that is followed.
const DEPTH: u32 = 32;

/// Why the type information could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The bytes are no BTF of this machine's byte order, or end too early.
    #[error("kernel type information is damaged at byte {at}: {what}")]
    Damaged {
        /// Byte offset into the data.
        at: usize,
        /// What was expected there.
        what: &'static str,
    },
    /// No struct of that name.
    #[error("this kernel has no `struct {name}`")]
    NoStruct {
        /// Name of the struct.
        name: String,
    },
    /// The struct has no such field.
    #[error("`struct {name}` of this kernel has no field `{path}`")]
    NoField {
        /// Name of the struct.
        name: String,
        /// Path of the field, members joined by dots.
        path: String,
    },
    /// The field is there and is not what the programs read.
    #[error("`{name}.{path}` of this kernel is {found} bytes wide, where {wanted} are read")]
    Width {
        /// Name of the struct.
        name: String,
        /// Path of the field, members joined by dots.
        path: String,
        /// Width in the kernel, in bytes; 0 for a bit field.
        found: u32,
        /// Width that the programs read, in bytes.
        wanted: u32,
    },
}

/// Kinds of types (`include/uapi/linux/btf.h`, v6.12) that carry data after their header or that are looked into.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const POINTER: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
    /// The highest kind known; the length of a type of a later kind is not known either.
    pub(super) const LAST: u32 = 19;
}

/// The types of a kernel.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Byte offset of each type; type 0 is void and stands for itself.
    starts: Vec<usize>,
    /// Structs by name.
    structs: BTreeMap<&'a [u8], u32>,
    typedefs: BTreeSet<&'a [u8]>,
}

/// The header of one type.
#[derive(Clone, Copy)]
struct Header {
    at: usize,
    name: u32,
    kind: u32,
    members: u32,
    has_bit_sizes: bool,
    size_or_type: u32,
}

/// A member found by name.
struct Found {
    bits: u32,
    type_id: u32,
    is_bit_field: bool,
}

fn word(data: &[u8], at: usize) -> Result<u32, BtfError> {
    data.get(at..at.saturating_add(4))
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
        .ok_or(BtfError::Damaged {
            at,
            what: "four more bytes",
        })
}

fn size(word: u32) -> usize {
    // Lossless: every supported target has pointers of 64 bits.
    usize::try_from(word).unwrap_or(usize::MAX)
}

impl<'a> Btf<'a> {
    /// Indexes the types of `data`, the content of `/sys/kernel/btf/vmlinux`.
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        const MAGIC: u16 = 0xeb9f;
        if data.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(BtfError::Damaged {
                at: 0,
                what: "the magic number `0xeb9f`",
            });
        }
        let header = size(word(data, 4)?);
        let section = |offset_at: usize| -> Result<&'a [u8], BtfError> {
            let start = header.saturating_add(size(word(data, offset_at)?));
            let end = start.saturating_add(size(word(data, offset_at + 4)?));
            data.get(start..end).ok_or(BtfError::Damaged {
                at: offset_at,
                what: "a section inside the data",
            })
        };
        let mut btf = Self {
            types: section(8)?,
            strings: section(16)?,
            starts: vec![0],
            structs: BTreeMap::new(),
            typedefs: BTreeSet::new(),
        };
        let mut at = 0;
        while at < btf.types.len() {
            let id = u32::try_from(btf.starts.len()).map_err(|_too_many| BtfError::Damaged {
                at,
                what: "fewer than 2^32 types",
            })?;
            btf.starts.push(at);
            let header = btf.header_at(at)?;
            if header.kind == kind::STRUCT {
                btf.structs.entry(btf.string(header.name)).or_insert(id);
            } else if header.kind == kind::TYPEDEF {
                btf.typedefs.insert(btf.string(header.name));
            }
            at = header.at + 12 + trailing_bytes(&header)?;
        }
        Ok(btf)
    }

    /// Byte offset of a field from the start of `struct name`.
    ///
    /// `path` is members joined by dots; anonymous structs and unions are looked through. The field must be `width` bytes
    /// wide and no bit field.
    pub fn offset_of(&self, name: &str, path: &str, width: u32) -> Result<u32, BtfError> {
        let Found {
            bits,
            type_id,
            is_bit_field,
        } = self.walk(name, path)?;
        let found = if is_bit_field || bits % 8 != 0 {
            0
        } else {
            self.width(type_id)?
        };
        if found != width {
            return Err(BtfError::Width {
                name: name.to_owned(),
                path: path.to_owned(),
                found,
                wanted: width,
            });
        }
        Ok(bits / 8)
    }

    /// Bits from the start of `struct name` to a field, which may be a bit field or not: kernels differ.
    pub fn bits_of(&self, name: &str, path: &str) -> Result<u32, BtfError> {
        Ok(self.walk(name, path)?.bits)
    }

    /// Whether there is a typedef of that name.
    #[must_use]
    pub fn has_typedef(&self, name: &str) -> bool {
        self.typedefs.contains(name.as_bytes())
    }

    /// Follows a path of members.
    fn walk(&self, name: &str, path: &str) -> Result<Found, BtfError> {
        let type_id = *self
            .structs
            .get(name.as_bytes())
            .ok_or_else(|| BtfError::NoStruct { name: name.to_owned() })?;
        let mut at = Found {
            bits: 0,
            type_id,
            is_bit_field: false,
        };
        for member in path.split('.') {
            let found = self.member(at.type_id, member.as_bytes(), 0)?;
            let found = found.ok_or_else(|| BtfError::NoField {
                name: name.to_owned(),
                path: path.to_owned(),
            })?;
            at = Found {
                bits: at.bits + found.bits,
                ..found
            };
        }
        Ok(at)
    }

    /// A member of a struct or union by name, looking through anonymous members.
    fn member(&self, type_id: u32, name: &[u8], depth: u32) -> Result<Option<Found>, BtfError> {
        let header = self.resolve(type_id)?;
        if depth > DEPTH || !matches!(header.kind, kind::STRUCT | kind::UNION) {
            return Ok(None);
        }
        for index in 0..header.members {
            let at = header.at + 12 + size(index) * 12;
            let (member_name, member_type, raw) = (
                word(self.types, at)?,
                word(self.types, at + 4)?,
                word(self.types, at + 8)?,
            );
            let (bits, is_bit_field) = if header.has_bit_sizes {
                (raw & 0x00ff_ffff, raw >> 24 != 0)
            } else {
                (raw, false)
            };
            let member_name = self.string(member_name);
            if member_name == name {
                return Ok(Some(Found {
                    bits,
                    type_id: member_type,
                    is_bit_field,
                }));
            }
            if member_name.is_empty()
                && let Some(inner) = self.member(member_type, name, depth + 1)?
            {
                return Ok(Some(Found {
                    bits: bits + inner.bits,
                    ..inner
                }));
            }
        }
        Ok(None)
    }

    /// Width of a type in bytes; 0 for what has none.
    fn width(&self, type_id: u32) -> Result<u32, BtfError> {
        let header = self.resolve(type_id)?;
        Ok(match header.kind {
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => header.size_or_type,
            kind::POINTER => 8,
            _ => 0,
        })
    }

    /// Follows typedefs and qualifiers to what they name.
    fn resolve(&self, mut type_id: u32) -> Result<Header, BtfError> {
        for _ in 0..DEPTH {
            let at = *self
                .starts
                .get(size(type_id))
                .filter(|_| type_id != 0)
                .ok_or_else(|| BtfError::Damaged {
                    at: size(type_id),
                    what: "a type of that number",
                })?;
            let header = self.header_at(at)?;
            if !matches!(
                header.kind,
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG
            ) {
                return Ok(header);
            }
            type_id = header.size_or_type;
        }
        Err(BtfError::Damaged {
            at: size(type_id),
            what: "a type that is no endless chain",
        })
    }

    fn header_at(&self, at: usize) -> Result<Header, BtfError> {
        let info = word(self.types, at + 4)?;
        Ok(Header {
            at,
            name: word(self.types, at)?,
            kind: info >> 24 & 0x1f,
            members: info & 0xffff,
            has_bit_sizes: info >> 31 != 0,
            size_or_type: word(self.types, at + 8)?,
        })
    }

    fn string(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(size(offset)..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

/// Bytes that follow the twelve of a type's header.
fn trailing_bytes(header: &Header) -> Result<usize, BtfError> {
    let members = size(header.members);
    match header.kind {
        kind::INT | kind::VAR | kind::DECL_TAG => Ok(4),
        kind::ARRAY => Ok(12),
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => Ok(12 * members),
        kind::ENUM | kind::FUNC_PROTO => Ok(8 * members),
        ..=kind::LAST => Ok(0),
        _ => Err(BtfError::Damaged {
            at: header.at,
            what: "a kind of type that is known",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds BTF by hand, so that the tests need no kernel.
    #[derive(Default)]
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Builder {
        fn name(&mut self, name: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let at = u32::try_from(self.strings.len()).unwrap();
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
            at
        }

        fn push(&mut self, name: &str, info: u32, size_or_type: u32, rest: &[u32]) {
            let name = self.name(name);
            for word in [name, info, size_or_type].iter().chain(rest) {
                self.types.extend(word.to_ne_bytes());
            }
        }

        fn finish(self) -> Vec<u8> {
            let mut data = 0xeb9f_u16.to_ne_bytes().to_vec();
            data.extend([1, 0]);
            let types = u32::try_from(self.types.len()).unwrap();
            let strings = u32::try_from(self.strings.len()).unwrap();
            for word in [24, 0, types, types, strings] {
                data.extend(u32::to_ne_bytes(word));
            }
            data.extend(self.types);
            data.extend(self.strings);
            data
        }
    }

    /// `struct sock { struct { union { u32 a; u16 b; }; u16 c:3; }; const u64_t d; }` with `d` at byte 8.
    fn sample() -> Vec<u8> {
        let mut b = Builder::default();
        b.push("u32", kind::INT << 24, 4, &[32]); // 1
        b.push("u16", kind::INT << 24, 2, &[16]); // 2
        let (a, bb) = (b.name("a"), b.name("b"));
        b.push("", kind::UNION << 24 | 2, 4, &[a, 1, 0, bb, 2, 0]); // 3
        let c = b.name("c");
        b.push("", kind::STRUCT << 24 | 1 << 31 | 2, 8, &[0, 3, 0, c, 2, 3 << 24 | 32]); // 4
        b.push("u64", kind::INT << 24, 8, &[64]); // 5
        b.push("u64_t", kind::TYPEDEF << 24, 5, &[]); // 6
        b.push("", kind::CONST << 24, 6, &[]); // 7
        let d = b.name("d");
        b.push("sock", kind::STRUCT << 24 | 2, 16, &[0, 4, 0, d, 7, 64]); // 8
        b.finish()
    }

    #[test]
    fn finds_fields_through_anonymous_members_and_typedefs() {
        let data = sample();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.offset_of("sock", "a", 4), Ok(0));
        assert_eq!(btf.offset_of("sock", "b", 2), Ok(0));
        assert_eq!(btf.offset_of("sock", "d", 8), Ok(8));
        assert_eq!((btf.bits_of("sock", "c"), btf.bits_of("sock", "d")), (Ok(32), Ok(64)));
        assert!(btf.has_typedef("u64_t") && !btf.has_typedef("u64"));
    }

    #[test]
    fn says_what_is_missing_or_different() {
        let data = sample();
        let btf = Btf::parse(&data).unwrap();
        assert!(matches!(
            btf.offset_of("sock", "c", 2),
            Err(BtfError::Width { found: 0, .. })
        ));
        assert!(matches!(
            btf.offset_of("sock", "a", 8),
            Err(BtfError::Width {
                found: 4,
                wanted: 8,
                ..
            })
        ));
        assert!(matches!(
            btf.offset_of("sock", "nope", 8),
            Err(BtfError::NoField { .. })
        ));
        assert!(matches!(btf.offset_of("nope", "a", 8), Err(BtfError::NoStruct { .. })));
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic() {
        let data = sample();
        for end in 0..data.len() {
            if let Ok(btf) = Btf::parse(&data[..end]) {
                let _ = btf.offset_of("sock", "d", 8);
            }
        }
        for at in 0..data.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bad = data.clone();
                bad[at] ^= flip;
                if let Ok(btf) = Btf::parse(&bad) {
                    for field in ["a", "c", "d"] {
                        let _ = btf.offset_of("sock", field, 8);
                    }
                }
            }
        }
    }
}
