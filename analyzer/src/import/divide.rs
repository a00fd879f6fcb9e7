//! Blocks of lines to records: lines, or JSON objects, of which some take several lines.

use flowtape_schemas::import::QuarantineReason;

use super::read::Block;
use super::record::Reject;

/// The longest record of any text format.
const RECORD_BYTES: usize = 1 << 20;

/// How much of a block is parsed at once by one thread.
const PART_BYTES: usize = 128 << 10;

/// What was made of one line or object, and at which line it begins.
pub(super) type Piece<T> = (u64, Result<T, Reject>);

/// Divides blocks into parts that can be read apart from each other.
#[derive(Debug)]
pub(super) struct Divider {
    /// Whether records are JSON objects, which may take several lines.
    objects: bool,
    part_bytes: usize,
    /// Lines of the blocks so far.
    lines: u64,
    begun: Option<Begun>,
}

/// An object whose end has not been read.
#[derive(Debug)]
pub(super) struct Begun {
    line: u64,
    text: Vec<u8>,
    depth: Depth,
}

/// Some lines of a block.
pub(super) struct Part<'t> {
    objects: bool,
    /// Lines before it.
    lines: u64,
    text: &'t [u8],
    /// What goes on in it.
    begun: Option<Begun>,
    /// Whether what has not ended in it ends nowhere.
    is_whole: bool,
    /// Why the line behind it cannot be used, if so.
    set_aside: Option<Reject>,
}

impl Divider {
    /// Of lines, or of JSON objects.
    pub(super) const fn new(objects: bool) -> Self {
        Self {
            objects,
            part_bytes: PART_BYTES,
            lines: 0,
            begun: None,
        }
    }

    /// The parts of a block. Text of objects is parted where one begins at the start of a line, whatever stands before it.
    pub(super) fn parts<'t>(&mut self, block: &'t Block) -> Vec<Part<'t>> {
        let sign: &[u8] = if self.objects { b"\n{\"" } else { b"\n" };
        let mut parts = Vec::new();
        let mut rest = block.text.as_slice();
        while !rest.is_empty() || (parts.is_empty() && block.set_aside.is_some()) {
            let later = rest.get(self.part_bytes..);
            let place = later.and_then(|later| memchr::memmem::find(later, sign));
            let (text, others) = place.map_or((rest, &[][..]), |place| rest.split_at(self.part_bytes + place + 1));
            let set_aside = block.set_aside.filter(|_| others.is_empty());
            parts.push(Part {
                objects: self.objects,
                lines: self.lines,
                text,
                begun: self.begun.take(),
                is_whole: !others.is_empty() || set_aside.is_some(),
                set_aside,
            });
            let ends = memchr::memchr_iter(b'\n', text).count() as u64;
            self.lines += ends + u64::from(!text.is_empty() && !text.ends_with(b"\n")) + u64::from(set_aside.is_some());
            rest = others;
        }
        parts
    }

    /// What goes on in the next block.
    pub(super) fn goes_on(&mut self, begun: Option<Begun>) {
        self.begun = begun;
    }

    /// What has not ended where the text does, if so.
    pub(super) fn end(self) -> Option<(u64, Reject)> {
        self.begun.map(|begun| (begun.line, cut()))
    }
}

