//! Container registries: what proves there who pulls, and how many pulls are left. Passwords go in and never come out.

use havre_core::registry::{RegistryHost, RegistryUser};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A registry that has credentials, or is known to limit pulls; without the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registry {
    /// Its host, as image references name it.
    #[schema(value_type = String, example = "registry.example.org:5000")]
    pub host: RegistryHost,
    /// Who pulls; absent where there are no credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "ada")]
    pub user: Option<RegistryUser>,
    /// When the credentials were set last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub set_at: Option<Timestamp>,
    /// How many pulls are left; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulls: Option<PullsLeft>,
}

/// How many pulls a registry still gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PullsLeft {
    /// Pulls that are left.
    pub remaining: u64,
    /// Pulls in a window.
    pub limit: u64,
    /// How long each pull counts, in milliseconds.
    pub window_ms: u64,
    /// When the registry said so.
    #[schema(value_type = String, format = DateTime)]
    pub read_at: Timestamp,
}

/// Registries, by host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegistryList {
    /// All of them.
    pub registries: Vec<Registry>,
}

/// Sets the credentials of a registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRegistryRequest {
    /// Who pulls.
    #[schema(value_type = String, example = "ada")]
    pub user: RegistryUser,
    /// Password or access token that may read images. Never shown again.
    pub password: String,
}

impl std::fmt::Debug for SetRegistryRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetRegistryRequest").field("user", &self.user).finish_non_exhaustive()
    }
}
