//! A line as words, and the one way to read them.

use super::value::Form;
use crate::problem::Problem;

/// A word and its place in the line.
#[derive(Clone, Copy)]
struct Word<'t> {
    text: &'t str,
    /// Characters before it, plus one.
    column: usize,
}

/// The words of one line, read from left to right.
pub(super) struct Cursor<'t> {
    line: usize,
    words: Vec<Word<'t>>,
    next: usize,
    /// Column just after the last word.
    end: usize,
}

impl<'t> Cursor<'t> {
    /// Splits a line at white space; a word that starts with `#` starts a comment.
    pub(super) fn new(line: usize, text: &'t str) -> Self {
        let mut words = Vec::new();
        let mut end = 1;
        for word in text.split_whitespace() {
            if word.starts_with('#') {
                break;
            }
            // Both are slices of one line, so the distance of their starts is the offset of the word.
            let offset = word.as_ptr().addr() - text.as_ptr().addr();
            let column = text.get(..offset).map_or(0, |before| before.chars().count()) + 1;
            end = column + word.chars().count();
            words.push(Word { text: word, column });
        }
        Self {
            line,
            words,
            next: 0,
            end,
        }
    }

    /// Number of the line.
    pub(super) const fn line(&self) -> usize {
        self.line
    }

    /// Whether the line has no words at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The next word, not taken.
    pub(super) fn peek(&self) -> Option<&'t str> {
        self.words.get(self.next).map(|word| word.text)
    }

    /// Leaves the next word behind.
    pub(super) fn skip(&mut self) {
        self.next = self.words.len().min(self.next + 1);
    }

    /// Takes the next word if it is `word`.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.skip();
        }
        found
    }

    /// Takes the next word and reads it; the word counts as taken even if it is wrong.
    pub(super) fn read<T>(&mut self, form: &Form<T>) -> Result<T, Problem> {
        let value = self.peek().and_then(form.read);
        let result = value.ok_or_else(|| self.expected(form.expected));
        self.skip();
        result
    }

    /// Complains that the next word is not what was expected.
    pub(super) fn expected(&self, what: &str) -> Problem {
        match self.words.get(self.next) {
            Some(word) => self.problem_at(word.column, format!("expected {what}, found `{}`", word.text)),
            None => self.problem_at(self.end, format!("expected {what}, found the end of the line")),
        }
    }

    /// Complains about the word just taken.
    pub(super) fn wrong(&self, message: String) -> Problem {
        let column = self
            .next
            .checked_sub(1)
            .and_then(|last| self.words.get(last))
            .map_or(1, |word| word.column);
        self.problem_at(column, message)
    }

    /// Demands that nothing is left.
    pub(super) fn end(&self) -> Result<(), Problem> {
        if self.next == self.words.len() {
            return Ok(());
        }
        Err(self.expected("the end of the line"))
    }

    /// Reads clauses up to the end of the line, each at most once.
    ///
    /// `read` takes a clause's first word and reads the rest of it; it answers `false` for a word it does not know,
    /// and nothing after such a word can be understood.
    pub(super) fn clauses(
        &mut self,
        known: &str,
        problems: &mut Vec<Problem>,
        mut read: impl FnMut(&'t str, &mut Self) -> Result<bool, Problem>,
    ) {
        let mut seen: Vec<&str> = Vec::new();
        while let Some(word) = self.peek() {
            let unknown = self.expected(known);
            self.skip();
            if seen.contains(&word) {
                problems.push(self.wrong(format!("`{word}` is given twice")));
            }
            seen.push(word);
            match read(word, self) {
                Ok(true) => {}
                Ok(false) => {
                    problems.push(unknown);
                    return;
                }
                Err(problem) => problems.push(problem),
            }
        }
    }

    fn problem_at(&self, column: usize, message: String) -> Problem {
        Problem {
            line: self.line,
            column,
            message,
        }
    }
}
