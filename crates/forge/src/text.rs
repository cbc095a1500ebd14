//! Texts of ours that must fit at a forge, and texts of theirs that must fit here. Tests at the end of the file.

/// Longest text of a forge that is passed on, in characters.
const THEIRS_MAX: usize = 200;

/// At most `most` characters of a text; an ellipsis where some are left out.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A text that somebody else has written: one line, short.
pub(crate) fn theirs(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shorten(line.trim(), THEIRS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_by_characters() {
        assert_eq!(shorten("née", 3), "née");
        assert_eq!(shorten("néee", 3), "né…");
        assert_eq!(theirs(" a\nb\u{1b}[1m "), "a b [1m");
        assert_eq!(theirs(&"a".repeat(900)).chars().count(), THEIRS_MAX);
    }
}
