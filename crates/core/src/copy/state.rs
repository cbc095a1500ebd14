//! Where a copy stands. Persisted; each variant holds exactly its data. No value of a row is in any of it.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Where a copy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// It has not begun.
    Waiting {
        /// Since when.
        since: Timestamp,
    },
    /// Rows go into the fresh database.
    Copying {
        /// Since when.
        since: Timestamp,
    },
    /// All rows are there and may be: the fresh database takes its place.
    Swapping {
        /// Since when.
        since: Timestamp,
        /// What was copied.
        report: Report,
    },
    /// The fresh database goes, and everything stays as it was before.
    Undoing {
        /// Since when.
        since: Timestamp,
        /// Why.
        outcome: Outcome,
    },
    /// The fresh database is the one services get.
    Succeeded {
        /// When.
        at: Timestamp,
        /// What was copied.
        report: Report,
    },
    /// Nothing was changed.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: FailureReason,
    },
    /// Somebody asked for it. Nothing was changed.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// How a copy ends that is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It failed.
    Failed {
        /// Why.
        reason: FailureReason,
    },
    /// Somebody asked for it.
    Cancelled,
}

impl State {
    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Copying { .. } => "copying",
            Self::Swapping { .. } => "swapping",
            Self::Undoing { .. } => "undoing",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// When it ended.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { .. } | Self::Copying { .. } | Self::Swapping { .. } | Self::Undoing { .. } => {
                None
            }
            Self::Succeeded { at, .. } | Self::Failed { at, .. } | Self::Cancelled { at } => Some(*at),
        }
    }

    /// Nothing will change any more.
    pub const fn is_final(&self) -> bool {
        self.ended_at().is_some()
    }

    /// What was copied, once that is known.
    pub const fn report(&self) -> Option<&Report> {
        match self {
            Self::Swapping { report, .. } | Self::Succeeded { report, .. } => Some(report),
            _ => None,
        }
    }

    /// Why it failed, or is about to.
    pub const fn failure(&self) -> Option<&FailureReason> {
        match self {
            Self::Failed { reason, .. } | Self::Undoing { outcome: Outcome::Failed { reason }, .. } => {
                Some(reason)
            }
            _ => None,
        }
    }
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Bytes of text or archive that went into the fresh database.
    pub bytes: u64,
    /// Rows by table, as `public.users`; only a masked copy counts them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableCount>,
    /// Statements about large objects that were left out.
    #[serde(default)]
    pub large_objects: u64,
    /// Original values that the leak test looked for.
    #[serde(default)]
    pub remembered: u64,
    /// What it found, where that was accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<Leaked>,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCount {
    /// Which: `public.users`.
    pub table: String,
    /// That were there.
    pub seen: u64,
    /// That were copied.
    pub copied: u64,
}

/// A column of which original values stand in the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaked {
    /// Which table: `public.users`.
    pub table: String,
    /// Which column.
    pub column: String,
    /// The first value found, masked: `m*** (20 characters)`.
    pub shown: String,
    /// How often.
    pub times: u64,
}

impl std::fmt::Display for Leaked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}: {}, {} times", self.table, self.column, self.shown, self.times)
    }
}

/// Why a copy failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum FailureReason {
    /// The rules do not fit the database, or do not speak of all that looks personal.
    Refused {
        /// What is wrong and what could be written, for people; no value.
        message: String,
    },
    /// Original values stand in columns that are kept.
    Leaked {
        /// Where from.
        found: Vec<Leaked>,
    },
    /// The server did not take what was sent.
    NotTaken {
        /// What its client said, for people.
        message: String,
    },
    /// The dump that somebody sent did not come to its end.
    BrokenOff {
        /// What happened, for people.
        message: String,
    },
    /// It was begun again and again.
    GaveUp {
        /// What went wrong last, for people.
        message: String,
    },
    /// It could not take its place in time.
    NotSwapped,
    /// A database it is about is gone or going.
    Gone,
}

impl std::fmt::Display for FailureReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { message } => f.write_str(message),
            Self::Leaked { found } => {
                f.write_str("original values stand in the copy, in columns that are kept: ")?;
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                f.write_str(&found.join("; "))
            }
            Self::NotTaken { message } => write!(f, "the server did not take it: {message}"),
            Self::BrokenOff { message } => write!(f, "the dump did not come to its end: {message}"),
            Self::GaveUp { message } => write!(f, "it was given up: {message}"),
            Self::NotSwapped => f.write_str("it could not take the place of the database in time"),
            Self::Gone => f.write_str("a database it is about is gone or going"),
        }
    }
}
