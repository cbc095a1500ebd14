//! A statement without what somebody has stored. PostgreSQL and MariaDB put a mark in place of values by themselves, but not in comments, not in every
//! statement and not always: so whatever still looks like a value is taken out here. Tests at the end of the file.

use std::iter::Peekable;
use std::str::Chars;

/// What stands in place of a value.
const MARK: char = '?';
/// What stands in place of a rest that cannot be told apart from values.
const REST: char = '…';

/// The text in one line, without values and comments. Names of tables and columns stay.
pub fn without_values(text: &str) -> String {
    let mut reader = Reader { letters: text.chars().peekable(), said: String::new() };
    while let Some(letter) = reader.letters.next() {
        if !reader.take(letter) {
            reader.said.push(REST);
            break;
        }
    }
    reader.said.trim().to_owned()
}

struct Reader<'a> {
    letters: Peekable<Chars<'a>>,
    said: String,
}

impl Reader<'_> {
    /// One part of the text, which begins with this letter; `false` where it is not clear how it goes on.
    fn take(&mut self, letter: char) -> bool {
        match letter {
            '\'' => self.quoted(),
            '$' => self.dollar(),
            '"' | '`' => self.name(letter),
            '-' if self.letters.peek() == Some(&'-') => {
                while self.letters.next_if(|next| *next != '\n').is_some() {}
                self.space();
                true
            }
            '/' if self.letters.peek() == Some(&'*') => self.comment(),
            _ if letter.is_whitespace() => {
                self.space();
                true
            }
            _ if letter.is_control() => true,
            _ if letter.is_ascii_digit() => {
                while self.letters.next_if(|next| is_of_number(*next)).is_some() {}
                self.said.push(MARK);
                true
            }
            _ if is_of_word(letter) => {
                self.said.push(letter);
                while let Some(next) = self.letters.next_if(|next| is_of_word(*next)) {
                    self.said.push(next);
                }
                true
            }
            _ => {
                self.said.push(letter);
                true
            }
        }
    }

    /// One space, however many there were.
    fn space(&mut self) {
        if !self.said.ends_with(' ') {
            self.said.push(' ');
        }
    }

    /// A text up to its closing quote. Whether a backslash hides a quote depends on the server and its settings: after one, nothing is clear.
    fn quoted(&mut self) -> bool {
        self.said.push(MARK);
        let mut has_backslash = false;
        while let Some(letter) = self.letters.next() {
            has_backslash |= letter == '\\';
            if letter == '\'' && self.letters.next_if_eq(&'\'').is_none() {
                return !has_backslash;
            }
        }
        false
    }

    /// A parameter such as `$1`, or a text such as `$tag$ ... $tag$`.
    fn dollar(&mut self) -> bool {
        let mut tag = String::new();
        while let Some(next) = self.letters.next_if(|next| is_of_word(*next) && *next != '$') {
            tag.push(next);
        }
        if self.letters.next_if_eq(&'$').is_none() {
            let is_parameter = !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_digit());
            self.said.push('$');
            self.said.push_str(if is_parameter { &tag } else { "" });
            return is_parameter;
        }
        self.said.push(MARK);
        let end = format!("${tag}$");
        let rest: String = self.letters.clone().collect();
        let Some(at) = rest.find(&end) else { return false };
        let skipped = rest[..at + end.len()].chars().count();
        for _ in 0..skipped {
            self.letters.next();
        }
        true
    }

    /// A quoted name, as it is.
    fn name(&mut self, quote: char) -> bool {
        self.said.push(quote);
        for letter in self.letters.by_ref() {
            if !letter.is_control() {
                self.said.push(letter);
            }
            if letter == quote {
                return true;
            }
        }
        false
    }

    /// A comment, in which others may be.
    fn comment(&mut self) -> bool {
        let mut depth = 0_u32;
        let mut before = '/';
        while let Some(letter) = self.letters.next() {
            match (before, letter) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    before = letter;
                    continue;
                }
            }
            if depth == 0 {
                self.space();
                return true;
            }
            before = ' ';
        }
        false
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

fn is_of_number(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '.' || letter == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_and_comments_go_and_names_stay() {
        for (text, shown) in [
            ("SELECT a1, \"B 2\" FROM t2\n  WHERE id = $1", "SELECT a1, \"B 2\" FROM t2 WHERE id = $1"),
            ("SELECT 1, -2.5e3, 0x1F, 'it''s', E'x', 3", "SELECT ?, -?, ?, ?, E?, ?"),
            ("SELECT a /* user='ada' /* in */ here */ FROM t -- ada\nWHERE b", "SELECT a FROM t WHERE b"),
            ("DO $$ SELECT 'ada' $$ LANGUAGE sql", "DO ? LANGUAGE sql"),
            ("DO $body$ $$ ada $body$ x", "DO ? x"),
            ("SELECT `SLEEP` (?) , ?, ... ", "SELECT `SLEEP` (?) , ?, ..."),
        ] {
            assert_eq!(without_values(text), shown, "{text}");
        }
    }

    /// As PostgreSQL 15 kept it: an `EXPLAIN` at the end of a text with several statements.
    #[test]
    fn what_postgres_leaves_in() {
        let kept = "CREATE ROLE reader LOGIN PASSWORD 'geheim'; INSERT INTO orders SELECT n, 'ada' || n FROM generate_series(1, 20000) n; \
            SELECT count(*) FROM orders WHERE email = 'ada1' /* ada1 */; EXPLAIN SELECT * FROM orders WHERE email = $1";
        assert_eq!(
            without_values(kept),
            "CREATE ROLE reader LOGIN PASSWORD ?; INSERT INTO orders SELECT n, ? || n FROM generate_series(?, ?) n; \
             SELECT count(*) FROM orders WHERE email = ? ; EXPLAIN SELECT * FROM orders WHERE email = $1"
        );
    }

    #[test]
    fn where_it_is_not_clear_the_rest_goes() {
        for (text, shown) in [
            ("SELECT 'a\\', 'ada'", "SELECT ?…"),
            ("SELECT E'a\\'b', ada", "SELECT E?…"),
            ("SELECT 'ada", "SELECT ?…"),
            ("SELECT 1 /* ada", "SELECT ? …"),
            ("DO $x$ ada", "DO ?…"),
            ("SELECT $ada", "SELECT $…"),
            ("SELECT \"ada", "SELECT \"ada…"),
        ] {
            assert_eq!(without_values(text), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_value_is_left(before in "[a-z ,=(]{0,20}", value in "[^'\\\\]{0,30}", number in 10_000_u32..) {
            let text = format!("{before} 'geheim{value}' {number}");
            let shown = without_values(&text);
            prop_assert!(!shown.contains("geheim") && !shown.contains(&number.to_string()), "{shown}");
        }

        #[test]
        fn any_text_ends(text in ".{0,200}") {
            let shown = without_values(&text);
            prop_assert!(!shown.contains('\n') && shown.chars().count() <= text.chars().count() + 2);
        }
    }
}
