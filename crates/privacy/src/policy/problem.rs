//! What is wrong with a `privacy.toml`: where, what, and the way out. Tests: `tests/it/policy.rs`.

use std::fmt;

use havre_manifest::problem::Position;

/// Most problems one error carries; more would hide the first ones.
pub const PROBLEMS_MAX: usize = 50;

/// Everything that is wrong with one file, by position. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
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
    /// A key that must be there is not.
    MissingKey,
    /// Text where a number is expected, and so on.
    WrongType,
    /// The right type, but not a value that can be used.
    WrongValue,
    /// A mask that does not exist.
    UnknownMask,
    /// A table the dump does not have.
    UnknownTable,
    /// A column the table does not have.
    UnknownColumn,
    /// A mask that cannot stand in its column.
    Unfit,
    /// Rows would be lost that others refer to, or keys would no longer fit.
    Conflict,
    /// More than is read.
    TooLarge,
}

impl Code {
    /// The name programs see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown_key",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::WrongValue => "wrong_value",
            Self::UnknownMask => "unknown_mask",
            Self::UnknownTable => "unknown_table",
            Self::UnknownColumn => "unknown_column",
            Self::Unfit => "unfit",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
        }
    }
}

impl PolicyError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
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

impl fmt::Display for PolicyError {
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

impl std::error::Error for PolicyError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            None => f.write_str(&self.message)?,
            Some(at) => {
                write!(f, "line {}, column {}: {}", at.line, at.column, self.message)?;
                if !at.text.is_empty() {
                    let number = at.line.to_string();
                    let margin = " ".repeat(number.len());
                    let indent = " ".repeat(at.mark.start);
                    let mark = "^".repeat(at.mark.len().max(1));
                    write!(f, "\n  {number} | {}\n  {margin} | {indent}{mark}", at.text)?;
                }
            }
        }
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.hint) }
    }
}
