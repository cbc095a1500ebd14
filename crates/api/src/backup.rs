//! Backups: where they lie, what ran, and what is missing. Passwords and credentials go in and never come out, but for the recovery kit.

use havre_core::backup::location::Location;
use havre_core::backup::manifest::Manifest;
use havre_core::backup::policy::BackupPolicy;
use havre_core::backup::run::RunState;
use havre_core::backup::state::State;
use havre_core::backup::target::TargetState;
use havre_core::backup::{RepositoryId, SnapshotId, What};
use havre_core::event::Actor;
use havre_core::id::{BackupRunId, DrillId};
use havre_core::name::{MediumName, TargetName};
use havre_core::time::Timestamp;
use havre_rescue::check::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A place where backups go, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupTarget {
    /// Its name.
    #[schema(value_type = String, example = "bucket")]
    pub name: TargetName,
    /// Where its repository lies.
    #[schema(value_type = Object, example = json!({"kind": "folder", "path": "/mnt/two/havre"}))]
    pub location: Location,
    /// The same as restic takes it after `-r`.
    #[schema(example = "s3:https://s3.example.org/backups")]
    pub address: String,
    /// What its bytes lie on: what is lost together has one name. The live data lies on `disk`.
    #[schema(value_type = String, example = "bucket")]
    pub medium: MediumName,
    /// Whether it outlives this place.
    pub is_offsite: bool,
    /// Its repository; absent until that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub repository: Option<RepositoryId>,
    /// Whether there is a credential for it.
    pub has_credential: bool,
    /// `waiting`, `ready`, or `failed` with a reason.
    #[schema(value_type = Object, example = json!({"state": "ready"}))]
    pub state: TargetState,
    /// When its recovery kit was first shown; absent while nobody has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub kit_shown_at: Option<Timestamp>,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Targets of backups, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupTargetList {
    /// All of them.
    pub targets: Vec<BackupTarget>,
}

/// Sets a target.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBackupTargetRequest {
    /// Where its repository lies; never changes.
    #[schema(value_type = Object, example = json!({"kind": "folder", "path": "/mnt/two/havre"}))]
    pub location: Location,
    /// What its bytes lie on.
    #[schema(value_type = String, example = "disk-two")]
    pub medium: MediumName,
    /// Whether it outlives this place.
    #[serde(default)]
    pub is_offsite: bool,
    /// What proves who writes there: for a bucket the id of an access key and the secret access key on two lines, for another machine a
    /// private key for SSH. Left out, the one it has stays. Never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for SetBackupTargetRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetBackupTargetRequest").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Query of `DELETE /v1/backup-targets/{target}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RemoveBackupTargetQuery {
    /// Although the newest backup of something lies there only, or nobody has its recovery kit.
    pub force: bool,
}

/// Query of `POST /v1/backup-targets/{target}/kit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct BackupKitQuery {
    /// Although it was shown before. That is recorded as well.
    pub again: bool,
}

/// The recovery kit of a target. Whoever has it reads every backup there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupKit {
    /// Whose it is.
    #[schema(value_type = String, example = "bucket")]
    pub target: TargetName,
    /// The page to print.
    pub page: String,
}

impl std::fmt::Debug for BackupKit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupKit").field("target", &self.target).finish_non_exhaustive()
    }
}

/// One run that tries to save something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupRun {
    /// Its id.
    #[schema(value_type = String, example = "u12")]
    pub id: BackupRunId,
    /// What is saved.
    #[schema(value_type = Object, example = json!({"kind": "platform"}))]
    pub what: What,
    /// The same for people.
    #[schema(example = "database shop/production/db")]
    pub name: String,
    /// Where to.
    #[schema(value_type = String, example = "bucket")]
    pub target: TargetName,
    /// Where it stands, with what is known there.
    #[schema(value_type = Object, example = json!({"state": "dumping", "since": "2026-11-24T10:00:00.000Z"}))]
    pub state: State,
    /// The state for people: `waiting` until it begins, then as in `state`.
    #[schema(value_type = String, example = "good")]
    pub status: RunState,
    /// Nothing will change any more by itself.
    pub is_final: bool,
    /// Why it is no backup, for people; empty otherwise.
    pub failure: String,
    /// Who asked for it.
    #[schema(value_type = Object, example = json!({"kind": "havre"}))]
    pub asked_by: Actor,
    /// Bytes its producer has written so far.
    pub produced_bytes: u64,
    /// Bytes it has added to the repository; known at the end.
    pub added_bytes: u64,
    /// Its snapshot, once there is one.
    #[schema(value_type = Option<String>)]
    pub snapshot: Option<SnapshotId>,
    /// What it left behind when it was good.
    #[schema(value_type = Option<Object>)]
    pub manifest: Option<Manifest>,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it began; absent while it waits for its turn.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub begun_at: Option<Timestamp>,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When its snapshot was removed by the policy.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub forgotten_at: Option<Timestamp>,
}

