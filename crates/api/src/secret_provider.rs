//! Secret providers: who keeps values outside of Havre. Credentials go in and never come out.

use havre_core::event::Actor;
use havre_core::name::{EnvironmentName, ProviderName};
use havre_core::time::Timestamp;
use havre_decide::secret::provider::reference::Location;
use havre_decide::secret::provider::setting::ProviderSpec;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A provider, without its credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretProvider {
    /// Its name, which references begin with.
    #[schema(value_type = String, example = "vault-main")]
    pub name: ProviderName,
    /// For which environment; absent for every one that has none of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<EnvironmentName>,
    /// What it is: a `kind` of `vault`, `onepassword`, `bitwarden` or `file`, and what that kind wants to know.
    #[schema(value_type = Object, example = json!({"kind": "vault", "url": "https://vault.example.org:8200", "role_id": "app"}))]
    pub settings: ProviderSpec,
    /// When it was set.
    #[schema(value_type = String, format = DateTime)]
    pub set_at: Timestamp,
    /// By whom.
    #[schema(value_type = Object, example = json!({"kind": "local"}))]
    pub set_by: Actor,
}

/// Providers of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretProviderList {
    /// By name; the one for every environment before those of one.
    pub providers: Vec<SecretProvider>,
}

/// Sets a provider, in place of the one of that name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecretProviderRequest {
    /// For which environment; left out, for every one that has none of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<EnvironmentName>,
    /// What it is.
    #[schema(value_type = Object, example = json!({"kind": "vault", "url": "https://vault.example.org:8200", "role_id": "app"}))]
    pub settings: ProviderSpec,
    /// What proves to it who asks: a token, the secret id of a role, an access token. Files have none. Never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for SetSecretProviderRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetSecretProviderRequest")
            .field("environment", &self.environment)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Query of `DELETE` on a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RemoveSecretProviderQuery {
    /// The one of which environment; left out, the one for every environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, example = "production")]
    pub environment: Option<EnvironmentName>,
}

/// Asks a provider whether it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSecretProviderRequest {
    /// The one of which environment; left out, the one for every environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<EnvironmentName>,
    /// The place of a value that is read, and not shown; left out, only the login is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "secret/data/app#password")]
    pub location: Option<Location>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestedSecretProvider {
    /// Whether a deployment would get its values.
    pub is_good: bool,
    /// What was seen, or what is wrong, for people. Never says a value.
    pub text: String,
}
