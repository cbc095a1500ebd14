//! Events: what happened, in one order, readable and followable by cursor.

use havre_core::event::{Actor, EventKind};
use havre_core::id::ServiceId;
use havre_core::service::Place;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Query of `GET /v1/events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Only events with a greater `seq`; left out, the last 100 (or `limit`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Stay connected and stream what happens from now on.
    pub follow: bool,
    /// Only this service, by row (`s2`) or by `project/environment/service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Most events of an answer that does not follow; 1 to 10000, 1000 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// One line of `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the one order of all events; pass it as `after` to go on behind it.
    pub seq: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who caused it.
    #[schema(value_type = Object, example = json!({"kind": "havre"}))]
    pub actor: Actor,
    /// Row of the service it is about; absent for the installation.
    #[schema(value_type = Option<String>, example = "s2")]
    pub service_id: Option<ServiceId>,
    /// Names of that service; absent when it is gone.
    #[schema(value_type = Option<crate::service::PlaceSchema>)]
    pub place: Option<Place>,
    /// What happened: `room`, `type` and data.
    #[schema(value_type = Object, example = json!({"room": "service", "type": "created"}))]
    pub kind: EventKind,
    /// What happened, for people.
    pub text: String,
}

/// Whether the event log is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventChain {
    /// Events that are kept.
    pub events: u64,
    /// Of those, the oldest ones that were written before there was a chain: nothing can be said of them.
    pub unchained: u64,
    /// Hash of the newest event. Kept elsewhere, it also shows when the whole log was written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_hash: Option<String>,
    /// The first event that was changed, or before which some were removed; absent where all is as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<u64>,
}
