//! What happened to targets and runs of backups, to restores and to drills. Never a password, never a credential.

use serde::{Deserialize, Serialize};

use crate::backup::age::Alarm;
use crate::backup::location::Location;
use crate::backup::proof;
use crate::backup::state::{Failure, Stage};
use crate::backup::{Content, RepositoryId, SnapshotId, What};
use crate::id::{BackupRunId, DrillId, RestoreId, VolumeRestoreId};
use crate::name::{DatabaseName, MediumName, TargetName, VolumeName};
use crate::time::Timestamp;

/// A past-tense fact; its subject is the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// There is a target, or something else was said about it.
    TargetSet {
        /// Which.
        target: TargetName,
        /// Where its repository lies.
        location: Location,
        /// What its bytes lie on.
        medium: MediumName,
        /// Whether it outlives this place.
        is_offsite: bool,
    },
    /// A target is not used any more; its repository was left as it is.
    TargetRemoved {
        /// Which.
        target: TargetName,
        /// Although newest copies lay there, or nobody had its recovery kit.
        is_forced: bool,
    },
    /// The repository of a target was made.
    RepositoryMade {
        /// Whose.
        target: TargetName,
        /// Its id.
        repository: RepositoryId,
    },
    /// A target can be used.
    TargetReady {
        /// Which.
        target: TargetName,
    },
    /// A target cannot be used.
    TargetFailed {
        /// Which.
        target: TargetName,
        /// Why.
        reason: String,
    },
    /// Somebody was shown the recovery kit of a target.
    KitShown {
        /// Whose.
        target: TargetName,
        /// It had been shown before.
        is_again: bool,
    },
    /// Something else is promised for what is saved.
    PolicyChanged {
        /// Of what.
        what: What,
    },
    /// A run was asked for.
    RunCreated {
        /// Which.
        run: BackupRunId,
        /// What is saved.
        what: What,
        /// Where to.
        target: TargetName,
    },
    /// A run began.
    RunBegun {
        /// Which.
        run: BackupRunId,
        /// What is saved.
        what: What,
        /// Where to.
        target: TargetName,
    },
    /// A run entered a stage.
    RunAdvanced {
        /// Which.
        run: BackupRunId,
        /// The stage.
        stage: Stage,
    },
    /// A run left a backup that was read back.
    RunGood {
        /// Which.
        run: BackupRunId,
        /// What is saved.
        what: What,
        /// Where.
        target: TargetName,
        /// The snapshot.
        snapshot: SnapshotId,
        /// What is in there.
        content: Content,
    },
    /// A run left no backup; or its backup was seen to be none.
    RunFailed {
        /// Which.
        run: BackupRunId,
        /// What was to be saved.
        what: What,
        /// Where to.
        target: TargetName,
        /// How far it had come.
        stage: Stage,
        /// Why.
        reason: Failure,
    },
    /// Somebody asked to cancel a run.
    CancelRequested {
        /// Which.
        run: BackupRunId,
    },
    /// Snapshots were removed, as the policy says.
    SnapshotsForgotten {
        /// Of what.
        what: What,
        /// Where.
        target: TargetName,
        /// The runs that had made them.
        runs: Vec<BackupRunId>,
    },
    /// A restore into a new database was asked for.
    RestoreCreated {
        /// Which.
        restore: RestoreId,
        /// What was saved.
        what: What,
        /// The new database, in the same environment.
        database: DatabaseName,
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A restore entered a part of its work.
    RestoreAdvanced {
        /// Which.
        restore: RestoreId,
        /// The part.
        stage: proof::Stage,
    },
    /// A new database is what was saved.
    RestoreReady {
        /// Which.
        restore: RestoreId,
        /// What was saved.
        what: What,
        /// The new database.
        database: DatabaseName,
    },
    /// A restore left no database.
    RestoreFailed {
        /// Which.
        restore: RestoreId,
        /// What was saved.
        what: What,
        /// How far it had come.
        stage: proof::Stage,
        /// Why.
        reason: proof::Failure,
    },
    /// A restore into a new volume was asked for, or is over.
    VolumeRestored {
        /// Which.
        restore: VolumeRestoreId,
        /// What was saved.
        what: What,
        /// The new volume, of the same service.
        volume: VolumeName,
        /// What came of it, for people.
        outcome: String,
    },
    /// A drill was asked for.
    DrillCreated {
        /// Which.
        drill: DrillId,
        /// What was saved.
        what: What,
        /// The snapshot it tries.
        snapshot: SnapshotId,
    },
    /// A drill entered a part of its work.
    DrillAdvanced {
        /// Which.
        drill: DrillId,
        /// The part.
        stage: proof::Stage,
    },
    /// A snapshot restores, and how long that took.
    DrillPassed {
        /// Which.
        drill: DrillId,
        /// What was saved.
        what: What,
        /// The snapshot.
        snapshot: SnapshotId,
        /// Until the copy was whole.
        rto_measured_ms: u64,
    },
    /// A snapshot does not restore, or nobody could see whether it does. Somebody has to look.
    DrillFailed {
        /// Which.
        drill: DrillId,
        /// What was saved.
        what: What,
        /// The snapshot.
        snapshot: SnapshotId,
        /// How far it had come.
        stage: proof::Stage,
        /// Why.
        reason: proof::Failure,
    },
    /// A copy became older than twice what is promised, or there is none although one is promised.
    AlarmRaised {
        /// Of what.
        what: What,
        /// Where.
        target: TargetName,
        /// What is wrong.
        alarm: Alarm,
    },
    /// The WAL of a database is not where it should be: its disk may fill, and what happens now may be lost. Somebody has to look.
    WalTrouble {
        /// Of what.
        what: What,
        /// What is wrong, for people.
        trouble: String,
    },
    /// The WAL of a database is where it should be again.
    WalWell {
        /// Of what.
        what: What,
    },
    /// Havre came back on another server, out of what was saved.
    PlatformRecovered {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Of when it is: what happened after that is lost.
        saved_at: Timestamp,
    },
    /// What is promised is there again.
    AlarmCleared {
        /// Of what.
        what: What,
        /// Where.
        target: TargetName,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TargetSet { target, location, medium, is_offsite } => {
                let place = if *is_offsite { ", off-site" } else { "" };
                write!(f, "backup target {target} is {location} on {medium}{place}")
            }
            Self::TargetRemoved { target, is_forced: true } => {
                write!(f, "backup target {target} removed by force; its repository was left as it is")
            }
            Self::TargetRemoved { target, is_forced: false } => {
                write!(f, "backup target {target} removed; its repository was left as it is")
            }
            Self::RepositoryMade { target, repository } => {
                write!(f, "backup target {target} has the repository {}", repository.short())
            }
            Self::TargetReady { target } => write!(f, "backup target {target} can be used"),
            Self::TargetFailed { target, reason } => {
                write!(f, "backup target {target} cannot be used: {reason}")
            }
            Self::KitShown { target, is_again: false } => {
                write!(f, "recovery kit of the backup target {target} shown")
            }
            Self::KitShown { target, is_again: true } => {
                write!(f, "recovery kit of the backup target {target} shown once more")
            }
            Self::PolicyChanged { what } => write!(f, "backup of {what}: something else is promised"),
            Self::RunCreated { run, what, target } => {
                write!(f, "backup {run} of {what} to {target} asked for")
            }
            Self::RunBegun { run, what, target } => write!(f, "backup {run} of {what} to {target} began"),
            Self::RunAdvanced { run, stage } => write!(f, "backup {run} is {stage}"),
            Self::RunGood { run, what, target, snapshot, content } => write!(
                f,
                "backup {run} of {what} in {target} is good: snapshot {}, {} bytes",
                snapshot.short(),
                content.bytes
            ),
            Self::RunFailed { run, what, target, stage, reason } => {
                write!(f, "backup {run} of {what} to {target} failed while {stage}: {reason}")
            }
            Self::CancelRequested { run } => write!(f, "backup {run} should be cancelled"),
            Self::SnapshotsForgotten { what, target, runs } => {
                write!(f, "backups of {what} in {target} removed, as the policy says: {}", runs.len())
            }
            Self::RestoreCreated { .. }
            | Self::RestoreAdvanced { .. }
            | Self::RestoreReady { .. }
            | Self::RestoreFailed { .. }
            | Self::DrillCreated { .. }
            | Self::DrillAdvanced { .. }
            | Self::DrillPassed { .. }
            | Self::DrillFailed { .. } => self.fmt_proof(f),
            Self::PlatformRecovered { snapshot, saved_at } => {
                write!(f, "Havre came back as it was at {saved_at}: snapshot {}", snapshot.short())
            }
            Self::VolumeRestored { restore, what, volume, outcome } => {
                write!(f, "restore {restore} of {what} into {volume}: {outcome}")
            }
            Self::WalTrouble { what, trouble } => write!(f, "WAL of {what}: {trouble}"),
            Self::WalWell { what } => write!(f, "WAL of {what} is where it should be again"),
            Self::AlarmRaised { what, target, alarm } => write!(f, "backup of {what} in {target}: {alarm}"),
            Self::AlarmCleared { what, target } => {
                write!(f, "backup of {what} in {target}: what is promised is there again")
            }
        }
    }
}

