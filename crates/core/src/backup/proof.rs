//! Parts of a restore and of a drill, and why one proves nothing. What proves something is decided in `decide`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backup::Content;

/// A part of a restore or a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The server.
    Preparing,
    /// The bytes.
    Loading,
    /// The comparison.
    Checking,
}

impl Stage {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Loading => "loading",
            Self::Checking => "checking",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A table whose rows are not those of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Its name, with that of its schema.
    pub table: String,
    /// Rows when it was saved; absent where it was not there.
    pub saved: Option<u64>,
    /// Rows now; absent where it is not there.
    pub restored: Option<u64>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.escape_debug();
        match (self.saved, self.restored) {
            (Some(saved), Some(restored)) => write!(f, "{table} had {saved} rows and has {restored}"),
            (Some(saved), None) => write!(f, "{table} had {saved} rows and is missing"),
            (None, Some(restored)) => write!(f, "{table} has {restored} rows and was not saved"),
            (None, None) => write!(f, "{table} is not there"),
        }
    }
}

/// Why a copy proves nothing. Its text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Failure {
    /// No server came up to restore into.
    Server {
        /// What was said.
        reason: String,
    },
    /// The repository did not give the snapshot out.
    Repository {
        /// What it said.
        reason: String,
    },
    /// The program that loads did not end well.
    Loader {
        /// What it said.
        reason: String,
    },
    /// This version cannot load such a snapshot.
    Unsupported {
        /// What it is.
        reason: String,
    },
    /// What the repository gave out is not what the manifest says.
    StreamDiffers {
        /// What the manifest says.
        expected: Content,
        /// What came.
        found: Content,
    },
    /// What is in the copy is not what the manifest says.
    RowsDiffer {
        /// How many tables.
        count: u64,
        /// Some of them, by name.
        differences: Vec<Difference>,
    },
    /// The copy has other keys than the snapshot.
    KeysDiffer {
        /// How many of the snapshot end by themselves.
        expiring: u64,
        /// How many the copy has.
        found: u64,
        /// How many the snapshot holds.
        saved: u64,
    },
    /// The structure of its files is damaged.
    Structure {
        /// What was said.
        reason: String,
    },
    /// Something the user wants to be true is not.
    Assertion {
        /// What was asked.
        sql: String,
        /// What the answer was.
        answer: String,
    },
    /// It could not be looked at.
    Unreadable {
        /// What was said.
        reason: String,
    },
    /// Havre ended in between, so nobody saw how it went on.
    Interrupted,
    /// Something was seen that cannot come at this point. It is our bug, and nothing is proven.
    OutOfOrder {
        /// What was seen.
        seen: String,
    },
}

impl Failure {
    /// Whether it says nothing about the backup, so that it is tried again soon.
    pub const fn is_interruption(&self) -> bool {
        matches!(self, Self::Interrupted)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { reason } => write!(f, "no server came up to restore into: {reason}"),
            Self::Repository { reason } => write!(f, "the repository failed: {reason}"),
            Self::Loader { reason } => write!(f, "the snapshot could not be loaded: {reason}"),
            Self::Unsupported { reason } => write!(f, "this version cannot restore it: {reason}"),
            Self::StreamDiffers { expected, found } => {
                write!(f, "the manifest says {expected}, but the repository gives out {found}")
            }
            Self::RowsDiffer { count, differences } => {
                let some: Vec<String> = differences.iter().take(3).map(ToString::to_string).collect();
                write!(f, "{count} tables are not as they were saved: {}", some.join("; "))?;
                match count.saturating_sub(some.len() as u64) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Self::KeysDiffer { expiring, found, saved } => write!(
                f,
                "the snapshot holds {saved} keys, of which {expiring} end by themselves, and the copy has {found}"
            ),
            Self::Structure { reason } => write!(f, "its structure is damaged: {reason}"),
            Self::Assertion { sql, answer } => {
                write!(f, "`{}` is not true: the answer is {}", sql.escape_debug(), answer.escape_debug())
            }
            Self::Unreadable { reason } => write!(f, "the copy could not be looked at: {reason}"),
            Self::Interrupted => f.write_str("Havre ended while it ran"),
            Self::OutOfOrder { seen } => {
                write!(f, "{seen} was seen at a point where it cannot come; please report this")
            }
        }
    }
}
