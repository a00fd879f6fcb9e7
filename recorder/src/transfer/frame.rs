//! One message: tag, length, payload, checksum. Numbers are big-endian.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

/// Version of the stream; the two sides are of one build, but of two machines.
pub(super) const VERSION: u16 = 1;

/// Bytes of a file in one message at most.
pub(super) const CHUNK: usize = 64 << 10;

/// Bytes of a path or message at most.
const MAX_TEXT: usize = 1_024;

/// Bytes of a payload at most: an index, an offset, and a chunk.
const MAX_PAYLOAD: usize = 12 + CHUNK;

/// Bytes of the checksum: the first of the SHA-256 of all that precedes it. Eight tell damage from chance.
const CHECKSUM: usize = 8;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The first message of a sender.
    Hello { version: u16 },
    /// A file is offered.
    File { size: u64, sha256: [u8; 32], path: String },
    /// That was the last offer, and so many there were.
    Listed { files: u32 },
    /// The offered file of this number is wanted from this offset on.
    Want { index: u32, offset: u64 },
    /// That was the last wish, and so many there were.
    Wanted { files: u32 },
    /// A part of a file.
    Data { index: u32, offset: u64, bytes: Vec<u8> },
    /// That was all that was wanted.
    Sent,
    /// All of it is stored and checked.
    Kept,
    /// The other side gives up.
    Failed { message: String },
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream broke, or its other end did.
    #[error("the stream broke")]
    Io(#[from] io::Error),
    /// The stream ended between two messages or within one.
    #[error("the stream ended early")]
    Ended,
    /// No message is that long.
    #[error(
        "a message of {length} bytes is longer than any can be; the stream is damaged, or the other side is no Flowtape"
    )]
    Length {
        /// The length it claims.
        length: u32,
    },
    /// What arrived is not what was sent.
    #[error("a message was damaged on its way")]
    Checksum,
    /// The message is whole and means nothing.
    #[error("a message of kind {tag} means nothing here; the other side is of another version")]
    Meaning {
        /// Its kind.
        tag: u8,
    },
}

impl Frame {
    fn tag(&self) -> u8 {
        match self {
            Self::Hello { .. } => 1,
            Self::File { .. } => 2,
            Self::Listed { .. } => 3,
            Self::Want { .. } => 4,
            Self::Wanted { .. } => 5,
            Self::Data { .. } => 6,
            Self::Sent => 7,
            Self::Kept => 8,
            Self::Failed { .. } => 9,
        }
    }

    fn payload(&self) -> Vec<u8> {
        match self {
            Self::Hello { version } => version.to_be_bytes().to_vec(),
            Self::File { size, sha256, path } => [&size.to_be_bytes()[..], sha256, path.as_bytes()].concat(),
            Self::Listed { files } | Self::Wanted { files } => files.to_be_bytes().to_vec(),
            Self::Want { index, offset } => [&index.to_be_bytes()[..], &offset.to_be_bytes()].concat(),
            Self::Data { index, offset, bytes } => [&index.to_be_bytes()[..], &offset.to_be_bytes(), bytes].concat(),
            Self::Sent | Self::Kept => Vec::new(),
            Self::Failed { message } => message.as_bytes().to_vec(),
        }
    }

    /// What a whole payload means; `None` where it means nothing.
    fn parse(tag: u8, payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let frame = match tag {
            1 => Self::Hello {
                version: u16::from_be_bytes(fields.take()?),
            },
            2 => Self::File {
                size: u64::from_be_bytes(fields.take()?),
                sha256: fields.take()?,
                path: fields.text()?,
            },
            3 => Self::Listed {
                files: u32::from_be_bytes(fields.take()?),
            },
            4 => Self::Want {
                index: u32::from_be_bytes(fields.take()?),
                offset: u64::from_be_bytes(fields.take()?),
            },
            5 => Self::Wanted {
                files: u32::from_be_bytes(fields.take()?),
            },
            6 => Self::Data {
                index: u32::from_be_bytes(fields.take()?),
                offset: u64::from_be_bytes(fields.take()?),
                bytes: std::mem::take(&mut fields.0).to_vec(),
            },
            7 => Self::Sent,
            8 => Self::Kept,
            9 => Self::Failed {
                message: fields.text()?,
            },
            _ => return None,
        };
        fields.0.is_empty().then_some(frame)
    }

