//! Markdown as far as specifications need it: prose, fenced blocks, commands with their output.

/// A part of a Markdown text.
pub(super) enum Block<'t> {
    /// Anything outside fences, as it stands.
    Prose(&'t str),
    /// A fenced block.
    Fenced {
        /// First word of the information string, or empty.
        kind: &'t str,
        /// Second word, if there is one.
        name: Option<&'t str>,
        /// Line of the opening fence, counted from 1.
        line: usize,
        /// The opening fence with its information string, as it stands.
        open: &'t str,
        /// What is inside, each line with its end.
        body: String,
        /// The closing fence, as it stands; empty if the text ended before it.
        close: &'t str,
    },
}

impl Block<'_> {
    /// The block as text, with another body.
    pub(super) fn with_body(&self, body: &str) -> String {
        match self {
            Self::Prose(prose) => (*prose).to_owned(),
            Self::Fenced { open, close, .. } => format!("{open}{body}{close}"),
        }
    }
}

/// Splits a text into blocks; put together they are the text again.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.split_inclusive('\n').zip(1..);
    while let Some((open, line)) = lines.next() {
        let ticks = open.chars().take_while(|c| *c == '`').count();
        if ticks < 3 {
            blocks.push(Block::Prose(open));
            continue;
        }
        let mut words = open.get(ticks..).unwrap_or_default().split_whitespace();
        let (kind, name) = (words.next().unwrap_or_default(), words.next());
        let mut body = String::new();
        let mut close = "";
        for (inner, _) in lines.by_ref() {
            // A fence of the same length or longer and nothing else ends the block (CommonMark 0.31, section 4.5).
            if inner.trim_end().len() >= ticks && inner.trim_end().chars().all(|c| c == '`') {
                close = inner;
                break;
            }
            body.push_str(inner);
        }
        blocks.push(Block::Fenced {
            kind,
            name,
            line,
            open,
            body,
            close,
        });
    }
    blocks
}

/// The text of a heading, if the line is one.
pub(super) fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len() && text.starts_with(' ')).then(|| text.trim())
}

/// The commands of a console block, each with what is expected after it.
pub(super) fn commands(body: &str) -> Vec<(&str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in body.split_inclusive('\n') {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (None, Some((_, expected))) => expected.push_str(line),
            // What stands before the first command is a command that lacks its mark.
            (command, _) => commands.push((command.unwrap_or(line).trim_end(), String::new())),
        }
    }
    commands
}

/// The arguments of a `flowtape` or `cat` command, and whether its standard error is wanted, too. Quotes group words as in a
/// shell; there is nothing else of a shell.
pub(super) fn words(command: &str) -> Option<(Vec<String>, bool)> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
            word.get_or_insert_default();
        } else if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    words.extend(word);
    let with_errors = words.last().is_some_and(|last| last == "2>&1");
    if with_errors {
        words.pop();
    }
    let is_known = quote.is_none() && words.first().is_some_and(|first| first == "flowtape" || first == "cat");
    is_known.then(|| (words.split_off(1), with_errors))
}
