//! The side that wants the files.
//!
//! A file grows as `NAME.part`. It gets its name when all of it is there, synced, and hashes to what was offered; a whole
//! part that does not is removed, so that the next stream begins it anew.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::frame::{Frame, FrameError, VERSION};
use super::send::hashed;
use super::{MAX_BYTES, MAX_FILE_BYTES, MAX_FILES};
use crate::tape::is_tape_path;

/// Appended to the name of a file that is not whole.
const PART: &str = ".part";

/// Why files could not be received. What arrived stays, and need not be sent again.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The stream broke or was damaged.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The sender is of another version.
    #[error("the sender speaks version {0} of the stream and this is version {VERSION}; use an image of this build")]
    Version(u16),
    /// The sender offers what no tape holds.
    #[error("the sender offers `{}`, which is no file of a tape, or offers it twice", path.escape_debug())]
    Path {
        /// The path it offers.
        path: String,
    },
    /// The sender offers more than fits.
    #[error(
        "the sender offers more than {MAX_FILES} files or {MAX_BYTES} bytes, or a file above {MAX_FILE_BYTES} bytes"
    )]
    TooMuch,
    /// The sender spoke out of turn.
    #[error("the sender sent what was not asked for")]
    Turn,
    /// A whole file is not what was offered.
    #[error("`{path}` arrived damaged; it will be sent anew")]
    Damaged {
        /// Path below the directory.
        path: String,
    },
    /// A file cannot be stored.
    #[error("cannot store `{}`", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The sender gave up.
    #[error("the sender gave up: {0}")]
    Refused(String),
}

impl ReceiveError {
    /// Whether another stream may end better.
    #[must_use]
    pub fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Frame(_) | Self::Damaged { .. } => true,
            Self::Turn
            | Self::Version(_)
            | Self::Path { .. }
            | Self::TooMuch
            | Self::Store { .. }
            | Self::Refused(_) => false,
        }
    }
}

/// What a transfer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Files that are stored.
    pub files: u32,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes that came over the stream this time.
    pub fresh: u64,
}

/// A file that is offered.
struct Offer {
    path: String,
    size: u64,
    sha256: [u8; 32],
}