    /// Writes the message.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let payload = self.payload();
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= MAX_PAYLOAD);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let mut bytes = Vec::with_capacity(5 + payload.len() + CHECKSUM);
        bytes.push(self.tag());
        bytes.extend(length.to_be_bytes());
        bytes.extend(payload);
        bytes.extend(checksum(&bytes));
        to.write_all(&bytes)
    }

    /// Reads one message.
    pub(super) fn read(from: &mut impl Read) -> Result<Self, FrameError> {
        let mut head = [0; 5];
        read_exact(from, &mut head)?;
        let [tag, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        let size = usize::try_from(length).ok().filter(|&size| size <= MAX_PAYLOAD);
        let size = size.ok_or(FrameError::Length { length })?;
        let mut bytes = vec![0; head.len() + size + CHECKSUM];
        bytes[..head.len()].copy_from_slice(&head);
        read_exact(from, &mut bytes[head.len()..])?;
        let (covered, sum) = bytes.split_at(head.len() + size);
        if checksum(covered) != sum {
            return Err(FrameError::Checksum);
        }
        Self::parse(tag, &covered[head.len()..]).ok_or(FrameError::Meaning { tag })
    }

    /// A message that says why this side gives up.
    pub(super) fn failed(why: &dyn std::error::Error) -> Self {
        let mut message = why.to_string();
        message.truncate(message.floor_char_boundary(MAX_TEXT));
        Self::Failed { message }
    }
}

/// What is left of a payload.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn text(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.0);
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_TEXT);
        text.map(str::to_owned)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|index| digest[index])
}

fn read_exact(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), FrameError> {
    match from.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(FrameError::Ended),
        ended => Ok(ended?),
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Frame, FrameError, MAX_PAYLOAD};
    use proptest::prelude::*;

    fn frames() -> Vec<Frame> {
        vec![
            Frame::Hello { version: 1 },
            Frame::File {
                size: 7,
                sha256: [3; 32],
                path: "manifest.json".to_owned(),
            },
            Frame::Listed { files: 1 },
            Frame::Want { index: 0, offset: 5 },
            Frame::Wanted { files: 1 },
            Frame::Data {
                index: 0,
                offset: 5,
                bytes: vec![9; CHUNK],
            },
            Frame::Sent,
            Frame::Kept,
            Frame::Failed {
                message: "no".to_owned(),
            },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        for frame in frames() {
            frame.write(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        for frame in frames() {
            assert_eq!(Frame::read(&mut rest).unwrap(), frame);
        }
        assert!(matches!(Frame::read(&mut rest), Err(FrameError::Ended)));
    }

    #[test]
    fn a_length_beyond_reason_is_refused_before_it_is_reserved() {
        let claim = [[6].as_slice(), &u32::MAX.to_be_bytes()].concat();
        assert!(matches!(Frame::read(&mut &claim[..]), Err(FrameError::Length { .. })));
        let bytes = vec![0; MAX_PAYLOAD + 1];
        let frame = Frame::Data {
            index: 0,
            offset: 0,
            bytes,
        };
        assert!(frame.write(&mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_an_error(which in 0_usize..9, at: prop::sample::Index, bit in 0_u8..8) {
            let mut bytes = Vec::new();
            frames()[which].write(&mut bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Frame::read(&mut &bytes[..]).is_err());
        }

        #[test]
        fn any_bytes_at_all_are_a_frame_or_an_error(bytes: Vec<u8>) {
            let _ = Frame::read(&mut &bytes[..]);
        }

        #[test]
        fn any_payload_means_something_or_nothing(tag: u8, payload: Vec<u8>) {
            if let Some(frame) = Frame::parse(tag, &payload) {
                prop_assert_eq!(frame.payload(), payload);
            }
        }
    }
}
