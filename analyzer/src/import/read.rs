//! Files to blocks of lines: what is packed is unpacked on the way.
//!
//! Nothing is held but a few blocks, whatever a file claims: a line has an end, and what unpacks to more than a compressor
//! could have made of text is given up.

use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flowtape_schemas::import::QuarantineReason;

use super::divide::too_long;
use super::record::Reject;

/// How much text is read before it is parsed.
const BLOCK_BYTES: usize = 4 << 20;

/// What a packed file may unpack to whatever its size.
const FREE_BYTES: u64 = 64 << 20;

/// How many times its size a packed file may unpack to. Logs that repeat themselves reach some hundreds.
const RATIO: u64 = 2_000;

/// Counts what is read of a file, packed.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Ends where more comes out than could have been packed.
struct Limited<R> {
    inner: R,
    packed: Arc<AtomicU64>,
    unpacked: u64,
}

/// What an error of a file that unpacks without end says.
const EXPANDS: &str = "unpacks to many times what its content could be";

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.unpacked += read as u64;
        let allowed = self.packed.load(Ordering::Relaxed).saturating_mul(RATIO) + FREE_BYTES;
        if self.unpacked > allowed {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, EXPANDS));
        }
        Ok(read)
    }
}

/// The content of a file, unpacked if it is packed with gzip or zstd.
pub(super) fn unpacked<'a>(source: impl Read + Send + 'a) -> io::Result<Box<dyn BufRead + Send + 'a>> {
    let packed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&packed);
    let mut source = BufReader::with_capacity(1 << 17, Counted { inner: source, count });
    let start = source.fill_buf()?;
    let inner: Box<dyn Read + Send + 'a> = if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(source))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(source)?)
    } else {
        return Ok(Box::new(source));
    };
    let limited = Limited {
        inner,
        packed,
        unpacked: 0,
    };
    Ok(Box::new(BufReader::with_capacity(1 << 17, limited)))
}

/// Why a file could be read no further.
#[must_use]
pub(super) fn stop(error: &io::Error) -> Reject {
    if error.kind() == io::ErrorKind::QuotaExceeded {
        Reject {
            reason: QuarantineReason::Expands,
            detail: "it unpacks to many times what its content could be, and was not read further",
        }
    } else {
        Reject {
            reason: QuarantineReason::CutOff,
            detail: "it could not be read or unpacked any further",
        }
    }
}

/// Some megabytes of whole lines.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The lines; of the last of a file the end may be missing.
    pub(super) text: Vec<u8>,
    /// Why the line behind them cannot be used, if so.
    pub(super) set_aside: Option<Reject>,
}

/// Reads a text block by block.
pub(super) struct Blocks<R> {
    source: R,
    block_bytes: usize,
    /// A line whose end has not been read.
    rest: Vec<u8>,
    /// Room of a block that is done with.
    spare: Vec<u8>,
    done: bool,
}

impl<R: BufRead> Blocks<R> {
    /// Of a text.
    pub(super) const fn new(source: R) -> Self {
        Self {
            source,
            block_bytes: BLOCK_BYTES,
            rest: Vec::new(),
            spare: Vec::new(),
            done: false,
        }
    }

    /// Of a text, with blocks of another length.
    #[cfg(test)]
    pub(super) fn of(source: R, block_bytes: usize) -> Self {
        Self {
            block_bytes,
            ..Self::new(source)
        }
    }

    /// The next block; none at the end.
    pub(super) fn next(&mut self) -> Option<Block> {
        if self.done {
            return None;
        }
        let mut text = mem::take(&mut self.spare);
        text.clear();
        text.reserve_exact(self.block_bytes);
        text.append(&mut self.rest);
        let free = self.block_bytes - text.len();
        let read = Read::take(&mut self.source, free as u64).read_to_end(&mut text);
        let end = memchr::memrchr(b'\n', &text).map(|place| place + 1);
        let set_aside = match (read, end) {
            (Ok(_), _) if text.len() < self.block_bytes => {
                self.done = true;
                None
            }
            (Ok(_), Some(end)) => {
                self.rest = text.split_off(end);
                None
            }
            (Ok(_), None) => {
                text.clear();
                self.skip_line();
                Some(too_long())
            }
            (Err(error), end) => {
                self.done = true;
                text.truncate(end.unwrap_or(0));
                Some(stop(&error))
            }
        };
        let is_empty = text.is_empty() && set_aside.is_none();
        (!is_empty).then_some(Block { text, set_aside })
    }

    /// Takes a block back whose room may hold another.
    pub(super) fn take_back(&mut self, block: Block) {
        self.spare = block.text;
    }

    /// Reads over the rest of a line, however long it is.
    fn skip_line(&mut self) {
        loop {
            let Ok(buffer) = self.source.fill_buf() else { return };
            let (used, end) = match memchr::memchr(b'\n', buffer) {
                Some(place) => (place + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.source.consume(used);
            if end {
                return;
            }
        }
    }
}
