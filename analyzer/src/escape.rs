//! Texts from outside, made harmless: a name in a tape can hold anything, and what is printed may reach a terminal.

/// Whether a character can do more to a terminal than stand there: controls, and those that turn or split lines.
#[must_use]
pub fn is_hostile(character: char) -> bool {
    character.is_control()
        // Line and paragraph separator; the marks, embeddings and isolates of bidirectional text (UAX #9).
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A text from outside on one line, with everything escaped that could do more than stand there.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hostile(character) {
            result.extend(character.escape_default());
        } else {
            result.push(character);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_moves_a_cursor_is_escaped_and_names_are_not() {
        assert_eq!(escaped("shop/wéb-ŵ-日本"), "shop/wéb-ŵ-日本");
        assert_eq!(
            escaped("a\nb\u{1b}[31m\u{9b}2J\u{202e}x\u{7f}"),
            "a\\nb\\u{1b}[31m\\u{9b}2J\\u{202e}x\\u{7f}"
        );
    }
}
