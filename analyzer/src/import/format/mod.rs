//! The formats: one file each, with a page beside it that says which field becomes what and what is missing.

mod hubble;
mod json;
mod kubearmor;

use super::record::{Record, Reject};

/// A format of another tool's recording.
pub struct Format {
    /// What it is called on the command line and in a tape.
    pub name: &'static str,
    /// The page that says which field becomes what.
    pub page: &'static str,
    /// Which clock its times are of.
    pub clock: &'static str,
    /// What such a source cannot know.
    pub limits: &'static [Limit],
    /// Whether its records are JSON objects; lines otherwise.
    pub objects: bool,
    /// Whether the beginning of a file looks like it.
    pub claims: fn(&[u8]) -> bool,
    /// Reads one record.
    pub parse: fn(&[u8]) -> Result<Vec<Record>, Reject>,
}

/// Something that a source cannot know.
pub enum Limit {
    /// Edges are complete without it.
    Detail(&'static str),
    /// Edges may be missing.
    Edges(&'static str),
}

/// Every format, in the order in which an unknown file is compared with them.
pub const ALL: &[Format] = &[hubble::FORMAT, kubearmor::FORMAT];

/// The format of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Format> {
    ALL.iter().find(|format| format.name == name)
}

/// The format that the beginning of a file looks like.
#[must_use]
pub fn of(start: &[u8]) -> Option<&'static Format> {
    ALL.iter().find(|format| (format.claims)(start))
}

/// The pages of all formats.
#[must_use]
pub fn reference() -> String {
    let pages: Vec<&str> = ALL.iter().map(|format| format.page).collect();
    pages.join("\n")
}

/// Whether a text stands in a file's beginning.
fn holds(start: &[u8], text: &str) -> bool {
    start.windows(text.len()).any(|window| window == text.as_bytes())
}
