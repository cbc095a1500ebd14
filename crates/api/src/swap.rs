//! Swaps: another database takes the name services use. Upgrades: the other one is made for it, of a newer version.

use havre_core::id::SwapId;
use havre_core::name::{DatabaseName, TargetName};
use havre_core::service::Place;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST .../databases/{database}/swaps`: either `with`, or `version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SwapRequest {
    /// The database that takes the name.
    #[schema(value_type = Option<String>, example = "db-restored-1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<DatabaseName>,
    /// An upgrade to this major version: a backup is made while nobody can write, and restored into a new server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u8>,
    /// Where the backup of an upgrade goes; when nothing is said, to the first target of its policy.
    #[schema(value_type = Option<String>, example = "disk-two")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// Name of the database, said a second time; needed in `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// Answer of `POST .../databases/{database}/swaps`. 202 when it is asked for, 200 for a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwapResponse {
    /// Nothing was changed.
    pub dry_run: bool,
    /// What people should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The swap; absent for a dry run.
    pub swap: Option<Swap>,
}

/// Swaps of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwapList {
    /// Newest first.
    pub swaps: Vec<Swap>,
}

/// One swap or upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Swap {
    /// Its id.
    #[schema(value_type = String, example = "w4")]
    pub id: SwapId,
    /// The name services use.
    #[schema(value_type = crate::service::PlaceSchema)]
    pub place: Place,
    /// Name of the other database before.
    #[schema(value_type = String, example = "db-restored-1")]
    pub other: DatabaseName,
    /// Name of the database that was in front, afterwards.
    #[schema(value_type = String, example = "db-before-20261127")]
    pub aside: DatabaseName,
    /// Major version it is upgraded to; absent for a swap of two that are there.
    pub version: Option<u8>,
    /// Where it stands: `closing`, `saving`, `restoring`, `renaming`, `stopping`, `starting`, `deploying`, `undoing`, `succeeded`, `failed` or
    /// `cancelled`.
    #[schema(example = "starting")]
    pub status: String,
    /// Nothing will change any more.
    pub is_final: bool,
    /// Why it failed, or is about to, for people; empty otherwise.
    pub failure: String,
    /// Why it does not go on right now, for people.
    pub waiting: String,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
