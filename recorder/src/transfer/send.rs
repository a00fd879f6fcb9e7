//! The side that has the files.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::frame::{CHUNK, Frame, FrameError, VERSION};
use super::{MAX_FILE_BYTES, MAX_FILES};
use crate::tape::is_tape_path;

/// Directories below the one that is sent: a recording, and one for a node or the cluster.
const MAX_DEPTH: usize = 2;

/// Why files could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A file or directory cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file changed while it was sent.
    #[error("`{}` became shorter while it was sent; send when the recording has ended", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// There is more than a receiver takes.
    #[error("`{}` holds more than {MAX_FILES} files, or one above {MAX_FILE_BYTES} bytes; collect it in another way", path.display())]
    TooMuch {
        /// The directory.
        path: PathBuf,
    },
    /// The stream broke or was damaged.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The receiver asked for what was not offered, or spoke out of turn.
    #[error("the receiver asked for what was not offered")]
    Wish,
    /// The receiver gave up.
    #[error("the receiver gave up: {0}")]
    Refused(String),
}

/// What a transfer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Files offered.
    pub files: u32,
    /// Bytes of files that went over the stream this time.
    pub bytes: u64,
}

/// A file that is offered.
struct Offer {
    path: String,
    size: u64,
}

/// Sends the files of every tape in a directory, whatever else it holds, and returns when they are stored.
pub fn send(directory: &Path, from: &mut impl Read, to: &mut impl Write) -> Result<Sent, SendError> {
    let told = talk(directory, from, to);
    if let Err(error @ (SendError::Read { .. } | SendError::Changed { .. } | SendError::TooMuch { .. })) = &told {
        // The receiver would see a stream that ends early; if it cannot be told better, it sees just that.
        let _ = Frame::failed(error).write(to).and_then(|()| to.flush());
    }
    told
}

fn talk(directory: &Path, from: &mut impl Read, to: &mut impl Write) -> Result<Sent, SendError> {
    write(to, &Frame::Hello { version: VERSION })?;
    let offers = offer(directory, to)?;
    let files = u32::try_from(offers.len()).unwrap_or(u32::MAX);
    write(to, &Frame::Listed { files })?;
    to.flush().map_err(FrameError::Io)?;

    let mut bytes = 0;
    for (index, offset) in wishes(&offers, from)? {
        bytes += send_file(directory, &offers, index, offset, to)?;
    }
    write(to, &Frame::Sent)?;
    to.flush().map_err(FrameError::Io)?;
    match Frame::read(from)? {
        Frame::Kept => Ok(Sent { files, bytes }),
        Frame::Failed { message } => Err(SendError::Refused(message)),
        Frame::Hello { .. }
        | Frame::File { .. }
        | Frame::Listed { .. }
        | Frame::Want { .. }
        | Frame::Wanted { .. }
        | Frame::Data { .. }
        | Frame::Sent => Err(SendError::Wish),
    }
}

fn write(to: &mut impl Write, frame: &Frame) -> Result<(), SendError> {
    Ok(frame.write(to).map_err(FrameError::Io)?)
}

fn offer(directory: &Path, to: &mut impl Write) -> Result<Vec<Offer>, SendError> {
    let mut paths = Vec::new();
    list(directory, "", MAX_DEPTH, &mut paths)?;
    paths.sort();
    let too_much = || SendError::TooMuch {
        path: directory.to_owned(),
    };
    if paths.len() > MAX_FILES as usize {
        return Err(too_much());
    }
    let mut offers = Vec::with_capacity(paths.len());
    for path in paths {
        let (size, sha256) = hashed(&directory.join(&path))?;
        if size > MAX_FILE_BYTES {
            return Err(too_much());
        }
        let frame = Frame::File {
            size,
            sha256,
            path: path.clone(),
        };
        write(to, &frame)?;
        offers.push(Offer { path, size });
    }
    Ok(offers)
}

/// The paths of a tape below a directory. Links are not followed, and what else lies there is nobody's business.
fn list(directory: &Path, below: &str, depth: usize, found: &mut Vec<String>) -> Result<(), SendError> {
    let place = directory.join(below);
    let entries = fs::read_dir(&place).map_err(unreadable(&place))?;
    for entry in entries {
        let entry = entry.map_err(unreadable(&place))?;
        let kind = entry.file_type().map_err(unreadable(&place))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        if kind.is_dir() && depth > 0 {
            list(directory, &path, depth - 1, found)?;
        } else if kind.is_file() && is_tape_path(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// What the receiver wants, in the order of the offers, each once.
fn wishes(offers: &[Offer], from: &mut impl Read) -> Result<Vec<(u32, u64)>, SendError> {
    let mut wishes: Vec<(u32, u64)> = Vec::new();
    loop {
        match Frame::read(from)? {
            Frame::Want { index, offset } => {
                let offer = offers.get(index as usize).ok_or(SendError::Wish)?;
                if offset > offer.size || wishes.last().is_some_and(|(last, _)| *last >= index) {
                    return Err(SendError::Wish);
                }
                wishes.push((index, offset));
            }
            Frame::Wanted { files } if wishes.len() == files as usize => return Ok(wishes),
            Frame::Failed { message } => return Err(SendError::Refused(message)),
            Frame::Hello { .. }
            | Frame::File { .. }
            | Frame::Listed { .. }
            | Frame::Wanted { .. }
            | Frame::Data { .. }
            | Frame::Sent
            | Frame::Kept => return Err(SendError::Wish),
        }
    }
}

/// Sends what is wanted of one file; gives the bytes of it.
fn send_file(
    directory: &Path,
    offers: &[Offer],
    index: u32,
    offset: u64,
    to: &mut impl Write,
) -> Result<u64, SendError> {
    let offer = &offers[index as usize];
    let path = directory.join(&offer.path);
    let mut file = File::open(&path).map_err(unreadable(&path))?;
    file.seek(SeekFrom::Start(offset)).map_err(unreadable(&path))?;
    let mut at = offset;
    while at < offer.size {
        let size = usize::try_from(offer.size - at).map_or(CHUNK, |left| left.min(CHUNK));
        let mut bytes = vec![0; size];
        match file.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(SendError::Changed { path }),
            read => read.map_err(unreadable(&path))?,
        }
        let frame = Frame::Data {
            index,
            offset: at,
            bytes,
        };
        write(to, &frame)?;
        at += size as u64;
    }
    Ok(offer.size - offset)
}

/// Size and SHA-256 of a file.
pub(super) fn hashed(path: &Path) -> Result<(u64, [u8; 32]), SendError> {
    let mut file = File::open(path).map_err(unreadable(path))?;
    let mut hasher = Sha256::new();
    let size = io::copy(&mut file, &mut Hashing(&mut hasher)).map_err(unreadable(path))?;
    Ok((size, hasher.finalize().into()))
}

/// Hashes what is written to it.
struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> SendError {
    let path = path.to_owned();
    move |source| SendError::Read { path, source }
}
