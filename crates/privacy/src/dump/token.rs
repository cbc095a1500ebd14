//! The words of one statement of a dump, and a cursor over them. Texts are skipped: no statement is understood by what stands in one.
//! Tests: those of `statement`.

use crate::name::TableName;

/// One word of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name or keyword without quotes, in lower case as PostgreSQL folds it.
    Word(String),
    /// A name in double quotes.
    Name(String),
    Number(String),
    /// A text, whatever its quotes.
    Text,
    Symbol(u8),
}

/// The words of a statement, `max` at most.
pub(crate) fn tokens(statement: &[u8], max: usize) -> Vec<Token> {
    let mut reader = TokenReader { bytes: statement, at: 0 };
    let mut tokens = Vec::new();
    while tokens.len() < max {
        let Some(token) = reader.token() else { break };
        tokens.push(token);
    }
    tokens
}

struct TokenReader<'s> {
    bytes: &'s [u8],
    at: usize,
}

impl TokenReader<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn token(&mut self) -> Option<Token> {
        self.skip_space();
        let byte = *self.bytes.get(self.at)?;
        match byte {
            b'\'' => Some(self.text(false)),
            b'"' => Some(self.name()),
            b'$' => Some(self.dollar()),
            b'0'..=b'9' => {
                let number = self.take_while(|byte| byte.is_ascii_digit() || byte == b'.');
                Some(Token::Number(number))
            }
            byte if is_word(byte) => {
                let word = self.take_while(|byte| is_word(byte) || byte.is_ascii_digit() || byte == b'$');
                let word = word.to_ascii_lowercase();
                if word == "e" && self.peek(0) == b'\'' {
                    return Some(self.text(true));
                }
                Some(Token::Word(word))
            }
            symbol => {
                self.at += 1;
                Some(Token::Symbol(symbol))
            }
        }
    }

    fn skip_space(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'-', b'-') => {
                    while self.at < self.bytes.len() && self.peek(0) != b'\n' {
                        self.at += 1;
                    }
                }
                (b'/', b'*') => self.skip_comment(),
                (byte, _) if byte.is_ascii_whitespace() => self.at += 1,
                _ => return,
            }
        }
    }

    fn skip_comment(&mut self) {
        let mut open = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    open += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    open -= 1;
                    self.at += 2;
                    if open == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(|byte| belongs(*byte)) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned()
    }

    fn text(&mut self, escapes: bool) -> Token {
        self.at += 1;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'\'', b'\'') => self.at += 2,
                (b'\'', _) => {
                    self.at += 1;
                    break;
                }
                (b'\\', _) if escapes => self.at += 2,
                _ => self.at += 1,
            }
        }
        Token::Text
    }

    fn name(&mut self) -> Token {
        self.at += 1;
        let mut name = Vec::new();
        while let Some(byte) = self.bytes.get(self.at).copied() {
            self.at += 1;
            if byte == b'"' {
                if self.peek(0) != b'"' {
                    break;
                }
                self.at += 1;
            }
            name.push(byte);
        }
        Token::Name(String::from_utf8_lossy(&name).into_owned())
    }

    /// `$tag$...$tag$`, or a dollar that begins nothing.
    fn dollar(&mut self) -> Token {
        let rest = &self.bytes[self.at..];
        let tag = rest.iter().skip(1).position(|byte| !is_word(*byte) && !byte.is_ascii_digit());
        let is_open = tag.is_some_and(|length| rest[length + 1] == b'$' && !rest[1].is_ascii_digit());
        let Some(length) = tag.filter(|_| is_open) else {
            self.at += 1;
            return Token::Symbol(b'$');
        };
        let close = &rest[..length + 2];
        let body = &rest[close.len()..];
        let end = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
        self.at = (self.at + 2 * close.len() + end).min(self.bytes.len());
        Token::Text
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Reads tokens one after the other.
#[derive(Debug)]
pub(crate) struct Cursor<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(tokens: &'t [Token]) -> Self {
        Self { tokens, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'t [Token] {
        &self.tokens[self.at..]
    }

    /// Takes these keywords if they are what comes next.
    pub(crate) fn words(&mut self, words: &[&str]) -> bool {
        let rest = self.rest();
        let is_next = rest.len() >= words.len()
            && words
                .iter()
                .zip(rest)
                .all(|(word, token)| matches!(token, Token::Word(found) if found == word));
        if is_next {
            self.at += words.len();
        }
        is_next
    }

    /// Takes a symbol if it comes next.
    pub(crate) fn symbol(&mut self, symbol: u8) -> bool {
        let is_next = self.peek() == Some(&Token::Symbol(symbol));
        if is_next {
            self.at += 1;
        }
        is_next
    }

    /// An identifier, quoted or not.
    pub(crate) fn name(&mut self) -> Option<String> {
        let (Token::Word(name) | Token::Name(name)) = self.peek()? else { return None };
        self.at += 1;
        Some(name.clone())
    }

    /// `schema.name`; without a schema it is none: pg_dump always writes one.
    pub(crate) fn table(&mut self) -> Option<TableName> {
        let schema = self.name()?;
        if !self.symbol(b'.') {
            return None;
        }
        Some(TableName::new(schema, self.name()?))
    }

    /// `(a, b)`.
    pub(crate) fn names(&mut self) -> Option<Vec<String>> {
        if !self.symbol(b'(') {
            return None;
        }
        let mut names = Vec::new();
        loop {
            names.push(self.name()?);
            if self.symbol(b')') {
                return Some(names);
            }
            if !self.symbol(b',') {
                return None;
            }
        }
    }

    /// What stands in parentheses, split at the commas that are in no others; `None` where they are not closed.
    pub(crate) fn list(&mut self) -> Option<Vec<&'t [Token]>> {
        if !self.symbol(b'(') {
            return None;
        }
        let mut parts = Vec::new();
        let mut start = self.at;
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::Symbol(b')') if depth == 0 => {
                    if self.at > start {
                        parts.push(&self.tokens[start..self.at]);
                    }
                    self.at += 1;
                    return Some(parts);
                }
                Token::Symbol(b'(' | b'[') => depth += 1,
                Token::Symbol(b')' | b']') => depth = depth.saturating_sub(1),
                Token::Symbol(b',') if depth == 0 => {
                    parts.push(&self.tokens[start..self.at]);
                    start = self.at + 1;
                }
                _ => {}
            }
            self.at += 1;
        }
        None
    }
}