impl Event {
    /// Restores and drills.
    fn fmt_proof(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RestoreCreated { restore, what, snapshot, database } => {
                write!(
                    f,
                    "restore {restore} of {what} as {database} asked for: snapshot {}",
                    snapshot.short()
                )
            }
            Self::RestoreAdvanced { restore, stage } => write!(f, "restore {restore} is {stage}"),
            Self::RestoreReady { restore, what, database } => {
                write!(f, "restore {restore} of {what} is ready: {database} is what was saved")
            }
            Self::RestoreFailed { restore, what, stage, reason } => {
                write!(f, "restore {restore} of {what} failed while {stage}: {reason}")
            }
            Self::DrillCreated { drill, what, snapshot } => {
                write!(f, "drill {drill} of {what} asked for: snapshot {}", snapshot.short())
            }
            Self::DrillAdvanced { drill, stage } => write!(f, "drill {drill} is {stage}"),
            Self::DrillPassed { drill, what, snapshot, rto_measured_ms } => write!(
                f,
                "drill {drill} of {what} passed: snapshot {} was whole after {rto_measured_ms} ms",
                snapshot.short()
            ),
            Self::DrillFailed { drill, what, snapshot, stage, reason } => write!(
                f,
                "drill {drill} of {what} failed while {stage}: snapshot {}: {reason}",
                snapshot.short()
            ),
            _ => Ok(()),
        }
    }
}
