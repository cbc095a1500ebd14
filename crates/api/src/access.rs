//! Access tokens of the HTTP API. They are made on the machine only; the secret is shown once.

use havre_core::id::TokenId;
use havre_core::name::TokenName;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for a new token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTokenRequest {
    /// Name it is known and revoked by; unique.
    #[schema(value_type = String, example = "ci")]
    pub name: TokenName,
}

/// A new token, shown this one time. Its `Debug` form hides the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateTokenResponse {
    /// Its row.
    #[schema(value_type = String, example = "k3")]
    pub id: TokenId,
    /// Its name.
    #[schema(value_type = String, example = "ci")]
    pub name: TokenName,
    /// The secret for `Authorization: Bearer <token>`; the server keeps only its SHA-256.
    pub token: String,
}

impl std::fmt::Debug for CreateTokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateTokenResponse")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All tokens that work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// Oldest first.
    pub tokens: Vec<Token>,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its row.
    #[schema(value_type = String, example = "k3")]
    pub id: TokenId,
    /// Its name.
    #[schema(value_type = String, example = "ci")]
    pub name: TokenName,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last used; kept to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}