/// Receives the files that [`send`](fn@super::send) sends into a directory that nobody else writes to. `progress` is told
/// bytes that are there and bytes in all.
pub fn receive(
    directory: &Path,
    from: &mut impl Read,
    to: &mut impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Received, ReceiveError> {
    let told = talk(directory, from, to, progress);
    if let Err(error) = &told
        && !matches!(error, ReceiveError::Frame(_) | ReceiveError::Refused(_))
    {
        // A sender that cannot be told sees the stream end.
        let _ = Frame::failed(error).write(to).and_then(|()| to.flush());
    }
    told
}

fn talk(
    directory: &Path,
    from: &mut impl Read,
    to: &mut impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Received, ReceiveError> {
    let offers = offers(from)?;
    let wishes = wishes(directory, &offers)?;
    for &(index, offset) in &wishes {
        write(to, &Frame::Want { index, offset })?;
    }
    let files = u32::try_from(wishes.len()).unwrap_or(u32::MAX);
    write(to, &Frame::Wanted { files })?;
    to.flush().map_err(FrameError::Io)?;

    let total: u64 = offers.iter().map(|offer| offer.size).sum();
    let missing: u64 = wishes
        .iter()
        .map(|(index, offset)| offers[*index as usize].size - offset)
        .sum();
    let mut fresh = 0;
    progress(total - missing, total);
    for (index, offset) in wishes {
        receive_file(
            directory,
            (index, &offers[index as usize]),
            offset,
            from,
            &mut |bytes| {
                fresh += bytes;
                progress(total - missing + fresh, total);
            },
        )?;
    }
    let frame = Frame::read(from)?;
    if frame != Frame::Sent {
        return Err(out_of_turn(frame));
    }
    write(to, &Frame::Kept)?;
    to.flush().map_err(FrameError::Io)?;
    Ok(Received {
        files: u32::try_from(offers.len()).unwrap_or(u32::MAX),
        bytes: total,
        fresh,
    })
}

fn write(to: &mut impl Write, frame: &Frame) -> Result<(), ReceiveError> {
    Ok(frame.write(to).map_err(FrameError::Io)?)
}

fn out_of_turn(frame: Frame) -> ReceiveError {
    match frame {
        Frame::Failed { message } => ReceiveError::Refused(message),
        Frame::Hello { .. }
        | Frame::File { .. }
        | Frame::Listed { .. }
        | Frame::Want { .. }
        | Frame::Wanted { .. }
        | Frame::Data { .. }
        | Frame::Sent
        | Frame::Kept => ReceiveError::Turn,
    }
}

fn offers(from: &mut impl Read) -> Result<Vec<Offer>, ReceiveError> {
    let frame = Frame::read(from)?;
    let Frame::Hello { version } = frame else {
        return Err(out_of_turn(frame));
    };
    if version != VERSION {
        return Err(ReceiveError::Version(version));
    }
    let (mut offers, mut seen, mut total) = (Vec::new(), BTreeSet::new(), 0_u64);
    loop {
        let frame = Frame::read(from)?;
        if let Frame::Listed { files } = frame
            && offers.len() == files as usize
        {
            return Ok(offers);
        }
        let Frame::File { size, sha256, path } = frame else {
            return Err(out_of_turn(frame));
        };
        if !is_tape_path(&path) || !seen.insert(path.clone()) {
            return Err(ReceiveError::Path { path });
        }
        total = total.saturating_add(size);
        if size > MAX_FILE_BYTES || total > MAX_BYTES || offers.len() >= MAX_FILES as usize {
            return Err(ReceiveError::TooMuch);
        }
        offers.push(Offer { path, size, sha256 });
    }
}

/// What is missing, and from where on.
fn wishes(directory: &Path, offers: &[Offer]) -> Result<Vec<(u32, u64)>, ReceiveError> {
    let mut wishes = Vec::new();
    for (index, offer) in (0..).zip(offers) {
        let path = directory.join(&offer.path);
        let is_whole = path.exists() && hashed(&path).is_ok_and(|found| found == (offer.size, offer.sha256));
        if is_whole {
            continue;
        }
        let part = part_of(&path);
        let there = fs::metadata(&part).map_or(0, |metadata| metadata.len());
        let offset = if there > offer.size {
            fs::remove_file(&part).map_err(unstored(&part))?;
            0
        } else {
            there
        };
        wishes.push((index, offset));
    }
    Ok(wishes)
}

fn receive_file(
    directory: &Path,
    (index, offer): (u32, &Offer),
    offset: u64,
    from: &mut impl Read,
    arrived: &mut dyn FnMut(u64),
) -> Result<(), ReceiveError> {
    let path = directory.join(&offer.path);
    let part = part_of(&path);
    let parent = path.parent().unwrap_or(directory);
    fs::create_dir_all(parent).map_err(unstored(parent))?;
    let file = OpenOptions::new().create(true).append(true).open(&part);
    let mut file = file.map_err(unstored(&part))?;
    let mut at = offset;
    while at < offer.size {
        let frame = Frame::read(from)?;
        let Frame::Data {
            index: of,
            offset,
            bytes,
        } = frame
        else {
            return Err(out_of_turn(frame));
        };
        if (of, offset) != (index, at) || bytes.is_empty() || bytes.len() as u64 > offer.size - at {
            return Err(ReceiveError::Turn);
        }
        file.write_all(&bytes).map_err(unstored(&part))?;
        at += bytes.len() as u64;
        arrived(bytes.len() as u64);
    }
    file.sync_all().map_err(unstored(&part))?;
    drop(file);
    if !hashed(&part).is_ok_and(|found| found == (offer.size, offer.sha256)) {
        fs::remove_file(&part).map_err(unstored(&part))?;
        return Err(ReceiveError::Damaged {
            path: offer.path.clone(),
        });
    }
    fs::rename(&part, &path).map_err(unstored(&path))?;
    sync(parent)
}

/// Makes the name of a file durable, where directories can be opened.
fn sync(directory: &Path) -> Result<(), ReceiveError> {
    if cfg!(unix) {
        let synced = File::open(directory).and_then(|opened| opened.sync_all());
        synced.map_err(unstored(directory))?;
    }
    Ok(())
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART);
    name.into()
}

fn unstored(path: &Path) -> impl FnOnce(io::Error) -> ReceiveError {
    let path = path.to_owned();
    move |source| ReceiveError::Store { path, source }
}
