//! A run as a row: what is saved, where to, and how far it has come. What follows from what was seen is decided in `state`. Tests
//! at the end of the file.

use serde::{Deserialize, Serialize};

use crate::backup::manifest::Manifest;
use crate::backup::state::State;
use crate::backup::{SnapshotId, What};
use crate::event::Actor;
use crate::id::BackupRunId;
use crate::name::TargetName;
use crate::time::Timestamp;

/// Runs that are kept of each thing and target besides those whose snapshots are there: the newest ones.
pub const KEEP_RUNS: u32 = 100;

/// A row: one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRun {
    /// Its id.
    pub id: BackupRunId,
    /// What is saved.
    pub what: What,
    /// Where to.
    pub target: TargetName,
    /// Where it stands; one that has not begun is `dumping` since it was recorded.
    pub state: State,
    /// Who asked for it.
    pub asked_by: Actor,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it began; absent while it waits for its turn. One that is found begun and not over at the start of Havre was interrupted.
    pub begun_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// Bytes so far.
    pub progress: Progress,
    /// The snapshot it wrote; whether that is still there is asked of the repository, but see `forgotten_at`.
    pub snapshot: Option<SnapshotId>,
    /// What it left behind when it was good.
    pub manifest: Option<Manifest>,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When its snapshot was removed by the policy.
    pub forgotten_at: Option<Timestamp>,
}

impl BackupRun {
    /// The state people see.
    pub const fn shown_state(&self) -> RunState {
        RunState::of(&self.state, self.begun_at.is_some())
    }

    /// Whether its snapshot was read back, and is there as far as is known.
    pub const fn is_good(&self) -> bool {
        matches!(self.state, State::Good { .. }) && self.forgotten_at.is_none()
    }
}

/// A state without its data, as people see it and ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It has not begun: another run uses the target.
    Waiting,
    /// The producer runs.
    Dumping,
    /// The repository writes the rest.
    Storing,
    /// All of it is read back.
    Verifying,
    /// It restores.
    Good,
    /// It is no backup.
    Failed,
}

impl RunState {
    /// Of a run that has begun or not.
    pub const fn of(state: &State, has_begun: bool) -> Self {
        match state {
            State::Dumping { .. } if !has_begun => Self::Waiting,
            State::Dumping { .. } => Self::Dumping,
            State::Storing { .. } => Self::Storing,
            State::Verifying { .. } => Self::Verifying,
            State::Good { .. } => Self::Good,
            State::Failed { .. } => Self::Failed,
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dumping => "dumping",
            Self::Storing => "storing",
            Self::Verifying => "verifying",
            Self::Good => "good",
            Self::Failed => "failed",
        }
    }

    /// Whether the run is over.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Good | Self::Failed)
    }
}

/// Text that is no state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run is waiting, dumping, storing, verifying, good or failed")]
pub struct RunStateError;

impl std::str::FromStr for RunState {
    type Err = RunStateError;

    fn from_str(text: &str) -> Result<Self, RunStateError> {
        let all = [Self::Waiting, Self::Dumping, Self::Storing, Self::Verifying, Self::Good, Self::Failed];
        all.into_iter().find(|state| state.as_str() == text).ok_or(RunStateError)
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Bytes of a run so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What the producer has written.
    pub produced_bytes: u64,
    /// What that has added to the repository; known at the end.
    pub added_bytes: u64,
}

/// Which runs to list. Nothing said means all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Of this.
    pub what: Option<What>,
    /// To this target.
    pub target: Option<TargetName>,
    /// In this state.
    pub state: Option<RunState>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_waits_until_it_has_begun() {
        let dumping = State::Dumping { since: Timestamp::from_millis(0) };
        assert_eq!(RunState::of(&dumping, false), RunState::Waiting);
        assert_eq!(RunState::of(&dumping, true), RunState::Dumping);
    }

    #[test]
    fn states_have_one_text() {
        for text in ["waiting", "dumping", "storing", "verifying", "good", "failed"] {
            let state: RunState = text.parse().expect("is one");
            assert_eq!(
                (state.to_string().as_str(), state.is_over()),
                (text, matches!(text, "good" | "failed"))
            );
            assert_eq!(serde_json::to_value(state).expect("is JSON"), text);
        }
        assert_eq!("Good".parse::<RunState>(), Err(RunStateError));
    }
}
