//! One pattern of a `.dockerignore`: Go's `filepath.Match` plus `**`, as Docker documents and implements it.
//! Matching costs at most pattern length x path length. Tests at the end of the file.

/// Longest pattern.
const PATTERN_MAX: usize = 1024;

/// A parsed pattern, without a leading `!`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    /// Its components, to tell whether it may match below a folder; `None` from the first `**` on.
    components: Vec<Option<Vec<Token>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`: one character but a slash.
    One,
    /// `*`: any characters but a slash.
    Star,
    /// `**` before a slash or within a pattern: any number of whole folders, none included.
    Folders,
    /// `**` at the end, or at the start of otherwise literal text: anything.
    Anything,
    /// `[a-z]`, `[^a-z]`.
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Parses a cleaned pattern.
    ///
    /// # Errors
    /// Says what is wrong, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_MAX {
            return Err(format!("longer than {PATTERN_MAX} bytes"));
        }
        let mut components = Vec::new();
        for part in text.split('/') {
            components.push(if part.contains("**") { None } else { Some(tokenize(part)?) });
        }
        Ok(Self { tokens: tokenize(text)?, components })
    }

    /// Whether the pattern matches this very path.
    pub fn is_match(&self, path: &str) -> bool {
        matches(&self.tokens, path)
    }

    /// Whether it may match something inside this folder.
    pub fn may_match_below(&self, folder: &str) -> bool {
        let mut parts = folder.split('/');
        for component in &self.components {
            let Some(tokens) = component else { return true };
            match parts.next() {
                // The pattern reaches deeper than the folder.
                None => return true,
                Some(part) if matches(tokens, part) => {}
                Some(_) => return false,
            }
        }
        // It matches the folder itself or one above, and with it all that is inside.
        true
    }
}

fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    let mut is_first = true;
    while let Some(character) = rest.next() {
        let token = match character {
            '*' if rest.peek() == Some(&'*') => {
                while rest.peek() == Some(&'*') {
                    rest.next();
                }
                let is_folders = rest.peek() == Some(&'/');
                if is_folders {
                    rest.next();
                }
                let has_magic = rest.clone().any(|c| matches!(c, '*' | '?' | '[' | '\\'));
                match rest.peek() {
                    None => Token::Anything,
                    // Docker compares the ends of the texts here.
                    Some(_) if is_first && !is_folders && !has_magic => Token::Anything,
                    Some(_) => Token::Folders,
                }
            }
            '*' => Token::Star,
            '?' => Token::One,
            '\\' => Token::Literal(rest.next().ok_or("it ends with a backslash")?),
            '[' => parse_class(&mut rest)?,
            other => Token::Literal(other),
        };
        tokens.push(token);
        is_first = false;
    }
    Ok(tokens)
}

fn parse_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, String> {
    let open = || "a [ has no ]".to_owned();
    let is_negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let mut low = rest.next().ok_or_else(open)?;
        if low == ']' {
            if ranges.is_empty() {
                return Err("a [] holds nothing".to_owned());
            }
            return Ok(Token::Class { is_negated, ranges });
        }
        if low == '\\' {
            low = rest.next().ok_or_else(open)?;
        }
        let mut high = low;
        if rest.next_if_eq(&'-').is_some() {
            high = rest.next().ok_or_else(open)?;
            if high == ']' {
                return Err("a range in [] has no end".to_owned());
            }
            if high == '\\' {
                high = rest.next().ok_or_else(open)?;
            }
        }
        ranges.push((low, high));
    }
}

/// Walks the path once, keeping the set of tokens that may come next.
fn matches(tokens: &[Token], path: &str) -> bool {
    let mut states = vec![false; tokens.len() + 1];
    enter(tokens, &mut states, 0);
    for character in path.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (at, _) in states.iter().enumerate().filter(|(_, is_open)| **is_open) {
            match tokens.get(at) {
                None => {}
                Some(Token::Literal(wanted)) if *wanted == character => enter(tokens, &mut next, at + 1),
                Some(Token::One) if character != '/' => enter(tokens, &mut next, at + 1),
                Some(Token::Star) if character != '/' => enter(tokens, &mut next, at),
                Some(Token::Anything) => enter(tokens, &mut next, at),
                Some(Token::Folders) => {
                    // Inside the folders anything goes; after a slash they may end.
                    next[at] = true;
                    if character == '/' {
                        enter(tokens, &mut next, at + 1);
                    }
                }
                Some(Token::Class { is_negated, ranges }) if character != '/' => {
                    let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                    if is_in != *is_negated {
                        enter(tokens, &mut next, at + 1);
                    }
                }
                Some(_) => {}
            }
        }
        states = next;
    }
    // What is left must be able to match nothing.
    states[tokens.len()]
}

/// Opens a state and those reached from it without a character.
fn enter(tokens: &[Token], states: &mut [bool], mut at: usize) {
    loop {
        if states[at] {
            return;
        }
        states[at] = true;
        match tokens.get(at) {
            Some(Token::Star | Token::Anything | Token::Folders) => at += 1,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pattern, paths it matches, paths it does not: Docker's documentation and its own table.
    const TABLE: &[(&str, &[&str], &[&str])] = &[
        ("temp", &["temp"], &["temp/a", "a/temp", "temps"]),
        ("*/temp*", &["a/temp", "a/temporary.txt"], &["temp", "a/b/temp"]),
        ("*/*/temp*", &["a/b/temp"], &["a/temp", "a/b/c/temp"]),
        ("temp?", &["tempa", "tempé"], &["temp", "temp/", "tempab"]),
        ("*.go", &["a.go", ".go"], &["a/b.go", "a.goo"]),
        ("**/*.go", &["a.go", "a/b.go", "a/b/c.go"], &["a.goo"]),
        ("**", &["a", "a/b", ".x"], &[]),
        ("**/", &["a", "a/b"], &[]),
        ("a/**", &["a/b", "a/b/c", "a/"], &["a", "ab/c"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "ab", "a/b/c"]),
        ("**/foo", &["foo", "a/foo", "a/b/foo"], &["afoo", "foo/a"]),
        ("**foo", &["foo", "afoo", "a/bfoo"], &["fooa"]),
        ("**/foo/bar", &["foo/bar", "x/foo/bar"], &["foo/x/bar"]),
        (
            "**/node_modules/**",
            &["node_modules/a", "x/node_modules/a/b"],
            &["node_modules", "xnode_modules/a"],
        ),
        ("a[b-d]e", &["abe", "ade"], &["aae", "ae", "a/e"]),
        ("a[^b-d]e", &["aae"], &["abe", "a/e"]),
        ("[]a]", &[], &[]),
        ("a\\*", &["a*"], &["ab"]),
        ("a.b$", &["a.b$"], &["axb$"]),
        ("(a|b)", &["(a|b)"], &["a"]),
        ("abc.def", &["abc.def"], &["abcxdef"]),
        ("*", &["a", ".a"], &["a/b"]),
        ("a/*/b", &["a/x/b"], &["a/x/y/b", "a/b"]),
        ("a**/*.txt", &["a.txt", "a/b.txt", "ab/c.txt"], &["b.txt"]),
    ];

    #[test]
    fn table() {
        for (text, right, wrong) in TABLE {
            let Ok(pattern) = Pattern::parse(text) else {
                assert_eq!(*text, "[]a]", "must parse");
                continue;
            };
            for path in *right {
                assert!(pattern.is_match(path), "{text} must match {path}");
            }
            for path in *wrong {
                assert!(!pattern.is_match(path), "{text} must not match {path}");
            }
        }
    }

    #[test]
    fn broken_patterns() {
        for wrong in ["[", "[a", "[]", "[a-]", "a\\", "[^]"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn below() {
        let below =
            |pattern: &str, folder: &str| Pattern::parse(pattern).expect("parses").may_match_below(folder);
        assert!(below("a/b/c", "a"));
        assert!(below("a/*/c", "a/x"));
        assert!(below("**/c", "x/y"));
        assert!(below("a", "a/b"));
        assert!(!below("a/b", "x"));
        assert!(!below("a/b/c", "a/x"));
    }

    #[test]
    fn hostile_patterns_stay_cheap() {
        let pattern = Pattern::parse(&"*a".repeat(200)).expect("parses");
        assert!(!pattern.is_match(&"a".repeat(4000).replace("aaaaaaaaaa", "aaaaaaaaab")));
        let pattern = Pattern::parse(&"**/a/".repeat(150)).expect("parses");
        assert!(!pattern.is_match(&"a/b/".repeat(500)));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in ".{0,40}", path in ".{0,40}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.is_match(&path);
                pattern.may_match_below(&path);
            }
        }

        #[test]
        fn a_literal_matches_only_itself(text in "[a-z/]{1,12}", path in "[a-z/]{1,12}") {
            let pattern = Pattern::parse(&text).expect("parses");
            proptest::prop_assert_eq!(pattern.is_match(&path), text == path);
        }
    }
}
