//! Bytes to records: what is packed is unpacked, and a text is divided into lines or JSON objects.
//!
//! Nothing is held but one batch, whatever a file claims: a line has an end, and what unpacks to more than a compressor
//! could have made of text is given up.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flowtape_schemas::import::QuarantineReason;

use super::record::Reject;

/// The longest record of any text format.
const RECORD_BYTES: usize = 1 << 20;

/// How much text is read before it is parsed, in parallel.
const BATCH_BYTES: usize = 4 << 20;

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

/// One line or object, or why there is none.
pub(super) type Piece = (u64, Result<Vec<u8>, Reject>);

/// Divides a text into records.
pub(super) struct Pieces<R> {
    source: R,
    line: u64,
    /// Whether records are JSON objects, which may take several lines.
    objects: bool,
    /// An object whose end has not been read, and its first line.
    begun: Option<(u64, Vec<u8>, Depth)>,
    done: bool,
}

impl<R: BufRead> Pieces<R> {
    /// Of lines, or of JSON objects.
    pub(super) fn new(source: R, objects: bool) -> Self {
        Self {
            source,
            line: 0,
            objects,
            begun: None,
            done: false,
        }
    }

    /// The next records, some megabytes of them; empty at the end.
    pub(super) fn batch(&mut self) -> Vec<Piece> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES && !self.done {
            let before = batch.len();
            self.step(&mut batch);
            bytes += batch[before..]
                .iter()
                .map(|(_, piece)| piece.as_ref().map_or(64, |piece| piece.len() + 64))
                .sum::<usize>();
        }
        batch
    }

    fn step(&mut self, batch: &mut Vec<Piece>) {
        let mut line = Vec::new();
        let read = (&mut self.source)
            .take(RECORD_BYTES as u64 + 1)
            .read_until(b'\n', &mut line);
        match read {
            Ok(0) => {
                self.done = true;
                if let Some((at, ..)) = self.begun.take() {
                    batch.push((at, Err(cut())));
                }
                return;
            }
            Ok(_) => self.line += 1,
            Err(error) => {
                self.done = true;
                batch.push((self.line + 1, Err(stop(&error))));
                return;
            }
        }
        if line.len() > RECORD_BYTES {
            batch.push((self.line, Err(too_long())));
            self.begun = None;
            self.skip_line();
            return;
        }
        let complete = line.ends_with(b"\n");
        if self.objects {
            self.object_line(&line, batch);
        } else {
            let text = line.trim_ascii();
            if !text.is_empty() {
                batch.push((self.line, Ok(text.to_vec())));
            }
        }
        if !complete && self.begun.is_some() {
            self.done = true;
            if let Some((at, ..)) = self.begun.take() {
                batch.push((at, Err(cut())));
            }
        }
    }

    /// Reads over the rest of a line, however long it is.
    fn skip_line(&mut self) {
        loop {
            let Ok(buffer) = self.source.fill_buf() else { return };
            let (used, end) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(place) => (place + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.source.consume(used);
            if end {
                return;
            }
        }
    }

    /// A line of a text of objects: one whole object, or a part of one that is written over several lines.
    fn object_line(&mut self, line: &[u8], batch: &mut Vec<Piece>) {
        // An object that begins at the start of a line where another has not ended: that one was cut off.
        if line.starts_with(b"{\"")
            && let Some((at, ..)) = self.begun.take()
        {
            batch.push((at, Err(cut())));
        }
        if let Some((at, mut object, mut depth)) = self.begun.take() {
            depth.add(line);
            object.extend_from_slice(line);
            if object.len() > RECORD_BYTES {
                batch.push((at, Err(too_long())));
            } else if depth.is_closed() {
                batch.push((at, Ok(plain(&object).to_vec())));
            } else {
                self.begun = Some((at, object, depth));
            }
            return;
        }
        let text = plain(line);
        if text.is_empty() {
            return;
        }
        let mut depth = Depth::default();
        depth.add(text);
        if text.starts_with(b"{") && !depth.is_closed() {
            self.begun = Some((self.line, text.to_vec(), depth));
        } else {
            batch.push((self.line, Ok(text.to_vec())));
        }
    }
}

/// A record without what stands around it in an array.
fn plain(line: &[u8]) -> &[u8] {
    let mut text = line.trim_ascii();
    while let Some(rest) = text.strip_prefix(b"[").or_else(|| text.strip_prefix(b",")) {
        text = rest.trim_ascii_start();
    }
    while let Some(rest) = text.strip_suffix(b",").or_else(|| text.strip_suffix(b"]")) {
        // The end of an array that stands in the object is part of it.
        if !text.starts_with(b"{") || rest.trim_ascii_end().ends_with(b"}") || rest.trim_ascii_end().is_empty() {
            text = rest.trim_ascii_end();
        } else {
            break;
        }
    }
    text
}

const fn cut() -> Reject {
    Reject {
        reason: QuarantineReason::CutOff,
        detail: "it ends before it is complete",
    }
}

const fn too_long() -> Reject {
    Reject {
        reason: QuarantineReason::TooLong,
        detail: "it is longer than a megabyte",
    }
}

/// How deep in braces a text is, outside of its strings.
#[derive(Default)]
struct Depth {
    braces: u64,
    in_string: bool,
    escaped: bool,
}

impl Depth {
    fn add(&mut self, text: &[u8]) {
        // No string goes on in the next line.
        (self.in_string, self.escaped) = (false, false);
        for byte in text {
            if self.in_string {
                match (self.escaped, byte) {
                    (true, _) => self.escaped = false,
                    (false, b'\\') => self.escaped = true,
                    (false, b'"') => self.in_string = false,
                    (false, _) => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' => self.braces += 1,
                    b'}' => self.braces = self.braces.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.braces == 0
    }
}