impl Part<'_> {
    /// Its records, and what goes on behind it.
    pub(super) fn pieces<T>(mut self, parse: impl Fn(&[u8]) -> Result<T, Reject>) -> (Vec<Piece<T>>, Option<Begun>) {
        let mut pieces = Vec::new();
        let mut number = self.lines;
        let mut rest = self.text;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |place| place + 1);
            let (line, others) = rest.split_at(end);
            rest = others;
            number += 1;
            if line == b"\n" {
                continue;
            }
            if line.len() > RECORD_BYTES {
                self.give_up(&mut pieces);
                pieces.push((number, Err(too_long())));
            } else if self.objects {
                self.object_line(number, line, &parse, &mut pieces);
            } else if !line.trim_ascii().is_empty() {
                pieces.push((number, parse(line.trim_ascii())));
            }
        }
        if self.is_whole {
            self.give_up(&mut pieces);
        }
        if let Some(reject) = self.set_aside {
            pieces.push((number + 1, Err(reject)));
        }
        (pieces, self.begun)
    }

    /// Sets aside what was begun, if anything was.
    fn give_up<T>(&mut self, pieces: &mut Vec<Piece<T>>) {
        if let Some(Begun { line, .. }) = self.begun.take() {
            pieces.push((line, Err(cut())));
        }
    }

    /// A line of a text of objects: one whole object, or a part of one that is written over several lines.
    fn object_line<T>(
        &mut self,
        number: u64,
        line: &[u8],
        parse: impl Fn(&[u8]) -> Result<T, Reject>,
        pieces: &mut Vec<Piece<T>>,
    ) {
        // An object that begins at the start of a line where another has not ended: that one was cut off.
        if line.starts_with(b"{\"") {
            self.give_up(pieces);
        }
        if let Some(mut begun) = self.begun.take() {
            begun.depth.add(line);
            begun.text.extend_from_slice(line);
            if begun.text.len() > RECORD_BYTES {
                pieces.push((begun.line, Err(too_long())));
            } else if begun.depth.is_closed() {
                pieces.push((begun.line, parse(plain(&begun.text))));
            } else {
                self.begun = Some(begun);
            }
            return;
        }
        let text = plain(line);
        if text.is_empty() {
            return;
        }
        let parsed = parse(text);
        // What can be read has an end; only of what cannot is it looked for.
        if parsed.is_err() && text.starts_with(b"{") {
            let mut depth = Depth::default();
            depth.add(text);
            if !depth.is_closed() {
                self.begun = Some(Begun {
                    line: number,
                    text: text.to_vec(),
                    depth,
                });
                return;
            }
        }
        pieces.push((number, parsed));
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

pub(super) const fn too_long() -> Reject {
    Reject {
        reason: QuarantineReason::TooLong,
        detail: "it is longer than a megabyte",
    }
}

/// How deep in braces a text is, outside of its strings.
#[derive(Debug, Default)]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::read::Blocks;
    use super::{Divider, Piece, Reject};

    /// The records of a text, as text, however it is divided on the way.
    fn divided(text: &[u8], objects: bool, block_bytes: usize, part_bytes: usize) -> Vec<Piece<String>> {
        let parse = |record: &[u8]| {
            if objects {
                let value: Result<serde_json::Value, _> = serde_json::from_slice(record);
                value
                    .map(|value| value.to_string())
                    .map_err(|_class| Reject::malformed("it is no JSON"))
            } else {
                Ok(String::from_utf8_lossy(record).into_owned())
            }
        };
        let mut divider = Divider {
            part_bytes,
            ..Divider::new(objects)
        };
        let mut blocks = Blocks::of(text, block_bytes);
        let mut all = Vec::new();
        while let Some(block) = blocks.next() {
            let mut begun = None;
            for part in divider.parts(&block) {
                let (pieces, goes_on) = part.pieces(parse);
                all.extend(pieces);
                begun = goes_on;
            }
            divider.goes_on(begun);
        }
        all.extend(divider.end().map(|(line, reject)| (line, Err(reject))));
        all
    }

    #[test]
    fn a_line_that_is_set_aside_is_one_line() {
        let text = [b"a\n".to_vec(), vec![b'x'; 100], b"\nb\n".to_vec()].concat();
        assert_eq!(divided(&text, false, 24, 8).last(), Some(&(3, Ok("b".to_owned()))));
    }

    #[test]
    fn objects_stand_in_one_line_or_several_and_may_be_cut_off() {
        let text = b"[\n{\"a\":1},\n{\n \"b\": {}\n},\nlog\n{\"c\": [\n{\"d\":2}\n\n{\"e\":";
        let reject =
            |line: u64, objects: &[Piece<String>]| objects.iter().any(|(at, piece)| *at == line && piece.is_err());
        let all = divided(text, true, 1 << 20, 1 << 20);
        let lines: Vec<(u64, Option<&str>)> = all.iter().map(|(line, piece)| (*line, piece.as_deref().ok())).collect();
        let expected = [
            (2, Some("{\"a\":1}")),
            (3, Some("{\"b\":{}}")),
            (6, None),
            (7, None),
            (8, Some("{\"d\":2}")),
            (10, None),
        ];
        assert_eq!(lines, expected);
        assert!(reject(6, &all) && reject(7, &all) && reject(10, &all));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn blocks_and_parts_leave_no_trace(
            lines in proptest::collection::vec(
                prop::sample::select(vec![
                    "", "log", "[", "]", "{\"a\":1}", "{\"a\":{\"b\":\"}\"}},", "{", "}", "\"x\": {", "  {\"y\": 1},", "}}", "{\"open\":",
                ]),
                0..40,
            ),
            objects: bool,
            ends: bool,
            block_bytes in 24..200_usize,
            part_bytes in 1..40_usize,
        ) {
            let mut text = lines.join("\n");
            text.push_str(if ends { "\n" } else { "" });
            let whole = divided(text.as_bytes(), objects, 1 << 20, 1 << 20);
            prop_assert_eq!(divided(text.as_bytes(), objects, block_bytes, part_bytes), whole);
        }
    }
}
