//! What happened to copies, and what was read out of databases. No value of a row is in any of it.

use serde::{Deserialize, Serialize};

use crate::copy::state::{FailureReason, State};
use crate::copy::{DatabaseCopy, DumpFormat, Origin};
use crate::id::CopyId;
use crate::name::DatabaseName;
use crate::service::Place;

/// A past-tense fact; the subject of the event is the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Which database: the one a copy goes into, or that was read; `service` is its name.
    pub database: Place,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Fact {
    /// Somebody asked for a copy.
    Requested {
        /// The copy.
        copy: CopyId,
        /// Where its rows come from.
        origin: Origin,
        /// Whether personal data is masked.
        masked: bool,
        /// What was there before goes.
        drop_old: bool,
        /// Under this name beside the database.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<DatabaseName>,
    },
    /// It was begun, for the first time or once more.
    Begun {
        /// The copy.
        copy: CopyId,
        /// How often so far.
        attempt: u32,
    },
    /// It entered a state.
    StateChanged {
        /// The copy.
        copy: CopyId,
        /// Which state.
        to: State,
    },
    /// Somebody asked to cancel it.
    CancelRequested {
        /// The copy.
        copy: CopyId,
    },
    /// Somebody was given a dump.
    Dumped {
        /// How it is written.
        format: DumpFormat,
    },
    /// What belongs to one person was asked for, or erased.
    Person {
        /// Which.
        what: PersonAct,
        /// What the person was looked for by, as a hash under the project's salt.
        person: String,
        /// Rows, where they were counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u64>,
    },
}

/// What was done about one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonAct {
    /// Somebody was given what belongs to the person.
    Exported,
    /// Somebody was told how much would be erased.
    Counted,
    /// It is about to be erased.
    EraseBegun,
    /// It was erased.
    Erased,
}

impl PersonAct {
    /// In the past tense, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Counted => "counted",
            Self::EraseBegun => "about to be erased",
            Self::Erased => "erased",
        }
    }
}

impl Fact {
    /// That somebody asked for a copy.
    pub fn requested(copy: &DatabaseCopy) -> Self {
        Self::Requested {
            copy: copy.id,
            origin: copy.origin.clone(),
            masked: copy.is_masked(),
            drop_old: copy.wish.drop_old,
            beside: copy.wish.beside.clone(),
        }
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.database.service;
        match &self.fact {
            Fact::Requested { copy, origin, masked, drop_old, beside } => {
                let how = if *masked { "masked" } else { "unmasked" };
                match origin {
                    Origin::Database { environment, .. } => {
                        write!(f, "copy {copy}: {name} of {environment}, {how}, wanted")?;
                    }
                    Origin::Upload => write!(f, "copy {copy}: a dump for {name} wanted")?,
                }
                if let Some(beside) = beside {
                    write!(f, " as {beside}")?;
                }
                if *drop_old { f.write_str("; what was there before goes") } else { Ok(()) }
            }
            Fact::Begun { copy, attempt } => write!(f, "copy {copy} of {name} begun (attempt {attempt})"),
            Fact::StateChanged { copy, to } => tell_state(f, *copy, to),
            Fact::CancelRequested { copy } => write!(f, "copy {copy} should be cancelled"),
            Fact::Dumped { format } => write!(f, "database {name} dumped ({})", format.as_str()),
            Fact::Person { what, person, rows } => {
                write!(f, "database {name}: a person ({person}) {}", what.as_str())?;
                match rows {
                    Some(rows) => write!(f, ", {rows} rows"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn tell_state(f: &mut std::fmt::Formatter<'_>, copy: CopyId, to: &State) -> std::fmt::Result {
    write!(f, "copy {copy} ")?;
    match to {
        State::Failed { reason, .. } => write!(f, "failed: {}", first_line(reason)),
        State::Succeeded { report, .. } if report.leaks.is_empty() => f.write_str("succeeded"),
        State::Succeeded { report, .. } => {
            write!(f, "succeeded; columns whose values stand in it: {}", report.leaks.len())
        }
        other => write!(f, "is {}", other.name()),
    }
}

/// What is refused may be a whole list of lines to write.
fn first_line(reason: &FailureReason) -> String {
    reason.to_string().lines().next().unwrap_or_default().to_owned()
}