/// Runs of backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupRunList {
    /// Newest first.
    pub runs: Vec<BackupRun>,
}

/// Query of `GET /v1/backup-runs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct BackupRunQuery {
    /// Only of this: `platform`, or `database/PROJECT/ENVIRONMENT/DATABASE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(example = "database/shop/production/db")]
    pub what: Option<String>,
    /// Only to this target.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub target: Option<TargetName>,
    /// Only in this state, as `status` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, example = "failed")]
    pub state: Option<RunState>,
    /// Most entries, 1 to 1000; 50 when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Asks for runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateBackupRunsRequest {
    /// Of this; left out, of the platform and of every database with a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub what: Option<What>,
    /// To this target; left out, to those of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub target: Option<TargetName>,
}

/// How everything that is saved stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackupStatus {
    /// Whether nothing is missing.
    pub is_met: bool,
    /// What is missing of the targets themselves, in sentences.
    pub gaps: Vec<String>,
    /// The platform, then databases by project, environment and name.
    pub accounts: Vec<BackupAccount>,
}

/// The account of one thing that is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackupAccount {
    /// Of what.
    #[schema(value_type = Object, example = json!({"kind": "platform"}))]
    pub what: What,
    /// The same for people.
    #[schema(example = "platform")]
    pub name: String,
    /// What is promised; absent where nothing is, by `havre.toml`.
    #[schema(value_type = Option<Object>)]
    pub policy: Option<BackupPolicy>,
    /// Copies, the live data first.
    pub copies: Vec<BackupCopy>,
    /// Oldest that a copy may be and still count.
    pub rpo_target_ms: Option<u64>,
    /// Age of the newest copy that restores: what would be lost now. Absent where there is none.
    pub rpo_measured_ms: Option<u64>,
    /// The newest drill of it that is over and was not interrupted: of a database, of a dump; of a base backup, to a second. Absent where there was
    /// none.
    pub drill: Option<DrillAccount>,
    /// What is missing, in sentences.
    pub gaps: Vec<String>,
}

/// What the newest drill came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrillAccount {
    /// Its id.
    #[schema(value_type = String, example = "x7")]
    pub drill: DrillId,
    /// When it was over.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why it did not pass, for people; empty where it did.
    pub failure: String,
    /// From its beginning until the copy was whole; absent unless it passed.
    pub rto_measured_ms: Option<u64>,
    /// What would have been lost when it was asked for.
    pub rpo_measured_ms: u64,
}

/// What somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupCheck {
    /// Targets first, then copies, then databases; empty where all is as it was promised.
    #[schema(value_type = Vec<Object>, example = json!([{"subject": "wal", "what": {"kind": "database", "project": "dropit",
        "environment": "production", "database": "db"}, "target": null, "reason": "bucket has nothing"}]))]
    pub problems: Vec<Problem>,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupCopy {
    /// Where: a target, or `live`.
    #[schema(value_type = String, example = "bucket")]
    pub target: TargetName,
    /// What it lies on.
    #[schema(value_type = String, example = "bucket")]
    pub medium: MediumName,
    /// Whether it outlives this place.
    pub is_offsite: bool,
    /// Whether it counts.
    pub standing: CopyStanding,
    /// Its age; absent where there is none.
    pub age_ms: Option<u64>,
    /// The run that made it.
    #[schema(value_type = Option<String>, example = "u12")]
    pub run: Option<BackupRunId>,
    /// When the next run is due; absent for the live data.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// Whether a copy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CopyStanding {
    /// It does.
    Current,
    /// It is older than promised.
    Stale,
    /// There is none that was read back.
    Missing,
}

impl CopyStanding {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Missing => "missing",
        }
    }
}
