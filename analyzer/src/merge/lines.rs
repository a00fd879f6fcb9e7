//! A text by its lines, and edits of whole lines: what is not edited keeps every byte.

use std::collections::BTreeMap;

/// The lines of a file with what is to become of them. Lines are counted from 0.
pub(super) struct Lines {
    /// With their ends.
    lines: Vec<String>,
    /// What stands above a line, once all is done.
    inserted: BTreeMap<usize, String>,
    /// What stands between that and the line.
    behind: BTreeMap<usize, String>,
    /// What a line is replaced by; nothing removes it.
    replaced: BTreeMap<usize, String>,
    end: &'static str,
}

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        Self {
            lines: text.split_inclusive('\n').map(str::to_owned).collect(),
            inserted: BTreeMap::new(),
            behind: BTreeMap::new(),
            replaced: BTreeMap::new(),
            end: if text.contains("\r\n") { "\r\n" } else { "\n" },
        }
    }

    /// A line as it was, without its end.
    pub(super) fn get(&self, at: usize) -> &str {
        self.lines
            .get(at)
            .map_or("", |line| line.trim_end_matches(['\n', '\r']))
    }

    /// Puts lines above the one at a place, below those that were put there before.
    pub(super) fn insert(&mut self, at: usize, text: &str) {
        let text = text.replace('\n', self.end);
        self.inserted.entry(at).or_default().push_str(&text);
    }

    /// Puts lines above the one at a place, below all that [`Self::insert`] puts there: what belongs to a block that ends
    /// there comes before what follows the block.
    pub(super) fn append(&mut self, at: usize, text: &str) {
        let text = text.replace('\n', self.end);
        self.behind.entry(at).or_default().push_str(&text);
    }

    pub(super) fn replace(&mut self, at: usize, line: &str) {
        self.replaced.insert(at, format!("{line}{}", self.end));
    }

    pub(super) fn remove(&mut self, range: std::ops::Range<usize>) {
        for at in range {
            self.replaced.insert(at, String::new());
        }
    }

    pub(super) fn is_changed(&self) -> bool {
        !self.inserted.is_empty() || !self.behind.is_empty() || !self.replaced.is_empty()
    }

    /// The text with every edit.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for at in 0..=self.lines.len() {
            for inserted in [&self.inserted, &self.behind]
                .into_iter()
                .filter_map(|lines| lines.get(&at))
            {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push_str(self.end);
                }
                text.push_str(inserted);
            }
            if let Some(line) = self.replaced.get(&at).or_else(|| self.lines.get(at)) {
                text.push_str(line);
            }
        }
        text
    }

    /// How far a line is indented, if there is anything but a comment on it.
    fn content(&self, at: usize) -> Option<usize> {
        let line = self.get(at);
        let trimmed = line.trim_start_matches(' ');
        let content = !trimmed.trim().is_empty() && !trimmed.starts_with('#');
        content.then_some(line.len() - trimmed.len())
    }

    /// How far a line is indented.
    pub(super) fn indent(&self, at: usize) -> usize {
        let line = self.get(at);
        line.len() - line.trim_start_matches(' ').len()
    }

    /// Behind the last line of what begins at a line with this indentation; members of a list may stand in the column of its
    /// key. Comments and empty lines behind it belong to what follows.
    pub(super) fn end_of(&self, start: usize, indent: usize, is_key: bool) -> usize {
        let mut end = start + 1;
        for at in start + 1..self.lines.len() {
            let line = self.get(at);
            if line.starts_with("---") || line.starts_with("...") {
                break;
            }
            let Some(depth) = self.content(at) else { continue };
            let member = is_key && depth == indent && self.is_member(at);
            if depth <= indent && !member {
                break;
            }
            end = at + 1;
        }
        end
    }

    /// Whether a member of a list begins in a line.
    pub(super) fn is_member(&self, at: usize) -> bool {
        let line = self.get(at).trim_start_matches(' ');
        line == "-" || line.starts_with("- ")
    }

    /// The comments that stand directly above a line, in its column: the first of them.
    pub(super) fn comments_above(&self, at: usize) -> usize {
        let indent = self.indent(at);
        let mut first = at;
        while first > 0 {
            let line = self.get(first - 1);
            if self.indent(first - 1) != indent || !line.trim_start_matches(' ').starts_with('#') {
                break;
            }
            first -= 1;
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn what_is_not_edited_keeps_every_byte() {
        let text = "a:\r\n  - b # c\r\n\r\nd: e";
        let mut lines = Lines::new(text);
        assert_eq!((lines.text().as_str(), lines.is_changed()), (text, false));
        lines.append(4, "h: i\n");
        lines.insert(4, "f: g\n");
        lines.insert(1, "  # x\n");
        assert_eq!(lines.text(), "a:\r\n  # x\r\n  - b # c\r\n\r\nd: e\r\nf: g\r\nh: i\r\n");
    }

    #[test]
    fn a_block_ends_before_what_belongs_to_the_next() {
        let lines = Lines::new("a:\n- b:\n  # in\n  c: d\n\n# of e\ne: f\n---\n- g\n");
        assert_eq!(lines.end_of(0, 0, true), 4);
        assert_eq!(lines.end_of(1, 0, false), 4);
        assert_eq!(lines.end_of(6, 0, true), 7);
        assert_eq!(lines.comments_above(6), 5);
    }
}
