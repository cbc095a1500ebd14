//! Where one statement of a dump ends and the next begins, byte by byte, as psql sees it: quotes, dollar quotes, comments, parentheses,
//! bodies of functions. Knows no statement. Tests: at the end.

/// What has just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A statement, with its semicolon and the comments before it.
    Statement,
    /// A line for psql itself, such as `\restrict`, with the comments before it.
    Command,
}

/// Where in the text the next byte stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Plain,
    LineComment,
    /// How many are open.
    BlockComment(u32),
    Quote {
        /// Whether a backslash escapes, as in `E'...'`.
        escapes: bool,
    },
    /// After the backslash of such a text.
    Escaped,
    /// After a quote, which may be the first of two.
    AfterQuote {
        escapes: bool,
    },
    Name,
    /// Between the dollars of `$tag$`: the tag so far.
    DollarTag(Vec<u8>),
    /// Inside: what closes it, and how much of that has been seen.
    Dollar(Vec<u8>, usize),
    Command,
}

/// Finds the ends of statements.
#[derive(Debug)]
pub(crate) struct Splitter {
    mode: Mode,
    previous: u8,
    depth: u32,
    /// Whether anything but white space and comments has been seen since the last end.
    has_content: bool,
    /// The word that is being read, as far as it matters.
    word: Vec<u8>,
    /// How many words there were, and the first letters of those that begin a function.
    words: usize,
    initials: [u8; 4],
    /// `BEGIN` and `CASE` without their `END` in the body of a function.
    begun: u32,
}

/// Words longer than this mean nothing here.
const WORD_MAX: usize = 16;

