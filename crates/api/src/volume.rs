//! Restores of volumes: points in time are those of `restore`.

use havre_core::backup::SnapshotId;
use havre_core::id::VolumeRestoreId;
use havre_core::name::{EnvironmentName, ProjectName, ServiceName, TargetName, VolumeName};
use havre_core::time::Timestamp;
use havre_rescue::volume;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::restore::RestorePoint;

/// Asks for a new volume out of a snapshot. The one that was saved stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateVolumeRestoreRequest {
    /// The snapshot, or at least its first eight digits; left out, the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The newest one that is not younger than this, in place of `snapshot`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// Name of the new volume; left out, the first free one such as `uploads-restored-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "uploads-restored-1")]
    pub name: Option<VolumeName>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// What a restore makes, or would. 202 when it began, 200 for a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateVolumeRestoreResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// What comes back; its rows are entries.
    pub point: RestorePoint,
    /// The new volume.
    #[schema(value_type = String, example = "uploads-restored-1")]
    pub volume: VolumeName,
    /// The restore; absent for a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<VolumeRestore>,
}

/// One restore of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeRestore {
    /// Its id.
    #[schema(value_type = String, example = "f3")]
    pub id: VolumeRestoreId,
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// The environment.
    #[schema(value_type = String, example = "production")]
    pub environment: EnvironmentName,
    /// The service, which has the new volume as well.
    #[schema(value_type = String, example = "api")]
    pub service: ServiceName,
    /// The volume that was saved.
    #[schema(value_type = String, example = "uploads")]
    pub source: VolumeName,
    /// The new volume; it is gone where the restore failed.
    #[schema(value_type = String, example = "uploads-restored-1")]
    pub volume: VolumeName,
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
    pub state: volume::State,
    /// The state for people: `waiting`, `loading`, `checking`, `ready` or `failed`.
    #[schema(example = "ready")]
    pub status: String,
    /// Nothing will change any more by itself.
    pub is_final: bool,
    /// Why there is no new volume, for people; empty otherwise.
    pub failure: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Restores of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeRestoreList {
    /// Newest first.
    pub restores: Vec<VolumeRestore>,
}
