//! What is wrong with a `havre.toml`: where, what, and the way out. Tests: `tests/it/manifest.rs`.

use std::fmt;
use std::ops::Range;

/// Most problems one error carries; more would hide the first ones.
pub const PROBLEMS_MAX: usize = 50;
/// Longest part of a line that is shown, in characters.
const SHOWN_MAX: usize = 100;

/// Everything that is wrong with one file, by position. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    problems: Vec<Problem>,
    /// Problems beyond [`PROBLEMS_MAX`].
    more: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind, stable for programs.
    pub code: Code,
    /// Where; `None` when it is not about a place in the file.
    pub at: Option<Position>,
    /// What, for people.
    pub message: String,
    /// What to do, for people; empty when the message says it.
    pub hint: String,
}

/// Kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Not TOML.
    Syntax,
    /// A key nothing reads.
    UnknownKey,
    /// A key a later version will read.
    LaterVersion,
    /// A key that must be there is not.
    MissingKey,
    /// Text where a number is expected, and so on.
    WrongType,
    /// The right type, but not a value that can be used.
    WrongValue,
    /// A name outside its grammar, or one Havre uses itself.
    WrongName,
    /// Two things that cannot both be.
    Conflict,
    /// A name that stands for nothing in this file.
    UnknownService,
    /// The same for a job.
    UnknownJob,
    /// The same for a database.
    UnknownDatabase,
    /// An environment this file does not describe.
    UnknownEnvironment,
    /// More than is read.
    TooLarge,
}

impl Code {
    /// The name programs see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown_key",
            Self::LaterVersion => "later_version",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::WrongValue => "wrong_value",
            Self::WrongName => "wrong_name",
            Self::Conflict => "conflict",
            Self::UnknownService => "unknown_service",
            Self::UnknownJob => "unknown_job",
            Self::UnknownDatabase => "unknown_database",
            Self::UnknownEnvironment => "unknown_environment",
            Self::TooLarge => "too_large",
        }
    }
}

/// A place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line itself, escaped and cut for display.
    pub text: String,
    /// Where the offending part begins in `text`, in characters, and how long it is (at least 1).
    pub mark: Range<usize>,
}

impl Position {
    /// The place of these bytes of the source.
    pub fn locate(source: &str, bytes: Range<usize>) -> Self {
        let start = floor(source, bytes.start.min(source.len()));
        let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |at| start + at);
        let end = floor(source, bytes.end.clamp(start, line_end));
        let line = source[..start].matches('\n').count() + 1;
        let column = source[line_start..start].chars().count() + 1;
        // A very long line is shown from a little before the offending part.
        let skipped = column.saturating_sub(SHOWN_MAX / 2);
        let shown = |text: &str| -> String { text.chars().map(visible).collect() };
        let text: String =
            shown(&source[line_start..line_end]).chars().skip(skipped).take(SHOWN_MAX).collect();
        let begin = column - 1 - skipped;
        let length = source[start..end].trim_end().chars().count().max(1);
        let text = text.trim_end().to_owned();
        let last = text.chars().count().max(begin + 1);
        Self { line, column, text, mark: begin..(begin + length).min(last) }
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Keeps columns and lets no escape sequence through.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

impl ManifestError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        let mut problems = problems;
        problems.sort_by_key(|problem| problem.at.as_ref().map(|at| (at.line, at.column)));
        problems.dedup();
        let more = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        Self { problems, more }
    }

    /// By position; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for problem in &self.problems {
            if !is_first {
                f.write_str("\n\n")?;
            }
            is_first = false;
            problem.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            1 => f.write_str("\n\nand one problem more"),
            more => write!(f, "\n\nand {more} problems more"),
        }
    }
}

impl std::error::Error for ManifestError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = &self.at else {
            f.write_str(&self.message)?;
            return if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.hint) };
        };
        write!(f, "line {}, column {}: {}", at.line, at.column, self.message)?;
        if !at.text.is_empty() {
            let number = at.line.to_string();
            let margin = " ".repeat(number.len());
            let indent = " ".repeat(at.mark.start);
            let mark = "^".repeat(at.mark.len().max(1));
            write!(f, "\n  {number} | {}\n  {margin} | {indent}{mark}", at.text)?;
        }
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.hint) }
    }
}