impl Splitter {
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::Plain,
            previous: b'\n',
            depth: 0,
            has_content: false,
            word: Vec::new(),
            words: 0,
            initials: [0; 4],
            begun: 0,
        }
    }

    /// Whether a statement has begun and not ended.
    pub(crate) fn is_inside(&self) -> bool {
        self.has_content || !matches!(self.mode, Mode::Plain | Mode::LineComment)
    }

    /// Takes one byte; says so when something ends with it.
    ///
    /// # Errors
    /// A backslash where psql would read a command in the middle of a statement.
    pub(crate) fn push(&mut self, byte: u8) -> Result<Option<End>, &'static str> {
        let previous = std::mem::replace(&mut self.previous, byte);
        match &mut self.mode {
            Mode::Plain => return self.plain(previous, byte),
            Mode::LineComment => {
                if byte == b'\n' {
                    self.mode = Mode::Plain;
                }
            }
            Mode::BlockComment(open) => match (previous, byte) {
                // The two bytes are used up: `/*/` is not `/*` and `*/`.
                (b'/', b'*') => {
                    *open += 1;
                    self.previous = 0;
                }
                (b'*', b'/') => {
                    *open -= 1;
                    self.previous = 0;
                    if *open == 0 {
                        self.mode = Mode::Plain;
                    }
                }
                _ => {}
            },
            Mode::Quote { escapes } => match byte {
                b'\'' => self.mode = Mode::AfterQuote { escapes: *escapes },
                b'\\' if *escapes => self.mode = Mode::Escaped,
                _ => {}
            },
            Mode::Escaped => self.mode = Mode::Quote { escapes: true },
            Mode::AfterQuote { escapes } => {
                if byte == b'\'' {
                    self.mode = Mode::Quote { escapes: *escapes };
                } else {
                    self.mode = Mode::Plain;
                    return self.plain(previous, byte);
                }
            }
            Mode::Name => {
                if byte == b'"' {
                    self.mode = Mode::Plain;
                }
            }
            Mode::DollarTag(tag) => {
                if byte == b'$' {
                    let close = [&b"$"[..], tag.as_slice(), &b"$"[..]].concat();
                    self.mode = Mode::Dollar(close, 0);
                } else if is_word(byte) && !(tag.is_empty() && byte.is_ascii_digit()) {
                    tag.push(byte);
                } else {
                    self.mode = Mode::Plain;
                    return self.plain(previous, byte);
                }
            }
            Mode::Dollar(close, seen) => {
                if byte == close[*seen] {
                    *seen += 1;
                } else {
                    *seen = usize::from(byte == b'$');
                }
                if *seen == close.len() {
                    self.mode = Mode::Plain;
                }
            }
            Mode::Command => {
                if byte == b'\n' {
                    self.reset();
                    return Ok(Some(End::Command));
                }
            }
        }
        Ok(None)
    }

    fn plain(&mut self, previous: u8, byte: u8) -> Result<Option<End>, &'static str> {
        if is_word(byte) {
            self.has_content = true;
            if self.word.len() < WORD_MAX {
                self.word.push(byte.to_ascii_lowercase());
            }
            return Ok(None);
        }
        let word = std::mem::take(&mut self.word);
        if !word.is_empty() && byte != b'$' {
            self.end_word(&word);
        }
        match byte {
            b'-' if previous == b'-' => self.mode = Mode::LineComment,
            b'*' if previous == b'/' => {
                self.mode = Mode::BlockComment(1);
                self.previous = 0;
            }
            // Either may begin a comment.
            b'-' | b'/' => {}
            b'\\' if self.has_content => return Err("a backslash outside of quotes, in a statement"),
            b'\\' => self.mode = Mode::Command,
            b'\'' => self.mode = Mode::Quote { escapes: word == b"e" },
            b'"' => self.mode = Mode::Name,
            // Part of a name such as `a$b`, else the beginning of `$tag$`.
            b'$' if !word.is_empty() => self.word = word,
            b'$' => self.mode = Mode::DollarTag(Vec::new()),
            b'(' | b'[' => self.depth += 1,
            b')' | b']' => self.depth = self.depth.saturating_sub(1),
            b';' if self.depth == 0 && self.begun == 0 => {
                self.reset();
                return Ok(Some(End::Statement));
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() && !matches!(byte, b'-' | b'/' | b'*' | b'\\') {
            self.has_content = true;
        }
        Ok(None)
    }

    /// Semicolons in the body of a function written in SQL do not end it.
    fn end_word(&mut self, word: &[u8]) {
        let begins = [&b"create"[..], b"function", b"procedure", b"or", b"replace"];
        if self.words < self.initials.len() && begins.contains(&word) {
            self.initials[self.words] = word[0];
        }
        self.words += 1;
        let is_function = matches!(self.initials, [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']);
        if !is_function || self.depth > 0 {
            return;
        }
        match word {
            b"begin" => self.begun += 1,
            b"case" if self.begun > 0 => self.begun += 1,
            b"end" => self.begun = self.begun.saturating_sub(1),
            _ => {}
        }
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a text, without the white space between them, and what was left.
    fn pieces(text: &str) -> (Vec<String>, String) {
        let mut splitter = Splitter::new();
        let mut pieces = Vec::new();
        let mut pending = Vec::new();
        for byte in text.bytes() {
            pending.push(byte);
            if splitter.push(byte).unwrap().is_some() {
                let piece = String::from_utf8(std::mem::take(&mut pending)).unwrap();
                pieces.push(piece.trim().to_owned());
            }
        }
        (pieces, String::from_utf8(pending).unwrap())
    }

    #[test]
    fn statements_end_where_psql_ends_them() {
        let rows = [
            "SELECT ';';",
            "SELECT 'it''s;';",
            "SELECT E'\\';';",
            "SELECT e'a'';\\';';",
            "SELECT '\\';",
            "SELECT \"a;\"\"b\";",
            "SELECT $$;$ $$;",
            "SELECT $a$;$$;$b$;$$a$;",
            "SELECT a$b$;",
            "-- a; comment\nSELECT 1;",
            "/* a; /* b; */ c; */ SELECT 1;",
            "/*/;*/SELECT 1;",
            "SELECT 1 - -1 / 2;",
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;",
            "CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC SELECT 1; END;",
            "SELECT 'ü;' AS ü;",
        ];
        for row in rows {
            assert_eq!(pieces(row), (vec![row.to_owned()], String::new()), "{row}");
            let twice = format!("{row}\n{row}");
            assert_eq!(pieces(&twice).0.len(), 2, "{row}");
        }
        assert_eq!(pieces("BEGIN; COMMIT;").0, ["BEGIN;", "COMMIT;"]);
    }

    #[test]
    fn commands_are_lines_of_their_own() {
        let (found, rest) = pieces("--\n-- dump\n--\n\n\\restrict abc;def'\n\nSET a = 1;\n\n-- end\n");
        assert_eq!(found, ["--\n-- dump\n--\n\n\\restrict abc;def'", "SET a = 1;"]);
        assert_eq!(rest, "\n\n-- end\n");
        let mut splitter = Splitter::new();
        for byte in b"SELECT 1 " {
            assert_eq!(splitter.push(*byte), Ok(None));
        }
        assert!(splitter.push(b'\\').is_err());
    }
}
