//! The formats: one file each, with a page beside it that says which field becomes what and what is missing.

mod antrea;
mod aws_vpc_cni;
mod calico;
mod conntrack;
mod hubble;
mod inspektor_gadget;
mod json;
mod kubearmor;
mod netobserv;
mod pcap;
mod ss;

use std::io::BufRead;

use flowtape_schemas::import::QuarantineReason;
use flowtape_schemas::time::Time;

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
    /// Lines, of which some may have no time of their own.
    Lines(ParseLine),
    /// Lines of a table as it was at one moment, of which none says when.
    Table(ParseTable),
    /// Packets of a binary file, in their order.
    Packets(fn(&mut (dyn BufRead + Send), &mut Each<'_>)),
}

/// Reads one record of a text.
pub type Parse = fn(&[u8]) -> Result<Vec<Record>, Reject>;

/// Reads one line, of a text that was taken at this time, if that is known.
pub type ParseLine = fn(&[u8], Option<Time>) -> Result<Vec<Record>, Reject>;

/// Reads the lines of a table that was taken at this time.
pub type ParseTable = fn(&[Vec<u8>], Time) -> Vec<Result<Vec<Record>, Reject>>;

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
    aws_vpc_cni::FORMAT,
    ss::FORMAT,
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

/// What archives are made for.
pub(super) const OF_ARCHIVES: &Format = &pcap::FORMAT;

/// The format of a file of an archive, which may hold much that is of none.
#[must_use]
pub fn in_archive(path: &str, start: &[u8]) -> Option<&'static Format> {
    if path.ends_with("socket-stats.txt") {
        return Some(&ss::FORMAT);
    }
    (OF_ARCHIVES.claims)(start).then_some(OF_ARCHIVES)
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

/// A line as text.
fn utf8(line: &[u8]) -> Result<&str, Reject> {
    let Ok(text) = std::str::from_utf8(line) else {
        return Err(Reject {
            reason: QuarantineReason::NotText,
            detail: "it is no UTF-8",
        });
    };
    Ok(text)
}
