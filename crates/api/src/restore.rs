//! Restores and drills: points in time, what becomes of one, and reports of those that were tried. No answer holds data of a database, but for
//! the stream of a snapshot.

use havre_core::backup::SnapshotId;
use havre_core::id::{BackupRunId, DrillId, RestoreId};
use havre_core::name::{DatabaseName, EnvironmentName, ProjectName, TargetName};
use havre_core::time::Timestamp;
use havre_rescue::{drill, restore};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A point in time to which a database can be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestorePoint {
    /// When its backup began, or the second to which WAL brings it: what was there then comes back.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Its snapshot.
    #[schema(value_type = String)]
    pub snapshot: SnapshotId,
    /// Where that lies.
    #[schema(value_type = String, example = "disk-two")]
    pub target: TargetName,
    /// The run that made it.
    #[schema(value_type = String, example = "u12")]
    pub run: BackupRunId,
    /// Its bytes, as they come out.
    pub bytes: u64,
    /// SHA-256 of them, in hex.
    pub sha256: String,
    /// Tables that were counted.
    pub tables: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// The server it was made of.
    #[schema(example = "PostgreSQL 16.14")]
    pub source_version: String,
    /// When all of it had been read back.
    #[schema(value_type = String, format = DateTime)]
    pub verified_at: Timestamp,
}

/// Points in time of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestorePointList {
    /// Newest first.
    pub points: Vec<RestorePoint>,
    /// Time of which every second can be brought back, oldest first; empty where no WAL is kept.
    #[serde(default)]
    pub line: Vec<RestoreInterval>,
}

/// Time of which every second can be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreInterval {
    /// From this instant on.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Until before this one: what happened later is not in any target yet.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}

/// Asks for a new database out of a snapshot. The one that was saved stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateRestoreRequest {
    /// The snapshot, or at least its first eight digits; left out, the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// This very second where it is on the line, else the newest one that is not younger, in place of `snapshot`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// Name of the new database; left out, the first free one such as `db-restored-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "db-restored-1")]
    pub name: Option<DatabaseName>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// What a restore makes, or would. 202 when it began, 200 for a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateRestoreResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// What comes back.
    pub point: RestorePoint,
    /// The new database.
    #[schema(value_type = String, example = "db-restored-1")]
    pub database: DatabaseName,
    /// Which server it is, with its version.
    #[schema(example = "postgres 16")]
    pub server: String,
    /// The restore; absent for a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
}

/// One restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restore {
    /// Its id.
    #[schema(value_type = String, example = "v3")]
    pub id: RestoreId,
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// The environment.
    #[schema(value_type = String, example = "production")]
    pub environment: EnvironmentName,
    /// The database that was saved.
    #[schema(value_type = String, example = "db")]
    pub source: DatabaseName,
    /// The new database; it is gone where the restore failed.
    #[schema(value_type = String, example = "db-restored-1")]
    pub database: DatabaseName,
    /// Where the snapshot lies.
    #[schema(value_type = String, example = "disk-two")]
    pub target: TargetName,
    /// The snapshot.
    #[schema(value_type = String)]
    pub snapshot: SnapshotId,
    /// The instant that came back.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Where it stands, with what is known there.
    #[schema(value_type = Object)]
    pub state: restore::State,
    /// The state for people: `preparing`, `loading`, `checking`, `ready` or `failed`.
    #[schema(example = "ready")]
    pub status: String,
    /// Nothing will change any more by itself.
    pub is_final: bool,
    /// Why there is no new database, for people; empty otherwise.
    pub failure: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Restores of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreList {
    /// Newest first.
    pub restores: Vec<Restore>,
}

/// Query of `GET .../databases/{database}/dump`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DumpQuery {
    /// The snapshot, or at least its first eight digits; left out, the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The newest one that is not younger than this, in place of `snapshot`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}

/// Query of `POST .../databases/{database}/drills`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct CreateDrillQuery {
    /// How the database is brought back: `dump`, which is what happens where nothing is said, or `point_in_time`: out of a base backup and WAL, to
    /// the newest second there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, example = "point_in_time")]
    pub method: Option<drill::Method>,
}

/// One drill: a restore that was tried and thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drill {
    /// Its id.
    #[schema(value_type = String, example = "x7")]
    pub id: DrillId,
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// The environment.
    #[schema(value_type = String, example = "production")]
    pub environment: EnvironmentName,
    /// The database whose backup it tried.
    #[schema(value_type = String, example = "db")]
    pub database: DatabaseName,
    /// Where the snapshot lies.
    #[schema(value_type = String, example = "disk-two")]
    pub target: TargetName,
    /// The snapshot.
    #[schema(value_type = String)]
    pub snapshot: SnapshotId,
    /// How the database is brought back: `dump` or `point_in_time`.
    #[schema(value_type = String, example = "dump")]
    pub method: drill::Method,
    /// The instant that would come back.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Where it stands, with what is known there.
    #[schema(value_type = Object)]
    pub state: drill::State,
    /// The state for people: `preparing`, `loading`, `checking`, `cleaning`, `passed` or `failed`.
    #[schema(example = "passed")]
    pub status: String,
    /// Nothing will change any more by itself.
    pub is_final: bool,
    /// Why it did not pass, for people; empty otherwise.
    pub failure: String,
    /// From its beginning until the copy was whole; absent unless it passed.
    pub rto_measured_ms: Option<u64>,
    /// What would have been lost when it was asked for: how far the newest instant lay behind that can be brought back in this way.
    pub rpo_measured_ms: u64,
    /// Whether the policy asked for it, and nobody else.
    pub is_scheduled: bool,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When nothing was left of its server.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Drills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrillList {
    /// Newest first.
    pub drills: Vec<Drill>,
}

/// The report of a drill that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrillReport {
    /// The drill.
    pub drill: Drill,
    /// The report: JSON in the one form that is signed.
    pub text: String,
    /// HMAC-SHA256 of the text under a key of the installation, in hex.
    pub signature: String,
    /// Whether this installation wrote exactly this text.
    pub is_signed: bool,
}
