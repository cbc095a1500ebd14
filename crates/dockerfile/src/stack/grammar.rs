//! What of a repository's own words may stand in a Dockerfile: closed grammars, each a plain test of a text. Words that
//! pass none of them only ever get into errors. Tests at the end of the file.

/// Longest word that is taken over.
const WORD_MAX: usize = 64;
/// Longest dotted name that is taken over.
const DOTTED_MAX: usize = 200;

/// Whether it is the name of a package, binary or file: letters, digits, `.`, `_` and `-`, starting with a letter or
/// digit.
pub(crate) fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=WORD_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether it is one identifier as most languages have it: letters, digits and `_`, not starting with a digit.
pub(crate) fn is_identifier(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=WORD_MAX).contains(&bytes.len())
        && !bytes[0].is_ascii_digit()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether it is identifiers joined by dots: a module of Python, a class of Java.
pub(crate) fn is_dotted(text: &str) -> bool {
    text.len() <= DOTTED_MAX && text.split('.').all(is_identifier)
}

/// The first quoted text after `mark`, in single or double quotes on one line.
pub(crate) fn quoted_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(mark)?;
    let line = rest.lines().next()?;
    let start = line.find(['"', '\''])?;
    let quote = if line[start..].starts_with('"') { '"' } else { '\'' };
    let inside = &line[start + 1..];
    inside.find(quote).map(|end| &inside[..end])
}

/// The first line that says something: not empty, and no `#` comment.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_closed() {
        for right in ["api", "my-api", "Api_2.0", "7zip"] {
            assert!(is_word(right), "{right:?} must pass");
        }
        let long = "a".repeat(65);
        for wrong in ["", "-a", ".a", "a b", "a;b", "a$b", "a\nb", "a/b", "é", "a\"", long.as_str()] {
            assert!(!is_word(wrong), "{wrong:?} must not pass");
        }
    }

    #[test]
    fn dotted_names_are_closed() {
        for right in ["main", "app.main", "_a.B2", "com.example.Main"] {
            assert!(is_dotted(right), "{right:?} must pass");
        }
        for wrong in ["", ".", "a.", ".a", "a..b", "2a", "a-b", "a b", "a:b", "a;", "a\n"] {
            assert!(!is_dotted(wrong), "{wrong:?} must not pass");
        }
    }

    #[test]
    fn quotes_end_where_they_began() {
        let text = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', \"shop.settings\")\nx = 'y'";
        assert_eq!(quoted_after(text, "DJANGO_SETTINGS_MODULE',"), Some("shop.settings"));
        assert_eq!(quoted_after("a = \"it's\"", "a ="), Some("it's"));
        assert_eq!(quoted_after("a = \n'b'", "a ="), None);
        assert_eq!(quoted_after("a = 'b", "a ="), None);
        assert_eq!(quoted_after("a", "b"), None);
    }

    #[test]
    fn first_lines() {
        assert_eq!(first_line("\n# c\n 3.12 \n3.11"), "3.12");
        assert_eq!(first_line(""), "");
    }
}
