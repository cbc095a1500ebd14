//! Files of variables, as many tools read them: `NAME=value`, `export`, comments, quotes over several lines, escapes. Nothing in a
//! value is replaced by anything: `$NAME` stays as it is. No problem repeats what the file says. Tests at the end of the file.

use std::fmt;

use crate::name::EnvKey;
use crate::secret::Secret;
use crate::secret::value::parse_value;

/// One variable.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: EnvKey,
    /// Its value.
    pub value: Secret,
    /// The line it begins on, from 1.
    pub line: usize,
}

/// Something that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line it begins on, from 1.
    pub line: usize,
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Reads a file whole.
///
/// # Errors
/// Every problem, in the order of the file; then nothing of it should be taken.
pub fn parse(text: &str) -> Result<Vec<Entry>, Vec<Problem>> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut entries: Vec<Entry> = Vec::new();
    let mut problems = Vec::new();
    while !reader.rest.is_empty() {
        let line = reader.line;
        match reader.entry() {
            Ok(None) => {}
            Ok(Some((name, value))) => match entries.iter().find(|entry| entry.name == name) {
                Some(first) => {
                    let message = format!("{name} is set on line {} already", first.line);
                    problems.push(Problem { line, message });
                }
                None => entries.push(Entry { name, value, line }),
            },
            Err(message) => problems.push(Problem { line, message }),
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

const BLANKS: [char; 2] = [' ', '\t'];

struct Reader<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Reader<'t> {
    /// The next variable; `None` for a line without one.
    fn entry(&mut self) -> Result<Option<(EnvKey, Secret)>, String> {
        let line = self.rest.split('\n').next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            self.take_line();
            return Ok(None);
        }
        let Some((head, _)) = line.split_once('=') else {
            self.take_line();
            return Err("there is no `=`; a value over several lines must be in quotes".to_owned());
        };
        let head = head.trim_end();
        let exported = head.strip_prefix("export").filter(|name| name.starts_with(BLANKS));
        // Not repeated: a piece of a value may have come here.
        let name = exported.unwrap_or(head).trim_start().parse::<EnvKey>();
        let name = name.map_err(|error| format!("what stands before `=` is no name: {}", error.rule));
        let behind = self.rest.split_once('=').map_or("", |(_, behind)| behind);
        self.rest = behind.trim_start_matches(BLANKS);
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => Ok(self.plain()),
        };
        let (name, value) = (name?, value?);
        match parse_value(value) {
            Ok(value) => Ok(Some((name, value))),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    /// The rest of the line; the next one comes.
    fn take_line(&mut self) -> &'t str {
        match self.rest.split_once('\n') {
            Some((line, rest)) => {
                self.rest = rest;
                self.line += 1;
                line
            }
            None => std::mem::take(&mut self.rest),
        }
    }

    /// A value without quotes: to the end of the line, or to a `#` behind a blank.
    fn plain(&mut self) -> String {
        let line = self.take_line();
        let is_comment =
            |(at, _): &(usize, &str)| line[..*at].chars().next_back().is_none_or(|c| BLANKS.contains(&c));
        let end = line.match_indices('#').find(is_comment).map_or(line.len(), |(at, _)| at);
        line[..end].trim().to_owned()
    }

    /// A value in quotes, over as many lines as it takes.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let text = &self.rest[1..];
        let mut value = String::new();
        let mut has_odd_escape = false;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.line += text[..at].matches('\n').count();
                    self.rest = &text[at + 1..];
                    let behind = self.take_line().trim();
                    return match (behind.is_empty() || behind.starts_with('#'), has_odd_escape) {
                        (true, false) => Ok(value),
                        (true, true) => {
                            Err("behind `\\` in double quotes stand n, r, t, \\, \" or $ only".to_owned())
                        }
                        (false, _) => Err("something stands behind the closing quote".to_owned()),
                    };
                }
                '\\' if quote == '"' => match chars.next().map(|(_, c)| c) {
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some(c @ ('\\' | '"' | '$')) => value.push(c),
                    _ => has_odd_escape = true,
                },
                _ => value.push(c),
            }
        }
        self.rest = "";
        Err("the quote is not closed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_understood() {
        let text = "\u{feff}# comment=1\n\nA=plain # comment\nexport B = \"two\\nlines \\\"q\\\" $X\" # c\n\
            C='single \\n # stays\nsecond line'\r\nD=a#b\r\n  E=\"# ${F}\"\nF=x=y==\nexport=1";
        let entries = parse(text).expect("is understood");
        let found: Vec<(String, &str, usize)> = entries
            .iter()
            .map(|entry| (entry.name.to_string(), entry.value.expose_text().expect("is text"), entry.line))
            .collect();
        let expected = [
            ("A", "plain", 3),
            ("B", "two\nlines \"q\" $X", 4),
            ("C", "single \\n # stays\nsecond line", 5),
            ("D", "a#b", 7),
            ("E", "# ${F}", 8),
            ("F", "x=y==", 9),
            ("export", "1", 10),
        ];
        assert_eq!(found, expected.map(|(name, value, line)| (name.to_owned(), value, line)));
    }

    #[test]
    fn every_problem_has_its_line_and_repeats_nothing() {
        let text = "A=\"one\ntwo\" planted\nplanted\nplanted-name=x\nB=\nC=1\nC=2\nD=\"\\x\"\nE='planted";
        let problems = parse(text).expect_err("has problems");
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [1, 3, 4, 5, 7, 8, 9]);
        assert!(!said.join("\n").contains("planted"), "{said:?}");
        assert_eq!(said[4], "line 7: C is set on line 6 already");
        assert_eq!(said[6], "line 9: the quote is not closed");
    }
}
