//! Words of an instruction as a shell would see them: quotes and escapes are taken off, variables stay.
//! Tests: `tests/it/file.rs`.

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'a> {
    /// Without quotes and escapes.
    pub text: String,
    /// As it is written.
    pub raw: &'a str,
}

/// Splits a text at white space outside of quotes. A quote that is never closed reaches to the end.
pub fn words(text: &str, escape: char) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((word, after)) = next_word(rest, escape) {
        words.push(word);
        rest = after;
    }
    words
}

/// The first word and what follows it.
pub(super) fn next_word(text: &str, escape: char) -> Option<(Word<'_>, &str)> {
    let text = text.trim_start();
    if text.is_empty() {
        return None;
    }
    let mut unquoted = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match quote {
            None if character.is_whitespace() => {
                return Some((Word { text: unquoted, raw: &text[..at] }, &text[at..]));
            }
            None if character == '"' || character == '\'' => quote = Some(character),
            Some(open) if open == character => quote = None,
            // Nothing is escaped within single quotes.
            Some('\'') => unquoted.push(character),
            _ if character == escape => {
                unquoted.push(characters.next().map_or(character, |(_, escaped)| escaped));
            }
            _ => unquoted.push(character),
        }
    }
    Some((Word { text: unquoted, raw: text }, ""))
}
