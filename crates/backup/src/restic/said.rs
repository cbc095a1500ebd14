//! What the library below says, as one line: it may be a page, with the way through its code. Tests: at the end of the file.

/// Most that is kept of it, in characters.
const MOST: usize = 600;

/// Where nothing follows that helps whoever reads it.
const ENDS: [&str; 3] = ["For more information", "Some additional details", "Backtrace:"];

/// The part that says what is wrong.
pub(super) fn in_one_line(text: &str) -> String {
    let end = ENDS.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    let words: Vec<&str> = text[..end].split_whitespace().collect();
    words.join(" ").chars().filter(|character| !character.is_control()).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_a_line() {
        let page = "Error: error processing Pack:72a9 (kind: related to cryptographic operations): caused by: `x` failed.\n\nMessage:\n\
            Data decryption failed, MAC check failed.\n\nFor more information, see: https://example.org\n\nBacktrace:\n   0: a::b\n";
        assert_eq!(
            in_one_line(page),
            "Error: error processing Pack:72a9 (kind: related to cryptographic operations): caused by: `x` failed. Message: \
             Data decryption failed, MAC check failed."
        );
        assert_eq!(in_one_line("it cannot be found"), "it cannot be found");
        assert_eq!(in_one_line(&"x".repeat(2000)).len(), MOST);
    }
}
