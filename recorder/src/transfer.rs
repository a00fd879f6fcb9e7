//! Brings the files of tapes from one machine to another over a pair of byte streams, such as `kubectl exec` gives.
//!
//! The sender offers its files, the receiver says from which offset on it wants each, the sender sends. A stream that
//! breaks is followed by another over the same two directories: what arrived is not sent again.
//!
//! ```text
//! sender                              receiver
//! Hello, File*, Listed         ──▶
//!                              ◀──    Want*, Wanted
//! Data*, Sent                  ──▶
//!                              ◀──    Kept
//! ```
//!
//! Neither side trusts the other. Every frame has a bounded length and a checksum, every path is one of a tape, every
//! file has a SHA-256 that is checked before the file gets its name. Checksums detect damage, not forgery.

mod frame;
mod receive;
mod send;

pub use frame::FrameError;
pub use receive::{ReceiveError, Received, receive};
pub use send::{SendError, Sent, send};

/// Files of one transfer at most: a day of one-minute rotations of every table, several times over.
pub const MAX_FILES: u32 = 65_536;

/// Size of one file at most, in bytes. The recorder ends its files near 64 MiB.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Size of all files of one transfer at most, in bytes.
pub const MAX_BYTES: u64 = 64 << 30;
