//! The formats: one file each, with a page beside it that says which field becomes what and what is missing.

mod antrea;
mod calico;
mod conntrack;
mod hubble;
mod inspektor_gadget;
mod json;
mod kubearmor;
mod netobserv;
mod pcap;

use std::io::BufRead;

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
    /// How it is divided into records, and what reads them.
    pub kind: Kind,
    /// Whether the beginning of a file looks like it.
    pub claims: fn(&[u8]) -> bool,
}

/// How files of a format are read.
pub enum Kind {
    /// JSON objects, each by itself.
    Objects(Parse),
    /// Lines.
    Lines(Parse),
    /// Packets of a binary file, in their order.
    Packets(fn(&mut (dyn BufRead + Send), &mut Each<'_>)),
}

/// Reads one record of a text.
pub type Parse = fn(&[u8]) -> Result<Vec<Record>, Reject>;

/// Takes what became of a packet, by its number.
pub type Each<'a> = dyn FnMut(u64, Result<Vec<Record>, Reject>) + 'a;

/// Something that a source cannot know.
pub enum Limit {
    /// Edges are complete without it.
    Detail(&'static str),
    /// Edges may be missing.
    Edges(&'static str),
}

/// Every format, in the order in which an unknown file is compared with them.
pub const ALL: &[Format] = &[
    pcap::FORMAT,
    kubearmor::FORMAT,
    hubble::FORMAT,
    inspektor_gadget::FORMAT,
    netobserv::FORMAT,
    calico::FORMAT,
    conntrack::FORMAT,
    antrea::FORMAT,
];

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
