//! Archives of files, as Retina makes one of each capture: `NAME-NODE-YYYYMMDDhhmmssUTC.tar.gz`, with the capture and what the node looked like
//! (docs of microsoft/retina, "Capture", and `pkg/capture/file/capture_filename.go` at commit a4b698f).

use std::io::{self, BufRead, Read};

use flowtape_schemas::time::Time;

/// A file of an archive begins with a block like this, and fills whole ones.
const BLOCK: usize = 512;

/// Whether a file begins as an archive does.
pub(super) fn is_archive(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

/// One file in an archive.
pub(super) struct Member {
    /// Its path in the archive.
    pub(super) path: String,
    /// How many bytes it has.
    pub(super) size: u64,
    /// Whether it is a file with content, and not a directory or a link.
    pub(super) is_file: bool,
}

/// The next file of an archive, whose content follows; none at its end, which a block of zeros marks. An error where it was
/// cut off before that.
pub(super) fn member(archive: &mut impl Read) -> io::Result<Option<Member>> {
    let mut block = [0; BLOCK];
    archive.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let header = tar::Header::from_byte_slice(&block);
    Ok(Some(Member {
        path: header.path()?.to_string_lossy().into_owned(),
        size: header.entry_size()?,
        is_file: header.entry_type().is_file(),
    }))
}

/// Reads over what is left of a file and what fills its last block.
pub(super) fn skip(archive: &mut impl BufRead, member: &Member, left: u64) -> io::Result<()> {
    let block = BLOCK as u64;
    let filling = (block - member.size % block) % block;
    io::copy(&mut archive.take(left.saturating_add(filling)), &mut io::sink()).map(|_read| ())
}

/// What the name of an archive says: the node that it is of, which must be a known one, and when it was begun.
pub(super) fn told(name: &str, nodes: &[String]) -> (Option<String>, Option<Time>) {
    let Some((before, stamp)) = name
        .split_once(".tar")
        .and_then(|(name, _)| name.strip_suffix("UTC")?.rsplit_once('-'))
    else {
        return (None, None);
    };
    let is_named = |node: &&String| {
        before
            .strip_suffix(node.as_str())
            .is_some_and(|rest| rest.ends_with('-'))
    };
    let node = nodes.iter().filter(is_named).max_by_key(|node| node.len()).cloned();
    (node, instant(stamp))
}

/// `YYYYMMDDhhmmss`.
fn instant(stamp: &str) -> Option<Time> {
    let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14].map(|range| stamp.get(range));
    let [
        Some(year),
        Some(month),
        Some(day),
        Some(hour),
        Some(minute),
        Some(second),
    ] = parts
    else {
        return None;
    };
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn the_name_of_an_archive_tells_its_node_and_time() {
        let nodes = ["n1", "pool-n1", "other"].map(str::to_owned);
        let (node, time) = told("my-capture-pool-n1-20260101000102UTC.tar.gz", &nodes);
        assert_eq!(node.as_deref(), Some("pool-n1"));
        assert_eq!(time.unwrap().to_string(), "2026-01-01T00:01:02.000000000Z");
        assert_eq!(told("my-capture-xn1-20260101000102UTC.tar.gz", &nodes).0, None);
        assert_eq!(told("logs.tar.gz", &nodes), (None, None));
        assert_eq!(told("c-n1-2026UTC.tar", &nodes), (Some("n1".to_owned()), None));
    }
}
