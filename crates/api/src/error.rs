//! The one shape of every refusal. Which status and code belong together: `havre_web::error`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of every answer with a status of 400 or more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// Stable name of the kind of error, such as `service_not_found`; programs may depend on it.
    pub code: String,
    /// What went wrong, for people; may change between versions.
    pub message: String,
    /// What to do next, for people; empty when there is nothing useful to say.
    pub hint: String,
    /// Further data that depends on `code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// Last line of a streamed answer that could not go on; a stream that just ends has no such line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamEnd {
    /// Why.
    pub error: ErrorBody,
}
